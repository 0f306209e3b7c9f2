"""Line search and grid for one gene's dispersion, compiled: the Cox-Reid adjusted profile likelihood and its maximum.

The search takes the steps of DESeq2 (Love, Huber, Anders 2014) and stops by its tolerance, since where a likelihood is
flat the place of stopping is part of the estimate.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from diffbio_core.operators.statistical.gamma_functions import digamma_difference, log_gamma_ratio
from diffbio_core.operators.statistical.small_matrices import (
    add_weighted_products,
    cholesky,
    invert_factored,
    mirror,
)

_LOWEST_LOG, _HIGHEST_LOG = -30.0, 10.0
_ARMIJO = 1e-4


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_posterior(
    log_dispersion: float,
    counts: np.ndarray,
    means: np.ndarray,
    design: np.ndarray,
    prior_mean: float,
    prior_variance: float,
    information: np.ndarray,
    factor: np.ndarray,
) -> float:
    """Cox-Reid adjusted log likelihood of a log dispersion, plus its normal log prior.

    Args:
        log_dispersion: Natural log of alpha in Var = mu + alpha mu^2.
        counts: (samples,)
        means: (samples,) expected counts.
        design: (samples, coefficients)
        prior_mean: Natural log of the trend's dispersion.
        prior_variance: Infinite where there is no prior.
        information: Scratch, (coefficients, coefficients).
        factor: Scratch, (coefficients, coefficients).
    """
    dispersion = math.exp(log_dispersion)
    size = 1.0 / dispersion
    log_size = -log_dispersion
    information[:] = 0.0
    total = 0.0
    for sample in range(counts.shape[0]):
        count, mean = counts[sample], means[sample]
        log_one_plus = math.log1p(mean * dispersion)
        if count > 0.0:
            total += log_gamma_ratio(count, size) - count * (log_size + log_one_plus)
        total -= size * log_one_plus
        add_weighted_products(design, sample, mean / (1.0 + mean * dispersion), information)
    if not cholesky(information, factor):
        return -np.inf
    for row in range(factor.shape[0]):
        total -= math.log(factor[row, row])
    if prior_variance != np.inf:
        total -= 0.5 * (log_dispersion - prior_mean) ** 2 / prior_variance
    return total


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_posterior_slope(
    log_dispersion: float,
    counts: np.ndarray,
    means: np.ndarray,
    design: np.ndarray,
    prior_mean: float,
    prior_variance: float,
    information: np.ndarray,
    change: np.ndarray,
    factor: np.ndarray,
    inverse: np.ndarray,
) -> float:
    """Derivative of `log_posterior` to the log dispersion; `change` and `inverse` are scratch like `information`."""
    dispersion = math.exp(log_dispersion)
    size = 1.0 / dispersion
    information[:] = 0.0
    change[:] = 0.0
    total = 0.0
    for sample in range(counts.shape[0]):
        count, mean = counts[sample], means[sample]
        relative = mean * dispersion
        total += math.log1p(relative) - relative / (1.0 + relative)
        if count > 0.0:
            total += count / (mean + size) - digamma_difference(count, size)
        weight = mean / (1.0 + relative)
        add_weighted_products(design, sample, weight, information)
        add_weighted_products(design, sample, -weight * weight, change)
    cholesky(information, factor)
    invert_factored(factor, inverse)
    mirror(change)
    adjustment = 0.0
    for row in range(change.shape[0]):
        for column in range(change.shape[1]):
            adjustment += inverse[row, column] * change[column, row]
    slope = (total * size * size - 0.5 * adjustment) * dispersion
    if prior_variance != np.inf:
        slope -= (log_dispersion - prior_mean) / prior_variance
    return slope


@numba.njit(cache=True, error_model="numpy", nogil=True)
def search_dispersions(
    counts: np.ndarray,
    means: np.ndarray,
    design: np.ndarray,
    starts: np.ndarray,
    prior_means: np.ndarray,
    prior_variance: float,
    smallest_log: float,
    tolerance: float,
    most_steps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Climb from a start along the slope, the step halved until Armijo's rule holds.

    Args:
        counts: (genes, samples)
        means: (genes, samples)
        design: (samples, coefficients)
        starts: (genes,) log dispersions to start from.
        prior_means: (genes,) log dispersions of the trend.
        prior_variance: Infinite where there is no prior.
        smallest_log: A search that falls below ends.
        tolerance: A gain below it ends the search.
        most_steps: Proposals at most.

    Returns:
        Per gene: the log dispersion, proposals made, log posterior at the start and at the end.
    """
    genes, coefficients = counts.shape[0], design.shape[1]
    found = np.empty(genes)
    steps = np.zeros(genes, dtype=np.int64)
    first = np.empty(genes)
    last = np.empty(genes)
    information = np.zeros((coefficients, coefficients))
    change = np.zeros((coefficients, coefficients))
    factor = np.zeros((coefficients, coefficients))
    inverse = np.zeros((coefficients, coefficients))
    for gene in range(genes):
        count, mean, prior_mean = counts[gene], means[gene], prior_means[gene]
        place = starts[gene]
        height = log_posterior(place, count, mean, design, prior_mean, prior_variance, information, factor)
        slope = log_posterior_slope(
            place, count, mean, design, prior_mean, prior_variance, information, change, factor, inverse
        )
        first[gene] = height
        scale = 1.0
        accepted = 0
        for _ in range(most_steps):
            steps[gene] += 1
            proposal = place + scale * slope
            if proposal < _LOWEST_LOG:
                scale = (_LOWEST_LOG - place) / slope
            elif proposal > _HIGHEST_LOG:
                scale = (_HIGHEST_LOG - place) / slope
            proposal = place + scale * slope
            reached = log_posterior(proposal, count, mean, design, prior_mean, prior_variance, information, factor)
            if not reached >= height + scale * _ARMIJO * slope * slope:
                scale /= 2.0
                continue
            accepted += 1
            place = proposal
            if reached - height < tolerance:
                height = reached
                break
            if place < smallest_log:
                break
            height = reached
            slope = log_posterior_slope(
                place, count, mean, design, prior_mean, prior_variance, information, change, factor, inverse
            )
            scale = min(scale * 1.1, 1.0)
            # Against overshooting that alternates around the maximum.
            if accepted % 5 == 0:
                scale /= 2.0
        found[gene] = place
        last[gene] = height
    return found, steps, first, last


@numba.njit(cache=True, error_model="numpy", nogil=True)
def grid_dispersions(
    counts: np.ndarray,
    means: np.ndarray,
    design: np.ndarray,
    grid: np.ndarray,
    prior_means: np.ndarray,
    prior_variance: float,
) -> np.ndarray:
    """Best log dispersion of a coarse grid, then of as fine a one around it, for genes where the search gave up."""
    coefficients = design.shape[1]
    information = np.zeros((coefficients, coefficients))
    factor = np.zeros((coefficients, coefficients))
    found = np.empty(counts.shape[0])
    spacing = grid[1] - grid[0]
    for gene in range(counts.shape[0]):
        centre = 0.0
        for level in range(2):
            places = grid if level == 0 else np.linspace(centre - spacing, centre + spacing, grid.size)
            best = -np.inf
            for place in places:
                height = log_posterior(
                    place, counts[gene], means[gene], design, prior_means[gene], prior_variance, information, factor
                )
                if height > best:
                    best, centre = height, place
        found[gene] = centre
    return found
