"""Local inverse Simpson's index: how many labels a cell's neighbourhood mixes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from diffbio_core.operators.singlecell.neighbours import nearest_cells
from diffbio_core.operators.validation import check_finite

_HALVINGS = 50
"""Bisection steps for the width of a neighbourhood, more than single precision can tell apart."""


def local_inverse_simpson(
    embeddings: Float[Array | np.ndarray, "cells features"],
    labels: Shaped[np.ndarray, "cells"],
    perplexity: float = 30.0,
) -> Float[np.ndarray, "cells"]:
    """LISI of every cell (Korsunsky et al. 2019): 1 where all near cells share a label, up to the number of labels.

    Neighbours are the nearest 3 x perplexity - 1 other cells, weighted by a Gaussian whose width gives the perplexity.

    Args:
        embeddings: Where the cells lie.
        labels: Batch (iLISI: more is better mixed) or type (cLISI: 1 is best) of each cell, as numbers or names.
        perplexity: Effective number of neighbours.

    Raises:
        ValueError: Another number of labels than of cells, an embedding that is not finite, or too few cells.
    """
    points = jnp.asarray(embeddings, float)
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    n_neighbours = int(3 * perplexity) - 1
    check_finite("local_inverse_simpson", "embeddings", points)
    if points.ndim != 2 or codes.shape != points.shape[:1]:
        raise ValueError(f"local_inverse_simpson: {codes.shape[0]} labels for embeddings of shape {points.shape}")
    if points.shape[0] <= n_neighbours:
        raise ValueError(
            f"local_inverse_simpson: perplexity {perplexity} needs over {n_neighbours} cells, got {points.shape[0]}"
        )
    neighbours, distances = nearest_cells(points, n_neighbours)
    return np.asarray(_inverse_simpson(distances, codes[np.asarray(neighbours)], perplexity, n_labels=codes.max() + 1))


@partial(jax.jit, static_argnames="n_labels")
def _inverse_simpson(distances: Array, labels: Array, perplexity: Array, *, n_labels: int) -> Array:
    weights = jax.vmap(_gaussian, (0, None))(distances, perplexity)
    shares = jax.lax.map(
        lambda row: jnp.zeros(n_labels, row[0].dtype).at[row[1]].add(row[0]), (weights, labels), batch_size=512
    )
    return 1 / (shares**2).sum(axis=1)


def _gaussian(distances: Array, perplexity: Array) -> Array:
    """Weights exp(-beta d), of sum 1, whose entropy is log(perplexity)."""
    # As in the published implementations the exponent is the distance, not its square.
    distances = distances - distances.min()
    scale = jnp.maximum(distances.mean(), jnp.finfo(distances.dtype).tiny)

    def weigh(log_beta: Array) -> Array:
        return jax.nn.softmax(-jnp.exp(log_beta) * distances / scale)

    def entropy(weights: Array) -> Array:
        return -(weights * jnp.log(jnp.maximum(weights, 1e-30))).sum()

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        too_wide = entropy(weigh(middle)) > jnp.log(perplexity)
        return jnp.where(too_wide, middle, low), jnp.where(too_wide, high, middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.asarray(-20.0), jnp.asarray(20.0)))
    return weigh((low + high) / 2)
