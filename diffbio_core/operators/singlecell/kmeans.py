"""k-means with k-means++ starts, the starting point of Harmony and of soft clustering."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from diffbio_core.operators.numerics.distances import squared_distances

_MOST_STEPS = 100
"""Lloyd steps before a start is taken as it is; the usual ones settle in a tenth of them."""


@partial(jax.jit, static_argnames=("n_clusters", "restarts", "steps"))
def kmeans(
    key: Array,
    points: Float[Array, "points features"],
    n_clusters: int,
    restarts: int = 1,
    steps: int = _MOST_STEPS,
) -> tuple[Float[Array, "clusters features"], Int[Array, "points"], Float[Array, ""]]:
    """Cluster points by Lloyd's algorithm from k-means++ starts; the start with the least inertia wins.

    Args:
        key: PRNG key; the same key gives the same bits.
        points: What to cluster.
        n_clusters: Number of clusters; where there are fewer distinct points, some clusters stay empty.
        restarts: Number of starts.
        steps: Lloyd steps at most.

    Returns:
        Centroids, cluster of each point, and inertia (sum of squared distances to the centroids).
    """

    def once(key: Array) -> tuple[Array, Array, Array]:
        centroids = _lloyd(points, kmeans_plus_plus(key, points, n_clusters), steps)
        distances = squared_distances(points, centroids)
        return centroids, jnp.argmin(distances, axis=1), distances.min(axis=1).sum()

    centroids, labels, inertia = jax.lax.map(once, jax.random.split(key, restarts))
    best = jnp.argmin(inertia)
    return centroids[best], labels[best], inertia[best]


@partial(jax.jit, static_argnames="n_clusters")
def kmeans_plus_plus(
    key: Array, points: Float[Array, "points features"], n_clusters: int
) -> Float[Array, "clusters features"]:
    """Starting centroids, each drawn by its squared distance to those before it, the best of a few draws.

    Arthur and Vassilvitskii 2007, "k-means++: the advantages of careful seeding", greedy as in its section 5.

    Args:
        key: PRNG key.
        points: What to cluster.
        n_clusters: Number of centroids.
    """
    draws = 2 + int(math.log(n_clusters))
    first_key, key = jax.random.split(key)
    first = points[jax.random.randint(first_key, (), 0, points.shape[0])]
    nearest = squared_distances(points, first[None])[:, 0]

    def add(nearest: Array, key: Array) -> tuple[Array, Array]:
        cumulative = jnp.cumsum(nearest)
        drawn = jnp.searchsorted(cumulative, jax.random.uniform(key, (draws,)) * cumulative[-1])
        candidates = points[jnp.clip(drawn, 0, points.shape[0] - 1)]
        reached = jnp.minimum(nearest[:, None], squared_distances(points, candidates))
        best = jnp.argmin(reached.sum(axis=0))
        return reached[:, best], candidates[best]

    _, others = jax.lax.scan(add, nearest, jax.random.split(key, n_clusters - 1))
    return jnp.concatenate([first[None], others])


def _lloyd(points: Array, centroids: Array, steps: int) -> Array:
    def unsettled(state: tuple[Array, Array, Array]) -> Array:
        _, moved, step = state
        return moved & (step < steps)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        centroids, _, step = state
        # The points' own squares are the same for every centroid.
        nearest = jnp.argmax(points @ centroids.T - (centroids**2).sum(axis=1) / 2, axis=1)
        members = jax.nn.one_hot(nearest, centroids.shape[0], dtype=points.dtype)
        sizes = members.sum(axis=0)[:, None]
        means = jnp.where(sizes > 0, members.T @ points / jnp.maximum(sizes, 1), centroids)
        return means, jnp.any(means != centroids), step + 1

    return jax.lax.while_loop(unsettled, step, (centroids, jnp.asarray(True), jnp.asarray(0)))[0]
