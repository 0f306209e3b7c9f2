"""UMAP's graph: how near every cell feels its neighbours to be, each on a scale of its own (McInnes et al. 2018)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffbio_core.operators.numerics.distances import squared_distances
from diffbio_core.operators.singlecell.neighbours import nearest_cells

_HALVINGS = 40
_SMALLEST = 1e-12


def fuzzy_similarities(points: Float[Array, "cells features"], n_neighbours: int) -> Float[Array, "cells cells"]:
    """Symmetric similarities of all pairs, zero but among neighbours; gradients go through the distances.

    Args:
        points: Cells.
        n_neighbours: Neighbours of each, fewer than there are cells.
    """
    cells = points.shape[0]
    if cells < 2:
        return jnp.zeros((cells, cells), points.dtype)
    distances = jnp.sqrt(jnp.maximum(squared_distances(points, points), _SMALLEST))
    apart = jnp.where(jnp.eye(cells, dtype=bool), jnp.inf, distances)
    near, neighbours = jax.lax.top_k(-apart, n_neighbours)
    nearest, scale = jax.lax.stop_gradient(_local_scales(-near))
    memberships = jnp.exp(-jnp.maximum(-near - nearest[:, None], 0) / scale[:, None])
    directed = jnp.zeros_like(distances).at[jnp.arange(cells)[:, None], neighbours].set(memberships)
    return directed + directed.T - directed * directed.T


def fuzzy_edges(
    points: Float[Array, "cells features"], n_neighbours: int
) -> tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"], Float[np.ndarray, "edges"]]:
    """The same as a list of edges in both directions: from, to, and shares of the whole weight that sum to 1.

    Args:
        points: Cells.
        n_neighbours: Neighbours of each, fewer than there are cells.
    """
    from scipy.sparse import coo_matrix

    neighbours, distances = nearest_cells(points, n_neighbours)
    nearest, scale = _local_scales(distances)
    memberships = np.asarray(jnp.exp(-jnp.maximum(distances - nearest[:, None], 0) / scale[:, None]))
    cells = memberships.shape[0]
    rows = np.repeat(np.arange(cells), n_neighbours)
    directed = coo_matrix((memberships.ravel(), (rows, np.asarray(neighbours).ravel())), (cells, cells)).tocsr()
    both = (directed + directed.T - directed.multiply(directed.T)).tocoo()
    weights = both.data.astype(float)
    return both.row, both.col, weights / weights.sum()


@jax.jit
def _local_scales(distances: Array) -> tuple[Array, Array]:
    """Distance of each cell's nearest neighbour, and the scale on which its memberships sum to log2(neighbours)."""
    nearest = distances.min(axis=1)
    wanted = jnp.log2(jnp.maximum(distances.shape[1], 2))
    further = jnp.maximum(distances - nearest[:, None], 0)
    largest = jnp.maximum(further.max(axis=1), _SMALLEST) * 1e3

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        enough = jnp.exp(-further / jnp.maximum(middle, _SMALLEST)[:, None]).sum(axis=1) > wanted
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.zeros_like(largest), largest))
    # As in the published implementation, no scale is below a thousandth of the mean distance.
    return nearest, jnp.maximum(jnp.maximum((low + high) / 2, 1e-3 * distances.mean(axis=1)), _SMALLEST)
