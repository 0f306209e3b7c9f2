"""E-distance between clouds of cells (Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_ROWS = 1024  # cells of a block: bounds memory at any number of cells


def mean_distance(x: Float[np.ndarray, "n genes"], y: Float[np.ndarray, "m genes"]) -> float:
    """Mean Euclidean distance of every cell of one cloud to every cell of another."""
    total = 0.0
    for block in _blocks(x):
        squares = (block**2).sum(axis=1)
        for other in _blocks(y):
            products = squares[:, None] + (other**2).sum(axis=1) - 2 * (block @ other.T)
            total += np.sqrt(np.maximum(products, 0, out=products), out=products).sum()
    return total / (len(x) * len(y))


def spread(x: Float[np.ndarray, "n genes"]) -> float:
    """Mean Euclidean distance of the cells of a cloud, each to itself among them; 0 if all are the same."""
    if (x == x[0]).all():
        return 0.0
    total = 0.0
    for start in range(0, len(x), _ROWS):
        block = np.asarray(x[start : start + _ROWS])
        squares = (block**2).sum(axis=1)
        for other_start in range(start, len(x), _ROWS):
            other = block if other_start == start else np.asarray(x[other_start : other_start + _ROWS])
            products = squares[:, None] + (other**2).sum(axis=1) - 2 * (block @ other.T)
            if other_start == start:
                np.fill_diagonal(products, 0)
            found = np.sqrt(np.maximum(products, 0, out=products), out=products).sum()
            total += found if other_start == start else 2 * found
    return total / len(x) ** 2


def e_distance(
    x: Float[np.ndarray, "n genes"], y: Float[np.ndarray, "m genes"], spread_of_y: float | None = None
) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|.

    Args:
        x: A cloud of cells.
        y: Another.
        spread_of_y: E|Y - Y'|, where it is known.
    """
    return 2 * mean_distance(x, y) - spread(x) - (spread(y) if spread_of_y is None else spread_of_y)


def _blocks(x: Float[np.ndarray, "n genes"]):
    return (np.asarray(x[start : start + _ROWS]) for start in range(0, len(x), _ROWS))
