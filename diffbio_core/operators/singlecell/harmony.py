"""Harmony on arrays: soft clustering that rewards mixed clusters, and the ridge correction that follows from it.

Korsunsky et al. 2019, "Fast, sensitive and accurate integration of single-cell data with Harmony", Nature Methods 16.
Cells are rows. Every step is a sum or a small solve, so the whole of it has gradients.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

CLUSTERING_STEPS = 4
"""Updates of centroids and assignments between two corrections, as in the published implementations."""

_BLOCKS = 20
"""Assignments are updated for a twentieth of the cells at a time, so that no update overshoots."""

_RIDGE = 1.0
"""Ridge penalty of a batch's shift in a cluster, in cells; the intercept has none."""

_SMALLEST_NORM = 1e-12
_FAR = 1e30


class Settings(NamedTuple):
    """What the algorithm can be told.

    Attributes:
        theta: Weight of the diversity penalty.
        sigma: Width of the soft clustering, in squared distances of unit vectors.
    """

    theta: Array | float
    sigma: Array | float


class Fitted(NamedTuple):
    """Where the algorithm stands.

    Attributes:
        corrected: Embeddings without batch effects.
        assignments: Soft clusters of the cells, rows sum to 1.
        centroids: Unit length.
        objective: What the clustering minimises.
    """

    corrected: Float[Array, "cells features"]
    assignments: Float[Array, "cells clusters"]
    centroids: Float[Array, "clusters features"]
    objective: Float[Array, ""]


def start(
    embeddings: Float[Array, "cells features"], centroids: Float[Array, "clusters features"], settings: Settings
) -> Fitted:
    """Soft clusters of uncorrected cells around given centroids, without a diversity penalty."""
    directions = unit(centroids)
    assignments = soft_assignments(embeddings, directions, settings.sigma)
    return Fitted(embeddings, assignments, directions, jnp.asarray(jnp.inf, embeddings.dtype))


@partial(jax.jit, static_argnames=("n_batches", "most"))
def rounds(
    embeddings: Float[Array, "cells features"],
    batch_labels: Int[Array, "cells"],
    centroids: Float[Array, "clusters features"],
    settings: Settings,
    *,
    n_batches: int,
    most: int,
    tolerance: Array | float,
) -> Fitted:
    """Rounds from given centroids until the objective settles; reverse-mode gradients go through those that were made.

    Args:
        embeddings: Uncorrected.
        batch_labels: From 0 to n_batches - 1.
        centroids: Where clustering starts, of any length.
        settings: Penalty and width.
        n_batches: Number of batches.
        most: Rounds at most.
        tolerance: Relative change of the objective at which rounds end.
    """

    @jax.checkpoint
    def once(standing: Fitted) -> Fitted:
        return round_of(embeddings, batch_labels, standing, settings, n_batches=n_batches)

    # A loop with an end that depends on values has no reverse mode; rounds that are passed over have, and cost nothing.
    def step(state: tuple[Fitted, Array], _: None) -> tuple[tuple[Fitted, Array], None]:
        before, settled = state
        after = jax.lax.cond(settled, lambda standing: standing, once, before)
        change = jnp.abs(before.objective - after.objective)
        return (after, settled | (change < tolerance * jnp.abs(before.objective))), None

    begun = once(start(embeddings, centroids, settings))
    (standing, _), _ = jax.lax.scan(step, (begun, jnp.asarray(False)), length=most - 1)
    return standing


