"""Batch correction of embeddings by Harmony."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from diffbio_core.operators.base import TemperatureConfig, TemperatureOperator, initialisation_rngs
from diffbio_core.operators.singlecell import harmony
from diffbio_core.operators.singlecell.kmeans import kmeans
from diffbio_core.operators.validation import check_finite, check_labels, check_positive, check_shapes, concrete
from diffbio_core.typing import Metadata, PyTree

_START_STEPS = 10
"""Lloyd steps that starting centroids get: Harmony moves them on at once."""

_CELLS_PER_CLUSTER = 30

_MOST_TRACED_BATCHES = 64
"""Room for batches where their number is neither configured nor visible, under `jax.jit`."""


@dataclass(frozen=True)
class BatchCorrectionConfig(TemperatureConfig):
    """Configuration of `DifferentiableHarmony`.

    Attributes:
        n_clusters: Soft clusters.
        n_features: Size of an embedding.
        n_batches: Batches, labelled 0 to n_batches - 1; as many as the labels name if None.
        n_iterations: Rounds of clustering and correction at most.
        theta: Weight of the diversity penalty; 0 clusters without regard to batches.
        sigma: Width of the soft clusters, multiplied by the temperature.
        tolerance: Relative change of the objective at which rounds end; 0 makes all of them.

    Raises:
        ValueError: A size or a width that is not positive, or a negative penalty or tolerance.
    """

    n_clusters: int = 100
    n_features: int = 50
    n_batches: int | None = 2
    n_iterations: int = 10
    theta: float = 2.0
    sigma: float = 0.1
    tolerance: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            "batch correction",
            n_clusters=self.n_clusters,
            n_features=self.n_features,
            n_batches=1 if self.n_batches is None else self.n_batches,
            n_iterations=self.n_iterations,
            sigma=self.sigma,
        )
        for name in ("theta", "tolerance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"batch correction: {name} must not be negative, got {getattr(self, name)}")


class DifferentiableHarmony(TemperatureOperator):
    """Moves the batches of every soft cluster onto each other (Korsunsky et al. 2019).

    `apply` makes rounds of clustering and correction, from the centroids that it holds, until the objective settles;
    gradients go through every round that was made. `fit` does the same from a k-means++ start and keeps the centroids,
    so that `apply` begins where the fit ended. Without a fit they are random directions.

    Attributes:
        cluster_centroids: Where clustering starts (n_clusters, n_features).
    """

    config: BatchCorrectionConfig

    def __init__(self, config: BatchCorrectionConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        key = initialisation_rngs(rngs).params()
        self.cluster_centroids = nnx.Param(harmony.unit(jax.random.normal(key, (config.n_clusters, config.n_features))))

    def fit(
        self,
        embeddings: Float[Array | np.ndarray, "cells features"],
        batch_labels: Int[Array | np.ndarray, "cells"],
        *,
        seed: int = 0,
    ) -> Self:
        """Find the centroids of cells, mixed over their batches.

        Args:
            embeddings: Uncorrected.
            batch_labels: Batch of each cell.
            seed: Of the k-means++ start; the same seed gives the same bits.

        Returns:
            The operator, with `cluster_centroids` fitted: one for each 30 cells, those beyond zero.

        Raises:
            ValueError: Shapes do not fit, an embedding is not finite, or a label is none of the batches.
        """
        data = {"embeddings": jnp.asarray(embeddings, float), "batch_labels": jnp.asarray(batch_labels)}
        n_batches = self._check(data)
        cells, labels = data["embeddings"], data["batch_labels"]
        # Clusters of a few cells cannot hold every batch: the published rule leaves the rest of them empty.
        clusters = min(self.config.n_clusters, max(1, round(cells.shape[0] / _CELLS_PER_CLUSTER)))
        starts, _, _ = kmeans(jax.random.key(seed), harmony.unit(cells), clusters, steps=_START_STEPS)
        starts = jnp.pad(starts, ((0, self.config.n_clusters - clusters), (0, 0)))
        self.cluster_centroids[...] = self._rounds(cells, labels, starts, n_batches).centroids
        return self

    def compute_soft_assignments(
        self, embeddings: Float[Array, "cells features"], centroids: Float[Array, "clusters features"]
    ) -> Float[Array, "cells clusters"]:
        """Soft clusters by cosine distance alone, without regard to batches; rows sum to 1."""
        return harmony.soft_assignments(embeddings, centroids, self._settings.sigma)

    def compute_batch_proportions(
        self, batch_labels: Int[Array, "cells"], assignments: Float[Array, "cells clusters"]
    ) -> Float[Array, "clusters batches"]:
        """Share of each batch in each cluster; rows sum to 1, or are zero for a cluster without cells."""
        n_batches = self.n_batches(batch_labels)
        sizes = assignments.T @ jax.nn.one_hot(batch_labels, n_batches, dtype=assignments.dtype)
        totals = sizes.sum(axis=1, keepdims=True)
        return jnp.where(totals > 0, sizes / jnp.where(totals > 0, totals, 1), 0)

    def correction_step(
        self,
        embeddings: Float[Array, "cells features"],
        batch_labels: Int[Array, "cells"],
        centroids: Float[Array, "clusters features"],
    ) -> tuple[Float[Array, "cells features"], Float[Array, "cells clusters"]]:
        """One round from given centroids: corrected embeddings and assignments."""
        standing = harmony.round_of(
            embeddings,
            batch_labels,
            harmony.start(embeddings, centroids, self._settings),
            self._settings,
            n_batches=self.n_batches(batch_labels),
        )
        return standing.corrected, standing.assignments

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Correct embeddings.

        Args:
            data: `embeddings` (cells, n_features) and `batch_labels` (cells,) int. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `corrected_embeddings` (cells, n_features) and `cluster_assignments` (cells, n_clusters), rows
            sum to 1; state, metadata. Under `jax.jit`, where a label outside the batches cannot be told, the corrected
            embeddings of all cells are NaN then.

        Raises:
            ValueError: A key is missing, shapes do not fit, an embedding is not finite, or a label is none of the
                batches.
        """
        n_batches = self._check(data)
        embeddings, labels = data["embeddings"], data["batch_labels"]
        corrected, assignments = self.correct(embeddings, labels, n_batches)
        result = {"corrected_embeddings": corrected, "cluster_assignments": assignments}
        return {**data, **result}, state, metadata

    def correct(
        self, embeddings: Float[Array, "cells features"], batch_labels: Int[Array, "cells"], n_batches: int
    ) -> tuple[Float[Array, "cells features"], Float[Array, "cells clusters"]]:
        """What `apply` adds, for a number of batches that is known; it checks nothing."""
        standing = self._rounds(embeddings, batch_labels, self.cluster_centroids[...], n_batches)
        outside = jnp.any((batch_labels < 0) | (batch_labels >= n_batches))
        return jnp.where(outside, jnp.nan, standing.corrected), standing.assignments

    @property
    def _settings(self) -> harmony.Settings:
        return harmony.Settings(self.config.theta, self.config.sigma * self._temperature)

    def _rounds(self, embeddings: Array, labels: Array, centroids: Array, n_batches: int) -> harmony.Fitted:
        return harmony.rounds(
            embeddings,
            labels,
            centroids,
            self._settings,
            n_batches=n_batches,
            most=self.config.n_iterations,
            tolerance=self.config.tolerance,
        )

    def _check(self, data: PyTree) -> int:
        """Refuse what cannot be corrected; the number of batches."""
        check_shapes(
            "batch correction",
            data,
            {"embeddings": ("cells", self.config.n_features), "batch_labels": ("cells",)},
        )
        self._check_values(data)
        return self.n_batches(data["batch_labels"])

    def _check_values(self, data: PyTree) -> None:
        check_finite("batch correction", "embeddings", data["embeddings"])
        check_labels("batch correction", "batch_labels", data["batch_labels"], self.config.n_batches)

    def n_batches(self, batch_labels: Any) -> int:
        """Number of batches: the configured one, or what the labels name, as far as they can be seen."""
        if self.config.n_batches is not None:
            return self.config.n_batches
        labels = concrete(batch_labels)
        if labels is None:
            return min(batch_labels.shape[-1], _MOST_TRACED_BATCHES)
        return int(labels.max(initial=0)) + 1
