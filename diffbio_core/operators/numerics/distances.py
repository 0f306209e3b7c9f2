"""Distances between two sets of points."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def squared_distances(
    points: Float[Array, "points features"], centroids: Float[Array, "clusters features"]
) -> Float[Array, "points clusters"]:
    """Squared Euclidean distances, never below zero."""
    products = points @ centroids.T
    squares = (points**2).sum(axis=1)[:, None] + (centroids**2).sum(axis=1)[None, :]
    return jnp.maximum(squares - 2 * products, 0)
