"""Sums of gradients have the same bits whatever becomes of the workers, on real processes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from diffbio_cluster import ClusterConfig, TaskFailedError, open_executor
from diffbio_cluster.gradients import reduce_gradients
from diffbio_core.training.gradient_tree import sum_run

LEAVES = 8


@dataclass(frozen=True)
class Part:
    run: range
    flag: str = ""
    slow: bool = False


@dataclass(frozen=True)
class Sums:
    nodes: dict
    process: int


def leaf(place: int) -> np.ndarray:
    random = np.random.default_rng(place)
    return (random.normal(size=50) * 10.0 ** random.integers(-3, 4, 50)).astype(np.float32)


def gradients(part: Part) -> Sums:
    if part.flag and 0 in part.run and not Path(part.flag).exists():
        Path(part.flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if part.slow and 0 in part.run:
        time.sleep(0.3)
    return Sums(sum_run(part.run, leaf, np.add, LEAVES), os.getpid())


def fail(part: Part) -> Sums:
    raise ValueError(f"no gradient for {part.run}")


@pytest.fixture(scope="module")
def workers():
    with open_executor(ClusterConfig(workers=2, allowed_failures=1)) as executor:
        yield executor


@pytest.fixture(scope="module")
def alone():
    with open_executor(ClusterConfig(kind="in-process")) as executor:
        return reduce_gradients(executor, gradients, Part, LEAVES).total.tobytes()


def test_two_workers_give_the_bits_of_one_process_whoever_is_first(workers, alone):
    slow = reduce_gradients(workers, gradients, lambda run: Part(run, slow=True), LEAVES)
    assert slow.total.tobytes() == reduce_gradients(workers, gradients, Part, LEAVES).total.tobytes() == alone
    assert len(slow.parts) == 2


def test_each_place_keeps_its_worker(workers):
    rounds = [[part.process for part in reduce_gradients(workers, gradients, Part, LEAVES).parts] for _ in range(3)]
    assert rounds[0] == rounds[1] == rounds[2]
    assert len(set(rounds[0])) == 2


def test_a_worker_that_is_killed_in_the_middle_is_replaced(workers, alone, tmp_path):
    for number in range(3):
        found = reduce_gradients(workers, gradients, lambda run: Part(run, str(tmp_path / "died")), LEAVES)
        assert found.total.tobytes() == alone, number
    assert (tmp_path / "died").exists()


def test_a_failing_part_is_told_by_its_name(workers):
    with pytest.raises(TaskFailedError, match=r"step 7.*ValueError: no gradient for range"):
        reduce_gradients(workers, fail, Part, LEAVES, name=lambda part: "step 7")
