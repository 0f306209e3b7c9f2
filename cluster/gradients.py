"""Sums of gradients over workers, in a fixed tree: neither their number nor their speed nor their deaths show in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from jaxtyping import Float32

from diffbio_cluster.executor import Device, Executor
from diffbio_core.training.gradient_tree import Node, split_leaves, sum_nodes

Task = TypeVar("Task")


class PartResult(Protocol):
    """What a worker says of its part of a batch."""

    @property
    def nodes(self) -> Mapping[Node, Float32[np.ndarray, " values"]]:
        """What `diffbio_core.training.gradient_tree.sum_run` gave of the part's leaves."""
        ...


@dataclass(frozen=True)
class Reduced:
    """The sum over a batch.

    Attributes:
        total: Sum over all leaves.
        parts: What each worker has said, in the order of the leaves.
        seconds: Time that adding them up here took.
    """

    total: Float32[np.ndarray, " values"]
    parts: Sequence[Any]
    seconds: float


def reduce_gradients(
    executor: Executor,
    function: Callable[[Task], PartResult],
    task: Callable[[range], Task],
    leaves: int,
    *,
    name: Callable[[Task], str] = str,
    device: Device | None = None,
) -> Reduced:
    """The sum of a batch's gradients, its leaves split over the workers as they are now.

    Args:
        executor: Whose workers.
        function: Gradients of a run of leaves; importable by the workers.
        task: What asks for a run of leaves; holds the parameters, which so travel once to each worker.
        leaves: Parts that the batch always consists of, whatever the number of workers.
        name: Of a task, for error messages.
        device: Only workers with a GPU, or only those without one.

    Raises:
        TaskFailedError: See `Executor.run_placed`.
        ClusterLostError: See `Executor.run_placed`.
    """
    workers = executor.gpu_workers if device == "GPU" else executor.workers
    tasks = [task(run) for run in split_leaves(leaves, max(1, workers))]
    parts = executor.run_placed(function, tasks, name=name, device=device)
    begun = time.perf_counter()
    total = sum_nodes([part.nodes for part in parts], np.add, leaves)
    return Reduced(total, parts, time.perf_counter() - begun)
