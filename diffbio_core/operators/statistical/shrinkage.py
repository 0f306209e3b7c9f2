"""Fold changes drawn to 0 where a gene's counts say little: apeglm (Zhu, Ibrahim, Love 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Float, Integer

from diffbio_core.operators.statistical.count_model import CountModel
from diffbio_core.operators.statistical.hypothesis_tests import TestedGenes
from diffbio_core.operators.statistical.small_matrices import (
    add_weighted_products,
    cholesky,
    invert_factored,
    mirror,
    solve_factored,
)

_WIDE_VARIANCE = 15.0**2
"""Of the normal prior of coefficients that are not shrunken."""

_LEAST_VARIANCE, _GREATEST_VARIANCE = 1e-6, 400.0
_TOLERANCE, _MOST_STEPS = 1e-10, 200


@dataclass(frozen=True)
class ShrunkenFoldChanges:
    """Maximum a posteriori fold changes.

    Attributes:
        fold_change: (genes,) natural log; NaN for genes without counts.
        standard_error: (genes,) standard deviation of the posterior, by Laplace's approximation.
        prior_scale: Scale of the Cauchy prior.
    """

    fold_change: Float[np.ndarray, " genes"]
    standard_error: Float[np.ndarray, " genes"]
    prior_scale: float


def shrink_fold_changes(
    model: CountModel, coefficient: int, wald: TestedGenes, *, sign: float = 1.0
) -> ShrunkenFoldChanges:
    """Shrink one coefficient under a Cauchy prior whose scale all genes together tell.

    Args:
        model: Fitted counts.
        coefficient: Number of the coefficient.
        wald: Its unshrunken fold changes and standard errors.
        sign: -1 where the fold change is the coefficient's negative.
    """
    scale = prior_scale(wald.fold_change, wald.standard_error)
    change, error = np.full(model.counts.genes, np.nan), np.full(model.counts.genes, np.nan)
    level = np.linalg.pinv(model.design.matrix) @ np.ones(model.counts.samples)

    def work(genes: Integer[np.ndarray, " block"]) -> None:
        counts = model.observed.block(genes)
        means = (counts / model.size_factors).mean(axis=1)
        starts = np.log(means)[:, None] * level
        change[genes], error[genes] = _shrink_block(
            counts,
            model.design.matrix,
            model.size_factors,
            model.dispersions.final[genes],
            starts,
            coefficient,
            scale,
        )

    model.counts.map_blocks(np.flatnonzero(model.fitted), work)
    return ShrunkenFoldChanges(sign * change, error, scale)


def prior_scale(fold_changes: Float[np.ndarray, " genes"], standard_errors: Float[np.ndarray, " genes"]) -> float:
    """Scale of the prior of natural-log fold changes, at most 1.

    The variance A solves A = mean of (change^2 - error^2), weighted by 1 / (A + error^2)^2 (Efron, Morris 1975).

    Args:
        fold_changes: (genes,) natural log, or NaN.
        standard_errors: (genes,)
    """
    known = np.isfinite(fold_changes) & np.isfinite(standard_errors)
    squares, noise = fold_changes[known] ** 2, standard_errors[known] ** 2

    def excess(variance: float) -> float:
        weights = (variance + noise) ** -2
        return float(((squares - noise) * weights).sum() / weights.sum() - variance)

    if excess(_LEAST_VARIANCE) < 0:
        variance = _LEAST_VARIANCE
    elif excess(_GREATEST_VARIANCE) > 0:
        variance = _GREATEST_VARIANCE
    else:
        variance = _root(excess)
    return min(math.sqrt(variance), 1.0)


def _root(excess: Callable[[float], float]) -> float:
    from scipy.optimize import root_scalar

    return float(root_scalar(excess, bracket=(_LEAST_VARIANCE, _GREATEST_VARIANCE), method="brentq").root)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _shrink_block(
    counts: np.ndarray,
    design: np.ndarray,
    size_factors: np.ndarray,
    dispersions: np.ndarray,
    starts: np.ndarray,
    coefficient: int,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior modes and standard deviations by Newton steps, halved until the posterior rises.

    The log of the Cauchy prior is not concave. Steps take its curvature from the normal that touches it, which is
    positive everywhere; the standard deviation takes its own.
    """
    genes, width = len(counts), design.shape[1]
    changes, errors = np.empty(genes), np.empty(genes)
    hessian = np.zeros((width, width))
    factor = np.zeros((width, width))
    inverse = np.zeros((width, width))
    step = np.empty(width)
    for gene in range(genes):
        beta = starts[gene].copy()
        # From no change: a far start may end in the other valley of the posterior.
        dispersion = dispersions[gene]
        loss = _loss(counts[gene], design, size_factors, dispersion, beta, coefficient, scale)
        for _ in range(_MOST_STEPS):
            _slope_and_curvature(
                counts[gene], design, size_factors, dispersion, beta, coefficient, scale, step, hessian
            )
            hessian[coefficient, coefficient] += 2.0 / (scale * scale + beta[coefficient] ** 2)
            if not cholesky(hessian, factor):
                break
            solve_factored(factor, step)
            length = 1.0
            reached = np.inf
            proposal = beta
            for _ in range(40):
                proposal = beta - length * step
                reached = _loss(counts[gene], design, size_factors, dispersion, proposal, coefficient, scale)
                if reached <= loss:
                    break
                length /= 2.0
            if not reached <= loss:
                break
            gain = loss - reached
            moved = np.abs(proposal - beta).max()
            beta, loss = proposal, reached
            if gain < _TOLERANCE * (abs(loss) + 1.0) and moved < 1e-7:
                break
        _slope_and_curvature(counts[gene], design, size_factors, dispersion, beta, coefficient, scale, step, hessian)
        square = beta[coefficient] ** 2
        hessian[coefficient, coefficient] += 2.0 * (scale * scale - square) / (scale * scale + square) ** 2
        changes[gene] = beta[coefficient]
        if cholesky(hessian, factor):
            invert_factored(factor, inverse)
            errors[gene] = math.sqrt(inverse[coefficient, coefficient])
        else:
            errors[gene] = np.nan
    return changes, errors


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _loss(
    counts: np.ndarray,
    design: np.ndarray,
    size_factors: np.ndarray,
    dispersion: float,
    beta: np.ndarray,
    coefficient: int,
    scale: float,
) -> float:
    """Negative log posterior, but for a constant."""
    total = math.log1p((beta[coefficient] / scale) ** 2)
    for row in range(len(beta)):
        if row != coefficient:
            total += 0.5 * beta[row] * beta[row] / _WIDE_VARIANCE
    for sample in range(len(counts)):
        predictor = 0.0
        for row in range(len(beta)):
            predictor += design[sample, row] * beta[row]
        mean = size_factors[sample] * math.exp(predictor)
        total += (counts[sample] + 1.0 / dispersion) * math.log1p(dispersion * mean) - counts[sample] * predictor
    return total


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _slope_and_curvature(
    counts: np.ndarray,
    design: np.ndarray,
    size_factors: np.ndarray,
    dispersion: float,
    beta: np.ndarray,
    coefficient: int,
    scale: float,
    slope: np.ndarray,
    hessian: np.ndarray,
) -> None:
    """Derivatives of `_loss`, the second without the prior of the shrunken coefficient."""
    hessian[:] = 0.0
    slope[:] = beta / _WIDE_VARIANCE
    slope[coefficient] = 2.0 * beta[coefficient] / (scale * scale + beta[coefficient] ** 2)
    for row in range(len(beta)):
        if row != coefficient:
            hessian[row, row] = 1.0 / _WIDE_VARIANCE
    for sample in range(len(counts)):
        predictor = 0.0
        for row in range(len(beta)):
            predictor += design[sample, row] * beta[row]
        mean = size_factors[sample] * math.exp(predictor)
        shared = 1.0 + dispersion * mean
        for row in range(len(beta)):
            slope[row] += design[sample, row] * (mean - counts[sample]) / shared
        add_weighted_products(design, sample, mean * (1.0 + dispersion * counts[sample]) / (shared * shared), hessian)
    mirror(hessian)
