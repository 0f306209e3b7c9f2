"""The call stage: candidates of a shard -> evidence for their alleles, through the jitted pipeline in fixed batches."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from diffbio_core.calling.calibration import Calibration, candidate_kinds
from diffbio_core.calling.device_batches import DeviceBatches
from diffbio_core.calling.genotyping import AlleleEvidence
from diffbio_core.candidates.views import (
    DELETION_AFTER,
    DIFFERS,
    FLANK,
    INSERTION_AFTER,
    ROW_BUCKETS,
    SUPPORTS,
    CandidateViews,
    candidate_depth,
    cut_views,
)
from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline
from diffbio_core.windows.encoding import CODE_MASK
from diffbio_core.windows.planes import ShardPlanes

BATCH_SIZE = 32
"""Candidates that go through the pipeline at once; more candidates mean more batches.

So small that XLA's matrix products on a CPU give every row of a batch the same bits wherever it stands: with 128 about
2 % of the logits change with their place. It is also the fastest, since a batch stays in the core's cache.
"""


DEVICE_BATCH_SIZE = 1024
"""Candidates that go through the pipeline at once on a GPU, of as many shards as its worker has threads."""


class CallStage:
    """Runs a pipeline over the candidates of shards, compiled once per row bucket; threads may share it.

    Args:
        pipeline: A trained pipeline.
        join_threads: Whether the candidates of shards that several threads work on go through the pipeline together:
            as they should where it runs on another device than the threads do, which is found out if not given.
        batch_size: Candidates that go through it at once; that of the device if not given.
        calibration: Of the probabilities; none if not given.
    """

    def __init__(
        self,
        pipeline: AlleleCallingPipeline,
        *,
        join_threads: bool | None = None,
        batch_size: int | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self._calibration = calibration or Calibration.none()
        on_cpu = jax.default_backend() == "cpu"
        self._batch_size = batch_size or (BATCH_SIZE if on_cpu else DEVICE_BATCH_SIZE)
        join_threads = not on_cpu if join_threads is None else join_threads
        self._joined = DeviceBatches(self.classify, self._batch_size) if join_threads else None
        graph, self._parameters = nnx.split(pipeline)
        self._limits = pipeline.config.limits
        self._call = _program(graph)

    def classify(self, views: dict[str, np.ndarray]) -> Float[jax.Array, "candidates 3"]:
        """Logarithms of the probabilities of 0, 1 and 2 copies, of a batch of views (``CandidateViews.arrays``).

        With as many views as a batch holds, all of one number of rows, what a view gets depends on neither its place
        nor the others.
        """
        return self._call(self._parameters, views)

    def compile(self, rows: int) -> None:
        """Compiles the program for views of so many rows, one of ``ROW_BUCKETS``."""
        self.classify(CandidateViews.empty(self._batch_size, rows).arrays())

    def __call__(self, planes: ShardPlanes) -> AlleleEvidence:
        """Evidence for every candidate of a shard."""
        depth = candidate_depth(planes, self._limits.max_reads, self._limits.thinned_reads)
        number = len(planes.candidates)
        logs = np.zeros((number, 3))
        supports, matches = np.zeros(number, np.int32), np.zeros(number, np.int32)
        tract = np.zeros(number, np.int32)
        bucket = np.searchsorted(ROW_BUCKETS, depth.shown)
        pending: list[tuple[np.ndarray, jax.Array | Future[np.ndarray]]] = []
        for index, rows in enumerate(ROW_BUCKETS):
            chosen = np.flatnonzero(bucket == index).astype(np.int32)
            for start in range(0, chosen.size, self._batch_size):
                which = chosen[start : start + self._batch_size]
                length = None if self._joined else self._batch_size
                views = cut_views(planes, which, rows, length, depth=depth, limits=self._limits)
                tract[which] = views.tract[: which.size]
                supports[which], matches[which] = (counts[: which.size] for counts in _count_reads(views))
                pending.append((which, self._joined.submit(views) if self._joined else self.classify(views.arrays())))
        for which, result in pending:
            found = result.result() if isinstance(result, Future) else np.asarray(result, np.float64)
            logs[which] = found[: which.size]
        logs = self._calibration(logs, candidate_kinds(planes.candidates.length, tract), depth.shown)
        return AlleleEvidence(logs, supports, matches, depth.shown, depth.covering + planes.candidates.thinned)


@lru_cache(maxsize=4)
def _program(graph: nnx.GraphDef) -> Callable[[nnx.State, dict[str, np.ndarray]], jax.Array]:
    """The compiled pipeline, one for all models that differ in their parameters alone, as those of a training do."""

    @jax.jit
    def call(parameters: nnx.State, views: dict[str, jax.Array]) -> jax.Array:
        merged = nnx.merge(graph, parameters)
        logits = jax.vmap(lambda view: merged.apply(view, {}, None)[0]["logits"])(views)
        return jax.nn.log_softmax(logits)

    return call


def _count_reads(views: CandidateViews) -> tuple[np.ndarray, np.ndarray]:
    """Reads that show the allele, and reads that show the reference, per view."""
    roles = views.roles()
    supports = (roles == SUPPORTS).sum(1, dtype=np.int32)
    middle = views.symbol[:, :, FLANK]
    plain = (middle & CODE_MASK) == views.reference[:, None, FLANK]
    plain &= (views.length == 0)[:, None] | ((middle & (INSERTION_AFTER | DELETION_AFTER)) == 0)
    return supports, ((roles == DIFFERS) & plain).sum(1, dtype=np.int32)
