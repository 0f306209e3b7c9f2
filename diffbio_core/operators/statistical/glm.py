"""Coefficients of one gene's negative binomial regression by iteratively reweighted least squares, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np

from diffbio_core.operators.statistical.gamma_functions import log_factorial, log_gamma_ratio
from diffbio_core.operators.statistical.small_matrices import (
    add_weighted_products,
    cholesky,
    invert_factored,
    mirror,
    solve_factored,
)

LARGEST_COEFFICIENT = 30.0
"""Beyond it, as a natural log, a fit counts as diverged."""


@numba.njit(cache=True, error_model="numpy", nogil=True)
def fit_coefficients(
    counts: np.ndarray,
    design: np.ndarray,
    size_factors: np.ndarray,
    dispersions: np.ndarray,
    starts: np.ndarray,
    ridge: np.ndarray,
    smallest_mean: float,
    tolerance: float,
    most_steps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit mu = size factor x exp(design @ beta) by weighted least squares with a slight ridge.

    Args:
        counts: (genes, samples)
        design: (samples, coefficients)
        size_factors: (samples,)
        dispersions: (genes,)
        starts: (genes, coefficients) natural-log coefficients to start from.
        ridge: (coefficients,) added to the diagonal of the information.
        smallest_mean: Means below it are lifted to it, as weights hold 1/mu.
        tolerance: A relative change of the deviance below it ends the fit.
        most_steps: Steps at most; a fit that took as many has not converged.

    Returns:
        Coefficients (genes, coefficients), steps taken (genes,), and leverages (genes, samples).
    """
    genes, samples = counts.shape
    width = design.shape[1]
    coefficients = starts.copy()
    steps = np.zeros(genes, dtype=np.int64)
    leverages = np.empty((genes, samples))
    information = np.zeros((width, width))
    factor = np.zeros((width, width))
    inverse = np.zeros((width, width))
    target = np.empty(width)
    mean = np.empty(samples)
    predictor = np.empty(samples)
    for gene in range(genes):
        beta = coefficients[gene]
        dispersion = dispersions[gene]
        size = 1.0 / dispersion
        constant = 0.0
        for sample in range(samples):
            count = counts[gene, sample]
            if count > 0.0:
                constant += log_gamma_ratio(count, size) - log_factorial(count)
        _lifted_means(design, size_factors, beta, smallest_mean, predictor, mean)
        before = 0.0
        for step in range(most_steps):
            steps[gene] += 1
            information[:] = 0.0
            target[:] = 0.0
            for sample in range(samples):
                weight = mean[sample] / (1.0 + dispersion * mean[sample])
                working = predictor[sample] + (counts[gene, sample] - mean[sample]) / mean[sample]
                add_weighted_products(design, sample, weight, information)
                for row in range(width):
                    target[row] += design[sample, row] * weight * working
            for row in range(width):
                information[row, row] += ridge[row]
            if not cholesky(information, factor):
                steps[gene] = most_steps
                break
            solve_factored(factor, target)
            diverged = False
            for row in range(width):
                beta[row] = target[row]
                diverged |= not abs(beta[row]) <= LARGEST_COEFFICIENT
            if diverged:
                steps[gene] = most_steps
                break
            _lifted_means(design, size_factors, beta, smallest_mean, predictor, mean)
            likelihood = constant
            for sample in range(samples):
                count = counts[gene, sample]
                log_one_plus = math.log1p(mean[sample] * dispersion)
                likelihood -= size * log_one_plus
                if count > 0.0:
                    likelihood += count * (math.log(mean[sample] * dispersion) - log_one_plus)
            deviance = -2.0 * likelihood
            relative = abs(deviance - before) / (abs(deviance) + 0.1)
            if math.isnan(relative):
                steps[gene] = most_steps
                break
            if step > 0 and relative < tolerance:
                break
            before = deviance
        information[:] = 0.0
        for sample in range(samples):
            weight = mean[sample] / (1.0 + dispersion * mean[sample])
            add_weighted_products(design, sample, weight, information)
        for row in range(width):
            information[row, row] += ridge[row]
        cholesky(information, factor)
        invert_factored(factor, inverse)
        for sample in range(samples):
            total = 0.0
            for row in range(width):
                for column in range(width):
                    total += design[sample, row] * inverse[row, column] * design[sample, column]
            leverages[gene, sample] = total * mean[sample] / (1.0 + dispersion * mean[sample])
    return coefficients, steps, leverages


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _lifted_means(
    design: np.ndarray,
    size_factors: np.ndarray,
    beta: np.ndarray,
    smallest_mean: float,
    predictor: np.ndarray,
    mean: np.ndarray,
) -> None:
    """Means of one gene, none below the smallest, and the linear predictors that they stand for."""
    for sample in range(design.shape[0]):
        total = 0.0
        for row in range(beta.shape[0]):
            total += design[sample, row] * beta[row]
        value = size_factors[sample] * math.exp(total)
        if value < smallest_mean:
            value = smallest_mean
            total = math.log(smallest_mean / size_factors[sample])
        predictor[sample] = total
        mean[sample] = value