@partial(jax.jit, static_argnames="n_batches")
def round_of(
    embeddings: Float[Array, "cells features"],
    batch_labels: Int[Array, "cells"],
    before: Fitted,
    settings: Settings,
    *,
    n_batches: int,
) -> Fitted:
    """Cluster the cells where they now lie, then correct them anew from where they were at first.

    Args:
        embeddings: Uncorrected.
        batch_labels: From 0 to n_batches - 1.
        before: The round before.
        settings: Penalty and width.
        n_batches: Number of batches; one without cells does no harm.
    """
    batches = jax.nn.one_hot(batch_labels, n_batches, dtype=embeddings.dtype)
    directions = unit(before.corrected)

    @jax.checkpoint
    def step(clusters: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        return _clustering_step(directions, batches, settings, clusters[0]), None

    clusters = (before.assignments, before.centroids)
    (assignments, centroids), _ = jax.lax.scan(step, clusters, length=CLUSTERING_STEPS)
    corrected = ridge_corrected(embeddings, batches, assignments)
    return Fitted(corrected, assignments, centroids, _objective(directions, batches, assignments, centroids, settings))


def soft_assignments(
    embeddings: Float[Array, "cells features"],
    centroids: Float[Array, "clusters features"],
    sigma: Array | float,
) -> Float[Array, "cells clusters"]:
    """Softmax of the cosine distance 2 (1 - y'z) over sigma, along the clusters."""
    return jax.nn.softmax(-_cosine_distances(unit(embeddings), unit(centroids)) / sigma, axis=1)


def ridge_corrected(
    embeddings: Float[Array, "cells features"],
    batches: Float[Array, "cells batches"],
    assignments: Float[Array, "cells clusters"],
) -> Float[Array, "cells features"]:
    """Take each cluster's batch shifts off its cells.

    In every cluster the embeddings are regressed on an intercept and the batches, weighted by the assignments and with
    a ridge penalty on the batches alone. The normal equations have the shape of an arrow, so the intercept is solved
    for first and the batches follow one by one.

    Args:
        embeddings: Uncorrected.
        batches: One-hot.
        assignments: Soft clusters.
    """
    clusters, n_batches, features = assignments.shape[1], batches.shape[1], embeddings.shape[1]
    blocks = [in_blocks(values) for values in (embeddings, batches, assignments)]

    def add(sums: Array, block: list[Array]) -> tuple[Array, None]:
        embeddings, batches, assignments = block
        of_batch = (batches[:, :, None] * embeddings[:, None, :]).reshape(-1, n_batches * features)
        return sums + assignments.T @ of_batch, None

    def moves(block: list[Array]) -> Array:
        _, batches, assignments = block
        to_batch = (assignments @ shifts.reshape(clusters, -1)).reshape(-1, n_batches, features)
        return (batches[:, :, None] * to_batch).sum(axis=1)

    sizes = assignments.T @ batches
    sums = jax.lax.scan(add, jnp.zeros((clusters, n_batches * features), embeddings.dtype), blocks)[0]
    sums = sums.reshape(clusters, n_batches, features)
    shrinkage = _RIDGE / (sizes + _RIDGE)
    weight = (sizes * shrinkage).sum(axis=1)
    intercept = (sums * shrinkage[:, :, None]).sum(axis=1) / jnp.maximum(weight, _SMALLEST_NORM)[:, None]
    shifts = (sums - sizes[:, :, None] * intercept[:, None, :]) / (sizes + _RIDGE)[:, :, None]
    moved = jax.lax.map(moves, blocks).reshape(-1, features)[: embeddings.shape[0]]
    return embeddings - moved


def in_blocks(values: Float[Array, "cells columns"]) -> Float[Array, "blocks block columns"]:
    """Cells in twenty runs of one length, zeros after the last."""
    block = -(-values.shape[0] // _BLOCKS)
    padded = jnp.pad(values, ((0, block * _BLOCKS - values.shape[0]), (0, 0)))
    return padded.reshape(_BLOCKS, block, values.shape[1])


def unit(vectors: Float[Array, "vectors features"]) -> Float[Array, "vectors features"]:
    """Vectors of length 1; a zero vector stays zero."""
    return vectors * jax.lax.rsqrt(jnp.maximum((vectors**2).sum(axis=-1, keepdims=True), _SMALLEST_NORM))


def _cosine_distances(directions: Array, centroids: Array) -> Array:
    """2 (1 - y'z); a centroid of zeros is no cluster, and lies further than any cell goes."""
    exists = (centroids**2).sum(axis=1) > 0
    return jnp.where(exists, 2 * (1 - directions @ centroids.T), _FAR)


def _clustering_step(directions: Array, batches: Array, settings: Settings, assignments: Array) -> tuple[Array, Array]:
    """New centroids from the assignments, then new assignments block by block."""
    centroids = unit(assignments.T @ directions)
    share = batches.mean(axis=0)

    def update(observed: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        directions, batches, old = inputs
        observed = observed - old.T @ batches
        penalty = _log_diversity(observed, share)
        logits = -_cosine_distances(directions, centroids) / settings.sigma
        # Padding belongs to no batch, so its row of `batches` is zero: it gets no penalty and is never counted.
        new = jax.nn.softmax(logits + settings.theta * (batches @ penalty.T), axis=1)
        return observed + new.T @ batches, new

    cells = (in_blocks(directions), in_blocks(batches), in_blocks(assignments))
    _, new = jax.lax.scan(update, assignments.T @ batches, cells)
    return new.reshape(-1, assignments.shape[1])[: directions.shape[0]], centroids


def _log_diversity(observed: Array, share: Array) -> Array:
    """log(E / (O + E)) of each cluster and batch, zero for a batch or a cluster without cells."""
    expected = jnp.maximum(observed, 0).sum(axis=1, keepdims=True) * share
    present = expected > _SMALLEST_NORM
    expected = jnp.where(present, expected, 1)
    return jnp.where(present, -jnp.log1p(jnp.maximum(observed, 0) / expected), 0)


def _objective(directions: Array, batches: Array, assignments: Array, centroids: Array, settings: Settings) -> Array:
    distance = (assignments * _cosine_distances(directions, centroids)).sum()
    entropy = (assignments * jnp.log(jnp.maximum(assignments, _SMALLEST_NORM))).sum()
    observed = assignments.T @ batches
    diversity = -(observed * _log_diversity(observed, batches.mean(axis=0))).sum()
    return distance + settings.sigma * (entropy + settings.theta * diversity)
