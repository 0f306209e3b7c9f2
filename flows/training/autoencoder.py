"""Training of a count autoencoder on a cluster: its steps, checkpoints and sums of gradients are the caller's.

Cells lie in the work directory as CSR, which workers map into memory: a big table is read where it is needed. A step's
cells are split into a fixed number of leaves, so that the bits do not depend on the number of workers.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Float32, Int

from diffbio_cluster.executor import Device, Executor
from diffbio_cluster.gradients import reduce_gradients
from diffbio_core.operators.normalization.vae_normalizer import VAENormalizer, VAENormalizerConfig
from diffbio_core.sources.matrix import CountMatrix, SparseCounts
from diffbio_core.training.gradient_tree import Node, sum_run
from diffbio_core.training.step import TrainingStep
from diffbio_core.training.vae_training import (
    VAEHistory,
    VAEObjective,
    VAESchedule,
    VAETrainingConfig,
    checked_labels,
    measure_held_out,
    start_from_means,
)
from diffbio_core.whole_file import whole_file, write_whole
from diffbio_flows.training.checkpoints import Checkpoints
from diffbio_flows.training.leaf_task import LeafTask
from diffbio_flows.training.optimisation import Optimisation

LEAVES = 8
"""Parts that a batch always consists of."""

CHECKPOINT_SECONDS = 60.0
"""Time between two checkpoints; they are written at the end of an epoch."""

_PLAN, _MATRIX, _LABELS = "autoencoder.json", ("data", "indices", "indptr"), "labels"


@dataclass(frozen=True)
class CellSums:
    """What a worker answers.

    Attributes:
        nodes: Sums of gradients, followed by the sum of losses and that of the cells' weights.
    """

    nodes: Mapping[Node, Float32[np.ndarray, " values"]]


def train_on_workers(
    vae: VAENormalizer,
    counts: CountMatrix,
    config: VAETrainingConfig,
    *,
    executor: Executor,
    work: Path,
    batch_labels: Int[np.ndarray, "cells"] | None = None,
    report: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
    device: Device | None = None,
) -> VAEHistory:
    """See `train_vae`; the work is done by an executor's workers, and goes on from the last checkpoint.

    Args:
        vae: What to train, in place.
        counts: Cells by genes.
        config: How.
        executor: Whose workers.
        work: Folder of the run's state, which all workers reach.
        batch_labels: See `train_vae`.
        report: See `train_vae`.
        device: Only workers with a GPU, or only those without one.

    Raises:
        ValueError: What `train_vae` refuses.
        FloatingPointError: A loss is not finite; the step is named.
        TaskFailedError: A worker failed. Checkpoints are kept.
        ClusterLostError: No worker is left. Checkpoints are kept.
    """
    labels = checked_labels(vae, counts, batch_labels)
    start_from_means(vae, counts)
    schedule = VAESchedule(counts.shape[0], config)
    vector, unravel = ravel_pytree(nnx.state(vae, nnx.Param))
    plan = _save(work, vae.config, config, counts, labels, np.asarray(vector))
    optimisation = Optimisation(optax.adam(config.learning_rate))
    state = optimisation.start(np.asarray(vector))
    losses: list[float] = []
    with Checkpoints(work / f"checkpoints-{plan[:12]}") as checkpoints:
        found = checkpoints.restore(state)
        if found is not None:
            state, losses = found.state, list(found.told["losses"])
        saved = time.monotonic()
        while len(losses) < schedule.epochs:
            parts: list[float] = []
            for _ in range(schedule.steps_per_epoch):
                parameters, step = np.asarray(state.parameters), state.step

                def task(run: range, parameters: Any = parameters, step: int = step) -> LeafTask:
                    return LeafTask(str(work.resolve()), plan, step, run, parameters)

                reduced = reduce_gradients(executor, cell_gradients, task, LEAVES, device=device)
                state, loss, _ = optimisation.advance(state, reduced.total)
                parts.append(loss)
            losses.append(sum(parts) / len(parts))
            report(len(losses), schedule.epochs, losses[-1])
            if len(losses) == schedule.epochs or time.monotonic() - saved > CHECKPOINT_SECONDS:
                checkpoints.save(state, {"losses": losses})
                saved = time.monotonic()
    nnx.update(vae, unravel(state.parameters))
    history = VAEHistory(losses=losses, held_out_cells=schedule.held_out)
    measure_held_out(vae, counts, config, history, batch_labels)
    return history


def cell_gradients(task: LeafTask) -> CellSums:
    """The sums over a run of leaves; what a worker runs."""
    with _making:
        trainee = _trainee(task.work, task.plan)
    return trainee.sums(task)


class _Trainee:
    """A plan's autoencoder and cells, in one process; its threads share it."""

    def __init__(self, work: Path, plan: str) -> None:
        content = (work / _PLAN).read_bytes()
        if hashlib.sha256(content).hexdigest() != plan:
            raise ValueError(f"{work / _PLAN} is another plan than the one that the training began with")
        told = json.loads(content)
        vae = VAENormalizer(VAENormalizerConfig(**told["autoencoder"]), rngs=nnx.Rngs(0))
        config = VAETrainingConfig(**told["training"])
        self._counts, self._labels = _load(work, told["genes"])
        self._schedule = VAESchedule(self._counts.shape[0], config)
        self._key = jax.random.key(config.seed)
        objective = VAEObjective(vae)
        _, unravel = ravel_pytree(objective.parameters)

        def of_vector(vector: jax.Array, batch: Any, key: jax.Array, first: jax.Array) -> Any:
            places = first + jax.numpy.arange(batch["labels"].size)
            # Of a cell's place in the batch, so that neither leaves nor workers show.
            keys = jax.vmap(lambda place: jax.random.fold_in(key, place))(places)
            return objective(unravel(vector), batch, keys)

        # The leader updates.
        self._step = TrainingStep(of_vector, optax.identity())

    def sums(self, task: LeafTask) -> CellSums:
        """See `cell_gradients`."""
        batch = self._schedule.batch(task.step)
        key = jax.random.fold_in(self._key, task.step)
        size = -(-batch.rows.size // LEAVES)

        def leaf(place: int) -> Float32[np.ndarray, " values"]:
            part = slice(place * size, (place + 1) * size)
            if part.start >= batch.rows.size:
                return np.zeros(task.parameters.size + 2, np.float32)
            found = self._step.part(task.parameters, batch.arrays(self._counts, self._labels, part), key, part.start)
            return np.concatenate([np.asarray(found.gradient), [found.loss, found.weight]]).astype(np.float32)

        return CellSums(sum_run(task.leaves, leaf, np.add, LEAVES))


_making = threading.Lock()


@lru_cache(maxsize=1)
def _trainee(work: str, plan: str) -> _Trainee:
    return _Trainee(Path(work), plan)


def _save(
    work: Path,
    autoencoder: VAENormalizerConfig,
    training: VAETrainingConfig,
    counts: CountMatrix,
    labels: np.ndarray,
    start: np.ndarray,
) -> str:
    """Writes cells and plan to the work directory; gives what tells the plan from any other."""
    from scipy.sparse import csr_matrix, vstack

    matrix = vstack([csr_matrix(block) for _, block in counts.blocks()], format="csr")
    arrays = {**{name: getattr(matrix, name) for name in _MATRIX}, _LABELS: labels}
    work.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        with whole_file(work / f"{name}.npy") as aside, aside.open("wb") as file:
            np.save(file, values, allow_pickle=False)
    content = json.dumps(
        {
            "autoencoder": asdict(autoencoder),
            "training": asdict(training),
            "genes": counts.shape[1],
            "sha256": {
                name: hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
                for name, values in {**arrays, "start": start}.items()
            },
        }
    ).encode()
    write_whole(work / _PLAN, content)
    return hashlib.sha256(content).hexdigest()


def _load(work: Path, genes: int) -> tuple[CountMatrix, np.ndarray]:
    from scipy.sparse import csr_matrix

    arrays = [np.load(work / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _MATRIX]
    labels = np.load(work / f"{_LABELS}.npy", allow_pickle=False)
    return SparseCounts(csr_matrix(tuple(arrays), shape=(labels.size, genes), copy=False)), labels
