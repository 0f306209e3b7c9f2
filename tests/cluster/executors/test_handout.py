"""A worker that stops answering without dying: told, and its tasks are given to another."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from diffbio_cluster import ClusterConfig, open_executor
from diffbio_cluster.executors.handout import HandOut

slow = pytest.mark.slow


def stop_once(flag: str) -> int:
    """Stops its own process the first time that it is run, as a debugger or a hung mount would."""
    with open(flag, "a") as file:
        file.write(f"{os.getpid()}\n")
    if len(Path(flag).read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    return 7


def square(value: int) -> int:
    return value * value


def work(task: str | int) -> int:
    return stop_once(task) if isinstance(task, str) else square(task)


@pytest.fixture
def flag(tmp_path):
    """A file with the processes that worked on the task; those that are stopped go on when the test ends."""
    path = tmp_path / "flag"
    yield path
    go_on(path)


def go_on(flag):
    for line in flag.read_text().splitlines() if flag.exists() else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line), signal.SIGCONT)


@slow
def test_a_task_whose_worker_stops_is_done_by_another_and_told(flag, caplog):
    with (
        caplog.at_level(logging.WARNING, "diffbio_cluster"),
        open_executor(ClusterConfig(workers=2, patience=5.0)) as executor,
    ):
        tasks = [*range(6), str(flag), *range(6, 30)]
        results = list(executor.map_unordered(work, tasks, name=lambda task: "shard chr1.000006"))
        assert sorted(results) == sorted([7, *(value * value for value in range(30))])
        told = [record.getMessage() for record in caplog.records]
        assert any(
            "shard chr1.000006 has taken" in line and "is given to another worker as well" in line for line in told
        )
        pids = flag.read_text().splitlines()
        assert len(pids) == 2
        assert pids[0] != pids[1]
        # Without it, as long as it does not answer.
        assert list(executor.map_unordered(square, range(8, 9))) == [64]
        go_on(flag)
        until = time.monotonic() + 60
        while executor._stuck and time.monotonic() < until:
            time.sleep(0.05)
        assert executor._stuck == {}
        assert sorted(executor.map_unordered(square, range(8))) == [value * value for value in range(8)]


@slow
def test_with_one_worker_a_late_task_is_told_again_and_again_and_its_result_counts_when_it_comes(tmp_path, caplog):
    with (
        caplog.at_level(logging.WARNING, "diffbio_cluster"),
        open_executor(ClusterConfig(workers=1, patience=0.2)) as executor,
    ):
        began = time.monotonic()
        assert list(executor.map_unordered(time.sleep, [8.0], name=lambda _: "shard chr1.000000")) == [None]
        assert time.monotonic() - began < 60
    told = [record.getMessage() for record in caplog.records]
    assert told
    assert all("shard chr1.000000 has taken" in line and "there is no other worker" in line for line in told)


@slow
def test_the_only_worker_is_replaced_once_it_gives_no_sign_of_life(flag):
    with open_executor(ClusterConfig(workers=1, patience=1.0)) as executor:
        assert sorted(executor.map_unordered(work, [1, str(flag), 2])) == [1, 4, 7]
    pids = flag.read_text().splitlines()
    assert len(set(pids)) > 1


@slow
def test_no_task_is_lost_where_no_worker_was_there_when_the_last_result_came(monkeypatch):
    with open_executor(ClusterConfig(workers=1)) as executor:
        seen, live = [], executor._threads

        def threads(device=None):
            seen.append(device)
            return {} if 1 < len(seen) < 4 else live(device)

        monkeypatch.setattr(executor, "_threads", threads)
        monkeypatch.setattr("diffbio_cluster.executors.dask.WORKERS_SECONDS", 0.0)
        assert sorted(executor.map_unordered(square, range(5), in_flight_per_worker=1)) == [0, 1, 4, 9, 16]
    assert len(seen) > 4


class PretendedFuture:
    def __init__(self, key):
        self.key = key

    def add_done_callback(self, call):
        self.end = lambda: call(self)

    def release(self):
        pass


class PretendedClient:
    """Notes what is handed out; a test says when a task ends."""

    def __init__(self):
        self.futures = []

    def map(self, function, tasks, *, key, **_):
        given = [PretendedFuture(each) for each in key]
        assert len(given) == len(tasks)
        self.futures += given
        return given


@pytest.fixture
def client():
    return PretendedClient()


@pytest.fixture
def handout(client):
    return HandOut(client, square, str, patience=60.0, stuck={})


def test_results_that_end_one_after_the_other_are_fetched_together_where_many_tasks_are_out(
    client, handout, monkeypatch
):
    monkeypatch.setattr("diffbio_cluster.executors.handout._TOGETHER_SECONDS", 60.0)
    handout.give(range(64), 64, {"worker": 32})
    client.futures[5].end()
    later = [threading.Timer(0.05 * place, future.end) for place, future in enumerate(client.futures[8:11])]
    for timer in later:
        timer.start()
    ended = handout.next(60.0)
    assert sorted(ended.values(), key=int) == ["5", "8", "9", "10"]


def test_a_result_waits_for_no_other_where_few_tasks_are_out(client, handout, monkeypatch):
    monkeypatch.setattr("diffbio_cluster.executors.handout._TOGETHER_SECONDS", float("inf"))
    handout.give(range(8), 8, {"one": 2, "other": 2})
    client.futures[3].end()
    assert list(handout.next(60.0).values()) == ["3"]


def test_no_group_of_tasks_is_so_large_that_dask_would_keep_it_from_workers(client, handout):
    tasks, threads = iter(range(100)), {"one": 2, "other": 2}
    for count in (8, 1, 3, 8, *[1] * 20):
        handout.give(tasks, count, threads)
    assert len({future.key for future in client.futures}) == 40
    groups = [group for group, _ in (future.key for future in client.futures)]
    assert max(map(groups.count, groups)) <= 2 * sum(threads.values())
    assert len(set(groups)) < 10
