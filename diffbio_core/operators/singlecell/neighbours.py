"""Nearest cells of every cell, exact, in memory bounded by a block of cells."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_BLOCK = 512
"""Cells whose distances to all others are held at once."""


@partial(jax.jit, static_argnames="n_neighbours")
def nearest_cells(
    points: Float[Array, "cells features"], n_neighbours: int
) -> tuple[Int[Array, "cells neighbours"], Float[Array, "cells neighbours"]]:
    """The nearest other cells of every cell, nearest first, and their Euclidean distances.

    Args:
        points: Cells in any space.
        n_neighbours: Fewer than there are cells.
    """
    cells = points.shape[0]
    centred = points - points.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    blocks = -(-cells // _BLOCK)
    rows = jnp.arange(blocks * _BLOCK).reshape(blocks, _BLOCK) % cells

    def search(rows: Array) -> Array:
        # The squares of the row's own cell do not change the order.
        scores = centred[rows] @ centred.T - squares / 2
        scores = scores.at[jnp.arange(_BLOCK), rows].set(-jnp.inf)
        return jax.lax.top_k(scores, n_neighbours)[1]

    found = jax.lax.map(search, rows).reshape(-1, n_neighbours)[:cells]

    def measure(inputs: tuple[Array, Array]) -> Array:
        cell, others = inputs
        return jnp.sqrt(((centred[others] - cell) ** 2).sum(axis=1))

    # Differences, not products: near cells far from the origin would lose their distance to rounding.
    distances = jax.lax.map(measure, (centred, found), batch_size=_BLOCK)
    order = jnp.argsort(distances, axis=1)
    return jnp.take_along_axis(found, order, axis=1), jnp.take_along_axis(distances, order, axis=1)
