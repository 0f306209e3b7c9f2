"""Runs that are stopped at some shard: what they leave, and that the same command goes on to the same bytes."""

import json
import os
import re
import signal
from contextlib import suppress

import psutil
import pytest

from tests.flows.conftest import fill
from tests.flows.runs.conftest import PATIENCE, SHARDS, Run

pytestmark = pytest.mark.slow


def ended(process):
    """Exit status and last line of a process that is about to end."""
    _, errors = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors
    return process.returncode, errors.splitlines()[-1]


def all_gone(processes):
    return psutil.wait_procs(processes, timeout=30)[1] == []


def test_a_run_whose_processes_are_all_killed_goes_on_where_it_was(run, uninterrupted):
    process, family = run.start_to_first_shard()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert all_gone(family)
    finished = len(run.finished)
    assert 0 < finished < SHARDS
    assert run.outputs == {}
    assert run.complete() == finished
    assert run.outputs == uninterrupted


def test_an_interrupt_at_the_terminal_ends_every_process_and_keeps_the_work(run, uninterrupted):
    process, family = run.start_to_first_shard()
    # A terminal sends it to every process of the group.
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGCONT)
    told = "diffbio: interrupted; finished work is kept, the same command goes on from there"
    assert ended(process) == (1, told)
    assert all_gone(family)
    assert 0 < len(run.finished) < SHARDS
    assert run.outputs == {}
    assert run.complete() > 0
    assert run.outputs == uninterrupted


def test_a_worker_that_hangs_is_told_and_the_others_do_its_shards(
    start_diffbio, call_arguments, tmp_path, uninterrupted
):
    (tmp_path / "out").mkdir()
    (tmp_path / "patience.toml").write_text('kind = "local"\npatience = 2.0\n')
    workers = ("--workers", 2, "--cluster", tmp_path / "patience.toml")
    run = Run(tmp_path / "out", start_diffbio, call_arguments, workers=workers)
    process, family = run.start_to_first_shard()
    hung = next(each for each in family if "spawn_main" in " ".join(each.cmdline()))
    for each in family:
        if each != hung:
            each.send_signal(signal.SIGCONT)
    try:
        out, errors = process.communicate(timeout=PATIENCE)
    finally:
        with suppress(psutil.NoSuchProcess):
            hung.kill()
    assert process.returncode == 0, errors
    assert re.search(r"shard chr\d\.000000 has taken \d+ s", errors), errors
    assert json.loads(out)["work"]["totals"]["shards"] == SHARDS
    assert run.outputs == uninterrupted
    assert all_gone(family)


@pytest.mark.mounts
def test_a_full_disk_ends_the_run_with_shard_and_cause_and_keeps_the_work(
    start_diffbio, call_arguments, tiny_disk, tmp_path, uninterrupted
):
    (tmp_path / "out").mkdir()
    disk = tiny_disk("64m")
    run = Run(tmp_path / "out", start_diffbio, call_arguments, disk / "work")
    process, _ = run.start_to_first_shard()
    fill(disk / "filler")
    os.killpg(process.pid, signal.SIGCONT)
    status, line = ended(process)
    assert status == 1
    assert line.startswith("diffbio: shard chr")
    assert f"No space left on device: '{disk}/work/" in line
    assert line.endswith("Finished work is kept: remove the cause and give the same command again to go on.")
    assert 0 < len(run.finished) < SHARDS
    assert run.outputs == {}
    (disk / "filler").unlink()
    assert run.complete() > 0
    assert run.outputs == uninterrupted


@pytest.mark.mounts
def test_a_disk_that_is_full_at_the_merge_ends_the_run_with_the_file_and_keeps_the_work(
    start_diffbio, call_arguments, tiny_disk, tmp_path, uninterrupted
):
    disk = tiny_disk("1m")
    run = Run(disk, start_diffbio, call_arguments, tmp_path / "work")
    process, _ = run.start_to_first_shard()
    fill(disk / "filler")
    os.killpg(process.pid, signal.SIGCONT)
    status, line = ended(process)
    assert (status, len(run.finished)) == (1, SHARDS)
    assert "No space left on device" in line
    assert str(disk) in line
    assert run.outputs == {}
    (disk / "filler").unlink()
    assert run.complete() == SHARDS
    assert run.outputs == uninterrupted
