"""Runs that are stopped at some shard: what they leave, and that the same command goes on to the same bytes."""

import json
import os
import re
import signal
import time
from contextlib import suppress

import psutil
import pytest

from tests.flows.conftest import fill

pytestmark = pytest.mark.slow

SHARDS = 4
PATIENCE = 240


class Run:
    """One command, as often as it is started; its outputs lie in a folder, its work beside them.

    Attributes:
        output: The VCF.
        work: The work directory.
    """

    def __init__(self, folder, start, arguments, work=None, workers=("--workers", 1)):
        self.output = folder / "calls.vcf.gz"
        self.work = work or folder / "work"
        options = ("--gvcf", folder / "calls.g.vcf.gz", "--work-dir", self.work, *workers, "--json")
        self._start = start
        self._arguments = arguments(self.output, *options)

    def start_to_first_shard(self):
        """The process, stopped when a shard is finished and others are not, and all processes that belong to it."""
        process = self._start(self._arguments)
        until = time.monotonic() + PATIENCE
        while not self.finished:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGSTOP)
        assert len(self.finished) < SHARDS
        leader = psutil.Process(process.pid)
        return process, [leader, *leader.children(recursive=True)]

    def complete(self):
        """Runs it to its end; gives the number of shards that were found finished."""
        process = self._start(self._arguments)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        work = json.loads(out)["work"]
        assert work["totals"]["shards"] == SHARDS
        return work["resumed_shards"]

    @property
    def finished(self):
        """Markers of the finished shards."""
        return list(self.work.glob("calls/[!.]*.json"))

    @property
    def outputs(self):
        """Contents of the output files that are there."""
        return {path.name: path.read_bytes() for path in self.output.parent.glob("calls*")}


@pytest.fixture
def run(start_diffbio, call_arguments, tmp_path):
    """A run that has not been started."""
    (tmp_path / "out").mkdir()
    return Run(tmp_path / "out", start_diffbio, call_arguments)


@pytest.fixture(scope="module")
def uninterrupted(individual, tmp_path_factory):
    """What the command writes when nothing happens to it."""
    from diffbio_flows import call_variants

    folder = tmp_path_factory.mktemp("uninterrupted")
    cluster = folder / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    output, gvcf = folder / "calls.vcf.gz", folder / "calls.g.vcf.gz"
    files = {"reads": individual.reads, "reference": individual.reference, "output": output, "gvcf": gvcf}
    call_variants(**files, cluster=cluster, work_dir=folder / "work", keep_windows=False)
    written = {path.name: path.read_bytes() for path in folder.glob("calls*")}
    assert sorted(written) == ["calls.g.vcf.gz", "calls.g.vcf.gz.tbi", "calls.vcf.gz", "calls.vcf.gz.tbi"]
    return written


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
