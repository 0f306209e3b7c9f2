"""Gradients of a run of leaves, on a worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Float32

from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline
from diffbio_core.training.allele_objective import AlleleObjective
from diffbio_core.training.gradient_tree import Node, sum_run
from diffbio_core.training.step import TrainingStep
from diffbio_flows.training.leaf_task import LeafTask
from diffbio_flows.training.plan import TrainingPlan, load_plan
from diffbio_flows.training.reading import WindowReader

CHUNK = 32
"""Candidates that go through the network at once: they stay in a core's cache."""


@dataclass(frozen=True)
class LeafSums:
    """What a worker answers.

    Attributes:
        nodes: Sums of gradients, followed by the sum of losses and the number of candidates.
        windows: Windows looked at.
        read: Seconds that were spent waiting for windows.
        computed: Seconds that were spent on gradients.
    """

    nodes: Mapping[Node, Float32[np.ndarray, " values"]]
    windows: int
    read: float
    computed: float


def leaf_gradients(task: LeafTask) -> LeafSums:
    """The sums over a run of leaves."""
    with _making:
        trainee = _trainee(task.work, task.plan)
    return trainee.sums(task)


class Trainee:
    """A plan's network and windows, in one process; its threads share it.

    Args:
        plan: What is trained, and on what.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        shape = plan.shape
        self._schedule, self._shape = plan.schedule, shape
        self._reader = WindowReader(plan, held=2 * shape.leaves * (shape.open_pieces + 1))
        self.objective = AlleleObjective(AlleleCallingPipeline(plan.pipeline, rngs=nnx.Rngs(0)))
        _, unravel = ravel_pytree(self.objective.parameters)

        def of_vector(vector: jax.Array, *inputs: Any) -> tuple[jax.Array, jax.Array]:
            return self.objective(unravel(vector), *inputs)

        # The leader updates.
        self._step = TrainingStep(of_vector, optax.identity())

    def sums(self, task: LeafTask) -> LeafSums:
        """See `leaf_gradients`."""
        spent = {"read": 0.0, "computed": 0.0}
        windows = 0

        def leaf(place: int) -> Float32[np.ndarray, " values"]:
            nonlocal windows
            start = time.perf_counter()
            wanted = self._schedule.leaf(task.step, place)
            examples = self._reader.leaf(wanted)
            windows += len(wanted.windows)
            read = time.perf_counter()
            total = np.zeros(task.parameters.size + 2, np.float32)
            chunks = [
                self._step.part(task.parameters, part.views, part.labels.astype(np.int32))
                for part in (
                    examples.take(slice(at, at + CHUNK)).filled(CHUNK) for at in range(0, len(examples), CHUNK)
                )
            ]
            for chunk in chunks:
                total[:-2] += np.asarray(chunk.gradient)
                total[-2:] += np.array([chunk.loss, chunk.weight])
            spent["read"] += read - start
            spent["computed"] += time.perf_counter() - read
            return total

        nodes = sum_run(task.leaves, leaf, np.add, self._shape.leaves)
        return LeafSums(nodes, windows, spent["read"], spent["computed"])

    def close(self) -> None:
        """Stops reading ahead."""
        self._reader.close()


_making = threading.Lock()


@lru_cache(maxsize=1)
def _trainee(work: str, plan: str) -> Trainee:
    return Trainee(load_plan(work, plan))