@numba.njit(cache=True, error_model="numpy", nogil=True)
def contrast_variances(
    design: np.ndarray,
    size_factors: np.ndarray,
    dispersions: np.ndarray,
    coefficients: np.ndarray,
    ridge: np.ndarray,
    smallest_mean: float,
    contrasts: np.ndarray,
) -> np.ndarray:
    """Sandwich variances of linear combinations of natural-log coefficients.

    Args:
        design: (samples, coefficients)
        size_factors: (samples,)
        dispersions: (genes,)
        coefficients: (genes, coefficients)
        ridge: (coefficients,)
        smallest_mean: Means below it are lifted to it.
        contrasts: (contrasts, coefficients)

    Returns:
        (genes, contrasts); NaN where the information is singular.
    """
    genes, width = coefficients.shape
    samples = design.shape[0]
    variances = np.empty((genes, contrasts.shape[0]))
    information = np.zeros((width, width))
    regular = np.zeros((width, width))
    factor = np.zeros((width, width))
    combined = np.empty(width)
    predictor = np.empty(samples)
    mean = np.empty(samples)
    for gene in range(genes):
        _lifted_means(design, size_factors, coefficients[gene], smallest_mean, predictor, mean)
        information[:] = 0.0
        for sample in range(samples):
            weight = mean[sample] / (1.0 + dispersions[gene] * mean[sample])
            add_weighted_products(design, sample, weight, information)
        mirror(information)
        regular[:] = information
        for row in range(width):
            regular[row, row] += ridge[row]
        if not cholesky(regular, factor):
            variances[gene] = np.nan
            continue
        for index in range(contrasts.shape[0]):
            combined[:] = contrasts[index]
            solve_factored(factor, combined)
            total = 0.0
            for row in range(width):
                for column in range(width):
                    total += combined[row] * information[row, column] * combined[column]
            variances[gene, index] = total
    return variances


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_likelihoods(counts: np.ndarray, means: np.ndarray, dispersions: np.ndarray) -> np.ndarray:
    """Negative binomial log likelihood per gene; counts and means are (genes, samples)."""
    totals = np.zeros(counts.shape[0])
    for gene in range(counts.shape[0]):
        dispersion = dispersions[gene]
        size = 1.0 / dispersion
        for sample in range(counts.shape[1]):
            count, mean = counts[gene, sample], means[gene, sample]
            log_one_plus = math.log1p(mean * dispersion)
            totals[gene] -= size * log_one_plus
            if count > 0.0:
                totals[gene] += (
                    log_gamma_ratio(count, size)
                    - log_factorial(count)
                    + count * (math.log(mean * dispersion) - log_one_plus)
                )
    return totals


@numba.njit(cache=True, error_model="numpy", nogil=True)
def penalised_loss(
    counts: np.ndarray,
    design: np.ndarray,
    size_factors: np.ndarray,
    dispersion: float,
    log2_coefficients: np.ndarray,
    penalty: float,
    step: float,
) -> tuple[float, np.ndarray]:
    """Negative log likelihood of one gene plus penalty / 2 x squared coefficients, and its central differences.

    Args:
        counts: (samples,)
        design: (samples, coefficients)
        size_factors: (samples,)
        dispersion: Alpha.
        log2_coefficients: (coefficients,)
        penalty: Of a squared log2 coefficient, halved.
        step: Of the differences, in log2.

    It keeps the interpreter's lock: a minimiser calls it many times, and would wait for the lock each time.
    """
    width = len(log2_coefficients)
    size = 1.0 / dispersion
    constant = 0.0
    for count in counts:
        if count > 0.0:
            constant += log_gamma_ratio(count, size) - log_factorial(count)
    place = log2_coefficients.copy()
    values = np.empty(2 * width + 1)
    for index in range(2 * width + 1):
        if index < 2 * width:
            place[index // 2] += step if index % 2 == 0 else -step
        loss = -constant
        for row in range(width):
            loss += 0.5 * penalty * place[row] * place[row]
        for sample in range(len(counts)):
            total = 0.0
            for row in range(width):
                total += design[sample, row] * place[row]
            mean = size_factors[sample] * 2.0**total
            log_one_plus = math.log1p(mean * dispersion)
            loss += size * log_one_plus
            if counts[sample] > 0.0:
                loss -= counts[sample] * (math.log(mean * dispersion) - log_one_plus)
        values[index] = loss if math.isfinite(loss) else 1e300
        if index < 2 * width:
            place[index // 2] = log2_coefficients[index // 2]
    return values[2 * width], (values[0 : 2 * width : 2] - values[1 : 2 * width : 2]) / (2.0 * step)
