"""Metrics of mean effects: how near the predicted difference to controls is, and whose it looks like."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def correlations(
    x: Float[np.ndarray, "perts genes"], y: Float[np.ndarray, "perts genes"]
) -> Float[np.ndarray, "perts"]:
    """Pearson correlation row by row; NaN where a row is constant."""
    x, y = (values - values.mean(axis=1, keepdims=True) for values in (x, y))
    # A row is constant up to rounding of its mean.
    flat = [np.abs(values).max(axis=1, initial=0) <= 1e-13 for values in (x, y)]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.where(flat[0] | flat[1], np.nan, found)


def squared_errors(
    x: Float[np.ndarray, "perts genes"], y: Float[np.ndarray, "perts genes"]
) -> Float[np.ndarray, "perts"]:
    """Mean squared difference row by row."""
    return ((x - y) ** 2).mean(axis=1)


def absolute_errors(
    x: Float[np.ndarray, "perts genes"], y: Float[np.ndarray, "perts genes"]
) -> Float[np.ndarray, "perts"]:
    """Mean absolute difference row by row."""
    return np.abs(x - y).mean(axis=1)


def discrimination(
    predicted: Float[np.ndarray, "some genes"],
    real: Float[np.ndarray, "perts genes"],
    targets: Bool[np.ndarray, "perts genes"],
    places: Int[np.ndarray, "some"],
    metric: str,
) -> Float[np.ndarray, "some"]:
    """1 - rank / perturbations: how many measured effects are nearer to a predicted one than its own is.

    Args:
        predicted: Predicted differences to controls.
        real: Measured ones of all perturbations.
        targets: The genes that a perturbation aims at, which are left out of its distances.
        places: Which perturbations the predicted ones are.
        metric: "l1", "l2" or "cosine".

    Returns:
        1 where its own is the nearest; NaN where a distance is not defined (cosine of no effect).
    """
    found = np.empty(len(places))
    for row, (effect, place) in enumerate(zip(predicted, places, strict=True)):
        kept = ~targets[place]
        distances = _distances(real[:, kept], effect[kept], metric)
        nearer = np.count_nonzero(distances < distances[place])
        found[row] = np.nan if np.isnan(distances).any() else 1 - nearer / len(real)
    return found


def _distances(
    effects: Float[np.ndarray, "perts genes"], effect: Float[np.ndarray, "genes"], metric: str
) -> Float[np.ndarray, "perts"]:
    if metric == "l1":
        return np.abs(effects - effect).sum(axis=1)
    if metric == "l2":
        return np.sqrt(((effects - effect) ** 2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - effects @ effect / (np.linalg.norm(effects, axis=1) * np.linalg.norm(effect))
