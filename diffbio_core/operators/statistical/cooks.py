"""Count outliers: Cook's distance of each sample, and counts to put in place of outliers (Cook 1977)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Integer

_REPLICATES_TO_JUDGE = 3
_LEAST_DISPERSION = 0.04
_TRIM_OF_REPLACEMENT = 0.2


def replicates(design: Float[np.ndarray, "samples coefficients"]) -> Integer[np.ndarray, " samples"]:
    """How many samples share a sample's row of the design, itself included."""
    _, group, sizes = np.unique(design, axis=0, return_inverse=True, return_counts=True)
    return sizes[group.ravel()]


def judged_samples(design: Float[np.ndarray, "samples coefficients"]) -> Bool[np.ndarray, " samples"]:
    """Samples with enough replicates to tell an outlier; none where there are no degrees of freedom."""
    samples, coefficients = design.shape
    return (replicates(design) >= _REPLICATES_TO_JUDGE) & (samples > coefficients)


def cooks_cutoff(design: Float[np.ndarray, "samples coefficients"]) -> float:
    """Distance beyond which a count is an outlier: the 99 % quantile of F(p, n - p)."""
    from scipy.special import fdtri

    samples, coefficients = design.shape
    return float(fdtri(coefficients, samples - coefficients, 0.99))


def cooks_distances(
    counts: Float[np.ndarray, "genes samples"],
    means: Float[np.ndarray, "genes samples"],
    leverages: Float[np.ndarray, "genes samples"],
    size_factors: Float[np.ndarray, " samples"],
    design: Float[np.ndarray, "samples coefficients"],
) -> Float[np.ndarray, "genes samples"]:
    """Cook's distances at a dispersion that outliers move little.

    Args:
        counts: (genes, samples)
        means: (genes, samples) fitted.
        leverages: (genes, samples) diagonal of the hat matrix.
        size_factors: (samples,)
        design: (samples, coefficients)
    """
    dispersions = _robust_dispersions(counts / size_factors, design)[:, None]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        residuals = (counts - means) ** 2 / (means + dispersions * means**2)
        return residuals / design.shape[1] * leverages / (1 - leverages) ** 2


def replacement_counts(
    counts: Float[np.ndarray, "genes samples"], size_factors: Float[np.ndarray, " samples"]
) -> Float[np.ndarray, "genes samples"]:
    """What a count would be in each sample if the gene were at its trimmed mean, rounded down."""
    level = _trimmed_means(counts / size_factors, _TRIM_OF_REPLACEMENT)
    return np.floor(level[:, None] * size_factors)


def _robust_dispersions(
    normalised: Float[np.ndarray, "genes samples"], design: Float[np.ndarray, "samples coefficients"]
) -> Float[np.ndarray, " genes"]:
    """Dispersion by moments from trimmed variances, at least 0.04: of the most variable group, if groups are large."""
    _, group, sizes = np.unique(design, axis=0, return_inverse=True, return_counts=True)
    large = np.flatnonzero(sizes >= _REPLICATES_TO_JUDGE)
    if len(large):
        variances = [_trimmed_variances(normalised[:, group.ravel() == index], *_trim(sizes[index])) for index in large]
        variance = np.max(variances, axis=0)
    else:
        variance = _trimmed_variances(normalised, 1 / 8, 1.51)
    mean = normalised.mean(axis=1)
    return np.maximum((variance - mean) / mean**2, _LEAST_DISPERSION)


def _trim(size: int) -> tuple[float, float]:
    """Fraction trimmed from each end of a group of this size, and what makes the trimmed variance unbiased."""
    if size <= 3:
        return 1 / 3, 2.04
    return (1 / 4, 1.86) if size <= 23 else (1 / 8, 1.51)


def _trimmed_variances(
    values: Float[np.ndarray, "genes samples"], fraction: float, scale: float
) -> Float[np.ndarray, " genes"]:
    centre = _trimmed_means(values, fraction)[:, None]
    return scale * _trimmed_means((values - centre) ** 2, fraction)


def _trimmed_means(values: Float[np.ndarray, "genes samples"], fraction: float) -> Float[np.ndarray, " genes"]:
    """Mean without the lowest and the highest fraction of each row."""
    cut = int(values.shape[1] * fraction)
    return np.sort(values, axis=1)[:, cut : values.shape[1] - cut].mean(axis=1)
