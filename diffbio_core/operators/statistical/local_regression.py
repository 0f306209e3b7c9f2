"""Smooth curves through points: R's `loess` of one variable and R's `lowess` (Cleveland 1979; with Grosse 1991)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_CELL = 0.2
_MARGIN = 0.005


def loess(
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    span: float,
    places: Float[np.ndarray, " places"],
) -> Float[np.ndarray, " places"]:
    """Local quadratic regression with tricube weights, interpolated between the vertices of a k-d tree.

    Args:
        x: Ascending.
        y: Values at x.
        span: Fraction of points that a local fit sees.
        places: Where the curve is wanted, within the range of x.
    """
    near = int(len(x) * span + 1e-5)
    vertices = np.array(_vertices(x, int(len(x) * span * _CELL)))
    fits = np.array([_local_fit(x, y, vertex, near) for vertex in vertices])
    cell = np.clip(np.searchsorted(vertices, places, side="right") - 1, 0, len(vertices) - 2)
    width = vertices[cell + 1] - vertices[cell]
    t = (places - vertices[cell]) / width
    # Cubic Hermite: value and slope at both ends of the cell.
    return (
        (1 + 2 * t) * (1 - t) ** 2 * fits[cell, 0]
        + t**2 * (3 - 2 * t) * fits[cell + 1, 0]
        + t * (1 - t) ** 2 * width * fits[cell, 1]
        - t**2 * (1 - t) * width * fits[cell + 1, 1]
    )


def _vertices(x: Float[np.ndarray, " points"], most_in_cell: int) -> list[float]:
    """Ends of the cells of a k-d tree that halves the points until a cell holds few enough."""
    margin = _MARGIN * (x[-1] - x[0])
    cuts: list[float] = []
    pending = [(0, len(x) - 1)]
    while pending:
        low, high = pending.pop()
        if high - low + 1 <= most_in_cell:
            continue
        middle = (low + high) // 2
        cuts.append(x[middle])
        pending += [(low, middle), (middle + 1, high)]
    return [x[0] - margin, *sorted(cuts), x[-1] + margin]


def _local_fit(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], place: float, near: int
) -> Float[np.ndarray, "2"]:
    """Value and slope of the weighted parabola at a place."""
    distance = np.abs(x - place)
    reach = np.partition(distance, near - 1)[near - 1]
    relative = distance / reach
    weights = np.where(relative < 1, (1 - np.minimum(relative, 1) ** 3) ** 3, 0.0)
    root = np.sqrt(weights)
    columns = np.column_stack([np.ones_like(x), x - place, (x - place) ** 2])
    return np.linalg.lstsq(columns * root[:, None], y * root, rcond=None)[0][:2]


def lowess(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], fraction: float, robust_rounds: int = 3
) -> Float[np.ndarray, " points"]:
    """Robust locally weighted line at each of some points.

    Args:
        x: Ascending and further apart than a hundredth of their range, so that no point needs to be interpolated.
        y: Values at x.
        fraction: Of points that a local line sees.
        robust_rounds: How often points far off are weighted down.
    """
    size = len(x)
    near = max(2, min(size, int(fraction * size + 1e-7)))
    fitted = np.empty(size)
    robustness = np.ones(size)
    for round_ in range(robust_rounds + 1):
        left = 0
        for index in range(size):
            while left + near < size and x[index] - x[left] > x[left + near] - x[index]:
                left += 1
            fitted[index] = _line_at(x, y, index, left, near, robustness)
        if round_ == robust_rounds:
            break
        residuals = y - fitted
        sizes = np.abs(residuals)
        ordered = np.sort(sizes)
        sixfold = 6 * ordered[size // 2] if size % 2 else 3 * (ordered[size // 2] + ordered[size // 2 - 1])
        if sixfold < 1e-7 * sizes.mean():
            break
        relative = sizes / sixfold if sixfold > 0 else np.zeros(size)
        robustness = np.where(
            sizes <= 0.001 * sixfold, 1.0, np.where(sizes <= 0.999 * sixfold, (1 - relative**2) ** 2, 0.0)
        )
    return fitted


def _line_at(
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    index: int,
    left: int,
    near: int,
    robustness: Float[np.ndarray, " points"],
) -> float:
    """Value of the weighted line at one point; the point's own value where nothing has weight."""
    right = left + near - 1
    reach = max(x[index] - x[left], x[right] - x[index])
    distance = np.abs(x - x[index])
    used = distance <= 0.999 * reach
    used[:left] = False
    relative = np.where(used, distance / reach if reach > 0 else 0.0, 0.0)
    weights = np.where(distance <= 0.001 * reach, 1.0, (1 - relative**3) ** 3) * used * robustness
    total = weights.sum()
    if total <= 0:
        return float(y[index])
    weights /= total
    centre = (weights * x).sum()
    spread = (weights * (x - centre) ** 2).sum()
    if reach > 0 and np.sqrt(spread) > 0.001 * (x[-1] - x[0]):
        weights *= 1 + (x[index] - centre) / spread * (x - centre)
    return float((weights * y).sum())
