"""How far true dispersions lie from the trend: the width of the prior of log dispersion."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from diffbio_core.operators.statistical.dispersion_trend import SMALLEST_DISPERSION
from diffbio_core.operators.statistical.local_regression import loess
from diffbio_core.operators.statistical.simulated_spread import residual_histograms, seeded_state

_FEW_DEGREES = 3
_LEAST_VARIANCE = 0.25
_LOWEST, _WIDTH, _BINS = -10.0, 0.5, 40
_SEED, _DRAWS = 2, 10_000
_VARIANCES = np.linspace(0, 8, 200)


def residual_variance(genewise: Float[np.ndarray, " genes"], trend: Float[np.ndarray, " genes"]) -> float:
    """Robust variance of log dispersions around the trend: the squared median absolute deviation.

    Args:
        genewise: (genes,) gene-wise dispersions.
        trend: (genes,) dispersions of the trend.
    """
    residuals = _residuals(genewise, trend)
    return float(1.4826 * np.median(np.abs(residuals - np.median(residuals)))) ** 2


def prior_variance(
    genewise: Float[np.ndarray, " genes"], trend: Float[np.ndarray, " genes"], degrees_of_freedom: int
) -> float:
    """Variance of true log dispersions around the trend, that of estimation taken off.

    A gene's log dispersion from n - p degrees of freedom varies by trigamma((n - p) / 2) alone. With 3 or fewer that
    distribution is too skewed for a difference of variances: then the variance is taken at which simulated residuals
    are closest to the observed ones (least Kullback-Leibler divergence).

    Args:
        genewise: (genes,) gene-wise dispersions.
        trend: (genes,) dispersions of the trend.
        degrees_of_freedom: Samples less coefficients, positive.
    """
    from scipy.special import polygamma

    if degrees_of_freedom > _FEW_DEGREES:
        observed = residual_variance(genewise, trend)
        return max(observed - float(polygamma(1, degrees_of_freedom / 2)), _LEAST_VARIANCE)
    return max(_closest_variance(_residuals(genewise, trend), degrees_of_freedom), _LEAST_VARIANCE)


def _residuals(genewise: Float[np.ndarray, " genes"], trend: Float[np.ndarray, " genes"]) -> Float[np.ndarray, " used"]:
    used = genewise >= 100 * SMALLEST_DISPERSION
    return np.log(genewise[used]) - np.log(trend[used])


def _closest_variance(residuals: Float[np.ndarray, " used"], degrees_of_freedom: int) -> float:
    inside = residuals[(residuals > _LOWEST) & (residuals < -_LOWEST)]
    bins = np.ceil((inside - _LOWEST) / _WIDTH).astype(int) - 1
    observed = np.bincount(bins, minlength=_BINS) / (len(inside) * _WIDTH)
    divergences = np.empty(len(_VARIANCES))
    for index, simulated in enumerate(_simulated_densities(degrees_of_freedom)):
        both = np.concatenate([observed, simulated])
        least = both[both > 0].min()
        divergences[index] = (observed * (np.log(observed + least) - np.log(simulated + least))).sum()
    fine = np.linspace(0, 8, 1000)
    return float(fine[np.argmin(loess(_VARIANCES, divergences, 0.2, fine))])


@lru_cache(maxsize=_FEW_DEGREES)
def _simulated_densities(degrees_of_freedom: int) -> Float[np.ndarray, "variances bins"]:
    return residual_histograms(seeded_state(_SEED), degrees_of_freedom, _VARIANCES, _DRAWS, _LOWEST, _WIDTH, _BINS)
