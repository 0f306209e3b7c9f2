"""Runs in whose midst the time of day is set, by a day, forward or back: it shows in nothing but dates."""

import json
import os
import re
import signal
import time
from contextlib import suppress

import psutil
import pytest

from tests.flows.runs.conftest import PATIENCE, SHARDS, Run
from tests.wall_clock import DAY

pytestmark = pytest.mark.slow

both_ways = pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["forward", "back"])


@pytest.fixture
def run(start_diffbio, call_arguments, wall_clock, tmp_path):
    """A run that has not been started, and has a clock of its own."""
    (tmp_path / "out").mkdir()
    return Run(tmp_path / "out", lambda arguments: start_diffbio(arguments, wall_clock.command), call_arguments)


def has_workers(leader):
    """Whether a run has begun to start them."""
    with suppress(psutil.Error):
        return any("spawn_main" in " ".join(child.cmdline()) for child in leader.children())
    return False


def complete_undisturbed(process, run):
    """Lets a stopped run go on to its end, of which nothing may tell that something was odd."""
    os.killpg(process.pid, signal.SIGCONT)
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert not re.search(r"has taken|given to another|has died|cannot be", errors), errors
    log = (run.work / "run.log").read_text()
    assert not re.search(r"WARNING|ERROR", log), log
    # Durations, rates and times left, on the terminal and in the report: none is below zero or longer than the test.
    assert not re.search(r"-\d[\d.]* (s|Mb/s|min|h)\b", errors + log), errors
    seconds = [float(found) for found in re.findall(r"took (-?[\d.]+) s", log)]
    seconds += durations(json.loads(out))
    assert len(seconds) > 5
    assert all(0 <= each < 2 * PATIENCE for each in seconds), seconds
    return json.loads(out)["work"]


def durations(summary):
    """All seconds that a summary tells, wherever they stand in it."""
    found = []
    for name, value in summary.items():
        if isinstance(value, dict):
            below = durations(value)
            found += [each for each in value.values() if isinstance(each, int | float)] if "seconds" in name else below
        elif "seconds" in name:
            found.append(value)
    return found


@both_ways
def test_a_jump_while_workers_start_changes_nothing(run, wall_clock, seconds, uninterrupted):
    process, _ = run.start_to(has_workers)
    wall_clock.jump(seconds)
    assert complete_undisturbed(process, run)["totals"]["shards"] == SHARDS
    assert run.outputs == uninterrupted


@both_ways
def test_a_jump_between_two_shards_changes_nothing(run, wall_clock, seconds, uninterrupted):
    process, _ = run.start_to_first_shard()
    wall_clock.jump(seconds)
    assert complete_undisturbed(process, run)["totals"]["shards"] == SHARDS
    assert run.outputs == uninterrupted


@both_ways
def test_a_killed_run_goes_on_where_it_was_after_a_jump(run, wall_clock, seconds, uninterrupted):
    process, family = run.start_to_first_shard()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert psutil.wait_procs(family, timeout=30)[1] == []
    wall_clock.jump(seconds)
    # What it has left is of a clock that was another than now: of tomorrow where that has been set back.
    written = time.time() - seconds
    for path in run.work.rglob("*"):
        os.utime(path, (written, written))
    finished = len(run.finished)
    assert 0 < finished < SHARDS
    assert run.complete() == finished
    assert run.outputs == uninterrupted
