"""Losses on single-cell embeddings: how well batches mix, how tight clusters are, how evenly they are used."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from diffbio_core.operators.numerics.distances import squared_distances

_SMALLEST = 1e-12


class BatchMixingLoss(nnx.Module):
    """Negative mean entropy of the batch labels around each cell: -1 where all are evenly mixed, 0 where none are.

    Args:
        n_neighbors: Nearest other cells that a neighbourhood is made of; all where there are fewer.
        n_batches: Number of batches.
        temperature: How fast a neighbour's weight falls off, in mean squared distances of the neighbourhood.
    """

    def __init__(self, n_neighbors: int = 15, n_batches: int = 3, temperature: float = 1.0):
        self.n_neighbors = n_neighbors
        self.n_batches = n_batches
        self.temperature = temperature

    def __call__(
        self, embeddings: Float[Array, "cells features"], batch_labels: Int[Array, "cells"]
    ) -> Float[Array, ""]:
        """Loss, in [-1, 0].

        Args:
            embeddings: Where the cells lie.
            batch_labels: From 0 to n_batches - 1.
        """
        cells = embeddings.shape[0]
        distances = squared_distances(embeddings, embeddings) + jnp.diag(jnp.full(cells, jnp.inf))
        near, neighbours = jax.lax.top_k(-distances, min(self.n_neighbors, cells - 1))
        scale = self.temperature * jnp.maximum(-near.mean(axis=1, keepdims=True), _SMALLEST)
        weights = jax.nn.softmax(near / scale, axis=1)
        shares = jnp.einsum("cn,cnb->cb", weights, jax.nn.one_hot(batch_labels, self.n_batches)[neighbours])
        return -normalised_entropy(shares).mean()


class ClusteringCompactnessLoss(nnx.Module):
    """Mean squared distance to the assigned centroids, and a penalty on centroids that lie close together.

    Args:
        separation_weight: Weight of the penalty.
        min_separation: Distance from which on two centroids are not penalised.
    """

    def __init__(self, separation_weight: float = 1.0, min_separation: float = 1.0):
        self.separation_weight = separation_weight
        self.min_separation = min_separation

    def __call__(
        self,
        embeddings: Float[Array, "cells features"],
        assignments: Float[Array, "cells clusters"],
        centroids: Float[Array, "clusters features"] | None = None,
    ) -> Float[Array, ""]:
        """Loss, 0 or more.

        Args:
            embeddings: Where the cells lie.
            assignments: Soft clusters, rows sum to 1.
            centroids: The assigned means if None.
        """
        if centroids is None:
            sizes = assignments.sum(axis=0)[:, None]
            centroids = assignments.T @ embeddings / jnp.maximum(sizes, _SMALLEST)
        spread = (assignments * squared_distances(embeddings, centroids)).sum(axis=1).mean()
        clusters = centroids.shape[0]
        if clusters < 2:
            return spread
        pairs = jnp.triu_indices(clusters, k=1)
        apart = ((centroids[pairs[0]] - centroids[pairs[1]]) ** 2).sum(axis=1)
        # The root of zero has no gradient: coinciding centroids would give NaN.
        distance = jnp.sqrt(jnp.maximum(apart, _SMALLEST))
        return spread + self.separation_weight * jax.nn.relu(self.min_separation - distance).mean()


class ShannonDiversityLoss(nnx.Module):
    """Negative entropy of how much each cluster is used, in units of the largest: -1 where all are used alike."""

    def __call__(self, assignments: Float[Array, "cells clusters"]) -> Float[Array, ""]:
        """Loss, in [-1, 0], of soft clusters whose rows sum to 1."""
        return -normalised_entropy(assignments.mean(axis=0))


class SimpsonDiversityLoss(nnx.Module):
    """Chance that two cells fall into one cluster: 1 / clusters where all are used alike, 1 where one is."""

    def __call__(self, assignments: Float[Array, "cells clusters"]) -> Float[Array, ""]:
        """Loss, in (0, 1], of soft clusters whose rows sum to 1."""
        return (assignments.mean(axis=0) ** 2).sum()


def normalised_entropy(shares: Float[Array, "*rows classes"]) -> Float[Array, "*rows"]:
    """Entropy of shares that sum to 1, divided by its largest value; 0 for a single class."""
    if shares.shape[-1] < 2:
        return jnp.zeros(shares.shape[:-1], shares.dtype)
    entropy = -(shares * jnp.log(jnp.maximum(shares, _SMALLEST))).sum(axis=-1)
    return jnp.clip(entropy / jnp.log(shares.shape[-1]), 0, 1)
