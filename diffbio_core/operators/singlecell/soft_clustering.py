"""Soft k-means: every cell belongs to every cluster, to the nearest most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from diffbio_core.operators.base import FixedValue, TemperatureConfig, TemperatureOperator, initialisation_rngs
from diffbio_core.operators.numerics.distances import squared_distances
from diffbio_core.operators.singlecell.kmeans import kmeans
from diffbio_core.operators.validation import check_finite, check_positive, check_shapes
from diffbio_core.typing import Metadata, PyTree

_RESTARTS = 10
"""k-means++ starts of a fit, as in the usual implementations."""


@dataclass(frozen=True)
class SoftClusteringConfig(TemperatureConfig):
    """Configuration of `SoftKMeansClustering`.

    Attributes:
        n_clusters: Number of clusters.
        n_features: Size of an embedding.
        learnable_centroids: Whether centroids are parameters to be trained.

    Raises:
        ValueError: A size that is not positive.
    """

    n_clusters: int = 10
    n_features: int = 50
    learnable_centroids: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("soft clustering", n_clusters=self.n_clusters, n_features=self.n_features)


class SoftKMeansClustering(TemperatureOperator):
    """Assigns cells by softmax(-squared distance / temperature).

    Attributes:
        centroids: Centres of the clusters (n_clusters, n_features): k-means' after a fit, random before.
    """

    config: SoftClusteringConfig

    def __init__(self, config: SoftClusteringConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        kind = nnx.Param if config.learnable_centroids else FixedValue
        key = initialisation_rngs(rngs).params()
        self.centroids = kind(jax.random.normal(key, (config.n_clusters, config.n_features)))

    def fit(self, embeddings: Float[Array | np.ndarray, "cells features"], *, seed: int = 0) -> Self:
        """Place the centroids by k-means from ten k-means++ starts.

        Args:
            embeddings: Cells.
            seed: The same seed gives the same bits.

        Returns:
            The operator, with `centroids` fitted.

        Raises:
            ValueError: Shapes do not fit, or an embedding is not finite.
        """
        cells = jnp.asarray(embeddings, float)
        self._check({"embeddings": cells})
        self.centroids[...] = kmeans(jax.random.key(seed), cells, self.config.n_clusters, restarts=_RESTARTS)[0]
        return self

    def compute_distances(
        self, embeddings: Float[Array, "cells features"], centroids: Float[Array, "clusters features"] | None = None
    ) -> Float[Array, "cells clusters"]:
        """Squared Euclidean distances, to the operator's own centroids if none are given."""
        return squared_distances(embeddings, self.centroids[...] if centroids is None else centroids)

    def compute_assignments(
        self, embeddings: Float[Array, "cells features"], centroids: Float[Array, "clusters features"] | None = None
    ) -> Float[Array, "cells clusters"]:
        """Soft clusters; rows sum to 1."""
        return jax.nn.softmax(-self.compute_distances(embeddings, centroids) / self._temperature, axis=-1)

    def get_hard_labels(self, assignments: Float[Array, "cells clusters"]) -> Int[Array, "cells"]:
        """The most likely cluster of each cell."""
        return jnp.argmax(assignments, axis=-1)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Assign cells to clusters.

        Args:
            data: `embeddings` (cells, n_features). Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `cluster_assignments` (cells, n_clusters), rows sum to 1, `cluster_labels` (cells,) int and
            `centroids` (n_clusters, n_features); state, metadata.

        Raises:
            ValueError: The key is missing, its shape does not fit, or an embedding is not finite.
        """
        self._check(data)
        assignments = self.compute_assignments(data["embeddings"])
        result = {
            "cluster_assignments": assignments,
            "cluster_labels": self.get_hard_labels(assignments),
            "centroids": self.centroids[...],
        }
        return {**data, **result}, state, metadata

    def _check(self, data: PyTree) -> None:
        check_shapes("soft clustering", data, {"embeddings": ("cells", self.config.n_features)})
        self._check_values(data)

    def _check_values(self, data: PyTree) -> None:
        check_finite("soft clustering", "embeddings", data["embeddings"])
