"""Wald and likelihood-ratio tests of a fitted model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from diffbio_core.operators.statistical.coefficients import SMALLEST_MEAN, fit_gene_coefficients
from diffbio_core.operators.statistical.count_model import CountModel
from diffbio_core.operators.statistical.design import Contrast
from diffbio_core.operators.statistical.glm import log_likelihoods

ALTERNATIVES = ("greaterAbs", "lessAbs", "greater", "less")


@dataclass(frozen=True)
class TestedGenes:
    """A test of every gene.

    Attributes:
        fold_change: (genes,) natural log.
        standard_error: (genes,) of it.
        statistic: (genes,) Wald's z, or twice the difference of log likelihoods.
        p_values: (genes,) NaN for genes without counts; outliers are not taken out yet.
    """

    fold_change: Float[np.ndarray, " genes"]
    standard_error: Float[np.ndarray, " genes"]
    statistic: Float[np.ndarray, " genes"]
    p_values: Float[np.ndarray, " genes"]


def wald_test(
    model: CountModel, contrast: Contrast, *, threshold: float = 0.0, alternative: str = "greaterAbs"
) -> TestedGenes:
    """Test a contrast by its ratio to its standard error.

    Args:
        model: Fitted counts.
        contrast: What is tested.
        threshold: Log2 fold change that the null hypothesis allows.
        alternative: "greaterAbs" or "lessAbs", that its size is above or below; "greater" or "less", that it is itself.

    Raises:
        ValueError: Another alternative, a negative threshold, or "lessAbs" without one.
    """
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative must be one of {ALTERNATIVES}, got {alternative!r}")
    if not threshold >= 0:
        raise ValueError(f"threshold, a log2 fold change, must not be negative, got {threshold}")
    if alternative == "lessAbs" and threshold == 0:
        raise ValueError("alternative 'lessAbs' needs a positive threshold")
    change = model.fold_change(contrast)
    error = np.sqrt(model.variances(contrast.weights[None])[:, 0])
    statistic = change / error
    p_values = 2 * _upper_tail(np.abs(statistic))
    nothing = _without_counts(model, contrast)
    change, statistic, p_values = (
        np.where(nothing, value, found) for value, found in ((0.0, change), (0.0, statistic), (1.0, p_values))
    )
    if threshold > 0 or alternative != "greaterAbs":
        statistic, p_values = _against_threshold(change, error, threshold * np.log(2), alternative)
    # Where nothing was left after replacing outliers, there is no change.
    emptied = model.replaced & (model.moments.mean == 0)
    return TestedGenes(
        np.where(emptied, 0.0, change),
        np.where(emptied, 0.0, error),
        np.where(emptied, 0.0, statistic),
        np.where(emptied, 1.0, p_values),
    )


def likelihood_ratio_test(
    model: CountModel, reduced: Float[np.ndarray, "samples fewer"], contrast: Contrast
) -> TestedGenes:
    """Test whether the design explains more than a smaller one.

    Args:
        model: Fitted counts.
        reduced: Design matrix of the smaller model, whose columns the design's combine to.
        contrast: Whose fold change is told beside the test.

    Raises:
        ValueError: The smaller model is not smaller or not within the design.
    """
    from scipy.special import chdtrc

    full = model.design.matrix
    degrees = full.shape[1] - reduced.shape[1]
    if reduced.shape[0] != full.shape[0] or degrees < 1:
        raise ValueError(f"reduced design of shape {reduced.shape} is not smaller than the design of {full.shape}")
    if np.linalg.matrix_rank(np.column_stack([full, reduced])) > full.shape[1]:
        raise ValueError("reduced design is not part of the design: its columns are no combinations of the design's")
    wald = wald_test(model, contrast)
    statistic = np.full(model.counts.genes, np.nan)

    def work(genes: Integer[np.ndarray, " block"]) -> None:
        counts, dispersions = model.counts.block(genes), model.dispersions.final[genes]
        with np.errstate(over="ignore"):
            means = model.size_factors * np.exp(model.coefficients[genes] @ full.T)
        means = np.where(model.rescued[genes, None], np.maximum(means, SMALLEST_MEAN), means)
        fit = fit_gene_coefficients(counts, reduced, model.size_factors, dispersions)
        smaller = np.where(fit.rescued[:, None], np.maximum(fit.means, SMALLEST_MEAN), fit.means)
        statistic[genes] = 2 * (
            log_likelihoods(counts, means, dispersions) - log_likelihoods(counts, smaller, dispersions)
        )

    model.counts.map_blocks(np.flatnonzero(model.fitted), work)
    p_values = chdtrc(degrees, np.maximum(statistic, 0.0))
    emptied = model.replaced & (model.moments.mean == 0)
    return TestedGenes(
        wald.fold_change,
        wald.standard_error,
        np.where(emptied, 0.0, statistic),
        np.where(emptied, 1.0, p_values),
    )


def _without_counts(model: CountModel, contrast: Contrast) -> np.ndarray:
    """Genes with counts, but none in the samples that the contrast compares."""
    if contrast.samples is None:
        return np.zeros(model.counts.genes, dtype=bool)
    return model.observed.is_zero_in(contrast.samples) & model.fitted


def _against_threshold(
    change: Float[np.ndarray, " genes"], error: Float[np.ndarray, " genes"], threshold: float, alternative: str
) -> tuple[Float[np.ndarray, " genes"], Float[np.ndarray, " genes"]]:
    if alternative == "greaterAbs":
        beyond = (np.abs(change) - threshold) / error
        return np.sign(change) * np.maximum(beyond, 0), np.minimum(1.0, 2 * _upper_tail(beyond))
    if alternative == "lessAbs":
        above, below = (threshold - change) / error, (change + threshold) / error
        return (
            np.minimum(np.maximum(above, 0), np.maximum(below, 0)),
            np.maximum(_upper_tail(above), _upper_tail(below)),
        )
    if alternative == "greater":
        beyond = (change - threshold) / error
        return np.maximum(beyond, 0), _upper_tail(beyond)
    beyond = (change + threshold) / error
    return np.minimum(beyond, 0), _upper_tail(-beyond)


def _upper_tail(z: Float[np.ndarray, " genes"]) -> Float[np.ndarray, " genes"]:
    """Probability of a standard normal above z."""
    from scipy.special import erfc

    return 0.5 * erfc(z / np.sqrt(2))
