"""Adjusted p-values: Benjamini and Hochberg 1995, after genes of low mean were filtered (Bourgon and others 2010)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from diffbio_core.operators.statistical.local_regression import lowess

_STEPS = 50
_FEW_REJECTIONS = 10


@dataclass(frozen=True)
class FilteredPValues:
    """Adjusted p-values and the filter that they were made under.

    Attributes:
        adjusted: (genes,) NaN for genes without p-value and for filtered ones.
        threshold: Mean of normalised counts below which genes were filtered.
        quantile: The quantile of means that the threshold is.
    """

    adjusted: Float[np.ndarray, " genes"]
    threshold: float
    quantile: float


def benjamini_hochberg(p_values: Float[np.ndarray, " genes"]) -> Float[np.ndarray, " genes"]:
    """Adjusted p-values; NaN stays NaN and does not count.

    Args:
        p_values: (genes,) in [0, 1], or NaN.
    """
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values, kind="stable")[: np.isfinite(p_values).sum()]
    adjusted[order] = _adjust_sorted(p_values[order])
    return adjusted


def filter_independently(
    p_values: Float[np.ndarray, " genes"], means: Float[np.ndarray, " genes"], alpha: float
) -> FilteredPValues:
    """Leave out genes of low mean, as many as let most others be found at a false discovery rate.

    Filters at 50 quantiles of the mean are tried; the first is taken at which the number of rejections comes within
    its own scatter of the greatest value of a smooth curve.

    Args:
        p_values: (genes,) in [0, 1], or NaN.
        means: (genes,) means of normalised counts.
        alpha: False discovery rate at which rejections are counted.
    """
    lowest = float(np.mean(means == 0))
    quantiles = np.linspace(lowest, 0.95 if lowest < 0.95 else 1.0, _STEPS)
    thresholds = _quantiles(means, quantiles)
    order = np.argsort(p_values, kind="stable")[: np.isfinite(p_values).sum()]
    sorted_p, sorted_means = p_values[order], means[order]
    rejections = np.array(
        [(_adjust_sorted(sorted_p[sorted_means >= threshold]) < alpha).sum() for threshold in thresholds], dtype=float
    )
    chosen = _first_near_greatest(quantiles, rejections)
    kept = order[sorted_means >= thresholds[chosen]]
    adjusted = np.full(len(p_values), np.nan)
    adjusted[kept] = _adjust_sorted(p_values[kept])
    return FilteredPValues(adjusted, float(thresholds[chosen]), float(quantiles[chosen]))


def _first_near_greatest(quantiles: Float[np.ndarray, " steps"], rejections: Float[np.ndarray, " steps"]) -> int:
    if rejections.max() <= _FEW_REJECTIONS:
        return 0
    smooth = lowess(quantiles, rejections, 1 / 5)
    some = rejections > 0
    enough = smooth.max() - np.sqrt(np.mean((rejections - smooth)[some] ** 2))
    reaching = np.flatnonzero(rejections > enough)
    return int(reaching[0]) if len(reaching) else 0


def _adjust_sorted(p_values: Float[np.ndarray, " genes"]) -> Float[np.ndarray, " genes"]:
    size = len(p_values)
    scaled = p_values * (size / np.arange(1, size + 1))
    return np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)


def _quantiles(
    values: Float[np.ndarray, " values"], probabilities: Float[np.ndarray, " steps"]
) -> Float[np.ndarray, " steps"]:
    """Quantiles between neighbours (R's type 7); between equal ones exactly these, so that ties stay together."""
    ordered = np.sort(values)
    place = (len(values) - 1) * probabilities
    low, high = ordered[np.floor(place).astype(int)], ordered[np.ceil(place).astype(int)]
    part = place - np.floor(place)
    return np.where(low != high, (1 - part) * low + part * high, low)
