"""Speed, time left, and the lines that a log gets."""

from __future__ import annotations

import pytest

from diffbio_flows.reports.progress import Pace, PlainProgress, duration
from diffbio_flows.shards.message import ShardResult


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


MEGABASE = ShardResult("chr1.000000", 1_000_000)


def test_speed_counts_only_what_this_run_has_done():
    clock = Clock()
    pace = Pace(clock)
    pace.planned(shards=10, bp=10_000_000, finished_shards=4, finished_bp=4_000_000, workers=1)
    for _ in range(2):
        clock.now += 2.0
        pace.advanced(MEGABASE)
    assert pace.megabases_per_second == pytest.approx(0.5)
    assert pace.seconds_left == pytest.approx(8.0)
    assert str(pace) == "6/10 shards, 0.50 Mb/s, 8 s left"


def test_the_time_left_leaves_out_each_workers_first_shard_which_loads_programs():
    clock = Clock()
    pace = Pace(clock)
    pace.planned(shards=100, bp=100_000_000, finished_shards=0, finished_bp=0, workers=2)
    told = []
    # Both workers take half a minute for their first shard, and a second for every other one.
    for seconds in (30.0, 0.0, 1.0, 0.0, 1.0, 0.0):
        clock.now += seconds
        pace.advanced(MEGABASE)
        told.append(pace.seconds_left)
    assert told == [None, None, None, 48.0, pytest.approx(95 * 2 / 3), 47.0]


def test_before_anything_is_done_no_time_left_is_claimed():
    pace = Pace(Clock())
    pace.planned(3, 3_000_000, 0, 0, 1)
    assert pace.seconds_left is None
    assert str(pace) == "0/3 shards, 0.00 Mb/s"


def test_lines_come_at_intervals_and_at_the_end():
    clock, lines = Clock(), []
    progress = PlainProgress(lines.append, every=10.0, clock=clock)
    progress.planned(4, 4_000_000, 0, 0, 1)
    for _ in range(4):
        clock.now += 6.0
        progress.advanced(MEGABASE)
    assert lines == ["4 shards, 4.00 Mb", "2/4 shards, 0.17 Mb/s, 12 s left", "4/4 shards, 0.17 Mb/s"]


def test_a_resumed_run_says_what_was_there():
    lines = []
    PlainProgress(lines.append).planned(4, 4_000_000, 1, 1_000_000, 1)
    assert lines == ["4 shards, 4.00 Mb; 1 finished before, going on with the rest"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (185, "3 min 5 s"), (7_440, "2 h 4 min"), (3_599.6, "1 h 0 min")],
)
def test_durations_read_like_speech(seconds, text):
    assert duration(seconds) == text
