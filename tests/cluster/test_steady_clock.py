"""Workers whose time of day is set while they work."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from diffbio_cluster import ClusterConfig, open_executor
from tests.dask_processes import DaskProcesses
from tests.wall_clock import DAY

pytestmark = pytest.mark.slow

# Longer than a worker may be silent for: ten of its signs of life, 5 s, and until the scheduler looks.
WORK = 12.0


def work(begun: str) -> tuple[int, float]:
    """Works, by a clock that nobody sets; gives the worker's process and by how much its time of day jumped."""
    day, steady = time.time(), time.monotonic()
    Path(begun).touch()
    time.sleep(WORK)
    return os.getpid(), time.time() - day - (time.monotonic() - steady)


@pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["forward", "back"])
def test_a_worker_whose_clock_jumps_is_not_taken_for_hung(wall_clock, tmp_path, monkeypatch, seconds):
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "1s")
    begun = tmp_path / "begun"

    def jump_when_begun() -> None:
        while not begun.exists():
            time.sleep(0.01)
        wall_clock.jump(seconds)

    with DaskProcesses(tmp_path) as processes:
        worker = processes.start_worker(1, wall_clock.environment)
        config = ClusterConfig(kind="address", address=processes.address, allowed_failures=0, worker_timeout=20)
        with open_executor(config) as executor:
            jumping = threading.Thread(target=jump_when_begun, daemon=True)
            jumping.start()
            ((process, jumped),) = executor.map_unordered(work, [str(begun)])
        assert (process, round(jumped)) == (worker.pid, seconds)
        assert worker.poll() is None
