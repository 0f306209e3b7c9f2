"""Log fold changes and their spread for blocks of genes, with a slower fit for genes where least squares diverge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from diffbio_core.operators.statistical.glm import contrast_variances, fit_coefficients, penalised_loss

SMALLEST_MEAN = 0.5
_RIDGE = 1e-6 / np.log(2) ** 2
_TOLERANCE, _MOST_STEPS = 1e-8, 100
_LARGEST_LOG2 = 30.0


@dataclass(frozen=True)
class CoefficientFit:
    """Fitted regression of a block of genes.

    Attributes:
        coefficients: (genes, coefficients) natural logs.
        leverages: (genes, samples) diagonal of the hat matrix.
        means: (genes, samples) expected counts.
        converged: (genes,) whether a fit came to rest.
        rescued: (genes,) fitted by bounded minimisation, as least squares diverged.
    """

    coefficients: Float[np.ndarray, "genes coefficients"]
    leverages: Float[np.ndarray, "genes samples"]
    means: Float[np.ndarray, "genes samples"]
    converged: Bool[np.ndarray, " genes"]
    rescued: Bool[np.ndarray, " genes"]


def is_one_mean_per_group(design: Float[np.ndarray, "samples coefficients"]) -> bool:
    """Whether a design has as many coefficients as different samples: then group means are the fitted means."""
    return len(np.unique(design, axis=0)) == design.shape[1]


def fit_gene_coefficients(
    counts: Float[np.ndarray, "genes samples"],
    design: Float[np.ndarray, "samples coefficients"],
    size_factors: Float[np.ndarray, " samples"],
    dispersions: Float[np.ndarray, " genes"],
) -> CoefficientFit:
    """Fit mu = size factor x exp(design @ beta) to each gene at a known dispersion.

    Args:
        counts: (genes, samples), each gene with some count.
        design: (samples, coefficients) of full rank.
        size_factors: (samples,)
        dispersions: (genes,)
    """
    if design.shape[1] == 1 and (design == 1).all():
        return _fit_intercept(counts, size_factors, dispersions)
    starts = np.log(counts / size_factors + 0.1) @ np.linalg.pinv(design).T
    ridge = ridge_of(design)
    coefficients, steps, leverages = fit_coefficients(
        counts, design, size_factors, dispersions, starts, ridge, SMALLEST_MEAN, _TOLERANCE, _MOST_STEPS
    )
    variances = contrast_variances(
        design, size_factors, dispersions, coefficients, ridge, SMALLEST_MEAN, np.eye(design.shape[1])
    )
    converged: Bool[np.ndarray, " genes"] = np.less(steps, _MOST_STEPS)
    stable = np.asarray(np.isfinite(coefficients).all(axis=1))
    rescued = ~converged | ~stable | ~(variances > 0).all(axis=1)
    for gene in np.flatnonzero(rescued):
        near = stable[gene] and (np.abs(coefficients[gene] / np.log(2)) < _LARGEST_LOG2).all()
        start = coefficients[gene] if near else starts[gene]
        coefficients[gene], converged[gene] = _minimise(counts[gene], design, size_factors, dispersions[gene], start)
    with np.errstate(over="ignore"):
        means = size_factors * np.exp(coefficients @ design.T)
    return CoefficientFit(coefficients, leverages, means, converged, rescued)


def variances_of_contrasts(
    design: Float[np.ndarray, "samples coefficients"],
    size_factors: Float[np.ndarray, " samples"],
    dispersions: Float[np.ndarray, " genes"],
    coefficients: Float[np.ndarray, "genes coefficients"],
    contrasts: Float[np.ndarray, "contrasts coefficients"],
) -> Float[np.ndarray, "genes contrasts"]:
    """Sandwich variances of contrasts of natural-log coefficients."""
    if design.shape[1] == 1 and (design == 1).all():
        means = size_factors * np.exp(coefficients)
        return 1 / (means / (1 + dispersions[:, None] * means)).sum(axis=1, keepdims=True) * contrasts[:, 0] ** 2
    return contrast_variances(
        design, size_factors, dispersions, coefficients, ridge_of(design), SMALLEST_MEAN, contrasts
    )


def ridge_of(design: Float[np.ndarray, "samples coefficients"]) -> Float[np.ndarray, " coefficients"]:
    """The slight ridge that keeps a singular fit finite: 1e-6 on the scale of log2."""
    return np.full(design.shape[1], _RIDGE)


def _fit_intercept(
    counts: Float[np.ndarray, "genes samples"],
    size_factors: Float[np.ndarray, " samples"],
    dispersions: Float[np.ndarray, " genes"],
) -> CoefficientFit:
    """One mean for all samples: that of normalised counts."""
    level = (counts / size_factors).mean(axis=1, keepdims=True)
    means = level * size_factors
    weights = means / (1 + dispersions[:, None] * means)
    leverages = weights / weights.sum(axis=1, keepdims=True)
    every = np.ones(len(counts), dtype=bool)
    return CoefficientFit(np.log(level), leverages, means, every, ~every)


def _minimise(
    counts: Float[np.ndarray, " samples"],
    design: Float[np.ndarray, "samples coefficients"],
    size_factors: Float[np.ndarray, " samples"],
    dispersion: float,
    start: Float[np.ndarray, " coefficients"],
) -> tuple[Float[np.ndarray, " coefficients"], bool]:
    """Minimise one gene's penalised likelihood with bounds, coefficients as log2, as R's `optim` does."""
    from scipy.optimize import minimize

    found = minimize(
        lambda place: penalised_loss(counts, design, size_factors, dispersion, place, 1e-6, 1e-3),
        np.clip(start / np.log(2), -_LARGEST_LOG2, _LARGEST_LOG2),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_LARGEST_LOG2, _LARGEST_LOG2)] * len(start),
        options={"maxcor": 5, "ftol": 1e7 * np.finfo(float).eps, "gtol": 0.0, "maxiter": 100},
    )
    return found.x * np.log(2), bool(found.success)
