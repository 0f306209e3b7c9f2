"""The graph of nearest neighbours that UMAP makes (McInnes et al. 2018, arXiv:1802.03426)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_STEPS = 64  # of the search for a width
_SMALLEST_WIDTH = 1e-3  # of a point's mean distance


def neighbour_graph(points: Float[np.ndarray, "n features"], neighbours: int = 15) -> Float[np.ndarray, "n n"]:
    """Symmetric weights in [0, 1] between each point and its nearest ones, 0 on the diagonal.

    Args:
        points: Points.
        neighbours: How many each point has, itself among them, as in scanpy.
    """
    size = len(points)
    squares = (points**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    np.fill_diagonal(distances, 0)
    count = min(neighbours, size)
    # A point comes first among its own neighbours, also where others lie on it.
    keys = distances.copy()
    np.fill_diagonal(keys, -1)
    nearest = np.argsort(keys, axis=1, kind="stable")[:, :count]
    near = np.take_along_axis(distances, nearest, axis=1)
    weights = np.zeros((size, size))
    for point in range(size):
        found = np.exp(-_beyond(near[point]) / _width(near[point], near.mean()))
        weights[point, nearest[point, 1:]] = found[1:]
    return weights + weights.T - weights * weights.T


def _beyond(distances: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """Distances beyond that to the nearest other point."""
    positive = distances[distances > 0]
    return np.maximum(distances - (positive.min() if len(positive) else 0.0), 0)


def _width(distances: Float[np.ndarray, "k"], mean_of_all: float) -> float:
    """The width at which the weights of a point sum to log2 of its number of neighbours."""
    beyond, wanted = _beyond(distances)[1:], np.log2(len(distances))
    low, high, width = 0.0, np.inf, 1.0
    for _ in range(_STEPS):
        total = np.exp(-beyond / width).sum()
        if abs(total - wanted) < 1e-5:
            break
        if total > wanted:
            high = width
            width = (low + high) / 2
        else:
            low = width
            width = width * 2 if np.isinf(high) else (low + high) / 2
    mean = distances.mean() if (distances > 0).any() else mean_of_all
    return max(width, _SMALLEST_WIDTH * mean, np.finfo(float).tiny)
