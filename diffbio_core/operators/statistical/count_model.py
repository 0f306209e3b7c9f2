"""Counts fitted under a design, DESeq2's way from size factors to tests (Love, Huber, Anders 2014)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Integer

from diffbio_core.operators.statistical.coefficients import (
    fit_gene_coefficients,
    variances_of_contrasts,
)
from diffbio_core.operators.statistical.cooks import (
    cooks_cutoff,
    cooks_distances,
    judged_samples,
    replacement_counts,
    replicates,
)
from diffbio_core.operators.statistical.design import Contrast, Design
from diffbio_core.operators.statistical.dispersion import (
    DispersionEstimator,
    DispersionPrior,
    Dispersions,
    GeneMoments,
)
from diffbio_core.operators.statistical.sample_counts import SampleCounts
from diffbio_core.operators.statistical.size_factors import (
    size_factors_by_positive_counts,
    size_factors_by_ratio,
)


@dataclass(frozen=True)
class CountModel:
    """What was fitted to each gene. Arrays hold NaN for genes without counts.

    Attributes:
        counts: Counts that were fitted, outliers replaced.
        observed: Counts as they were given.
        design: The design.
        size_factors: (samples,)
        size_factor_kind: "ratio", "poscounts" or "given".
        moments: Of normalised counts, outliers replaced.
        prior: Trend and spread of dispersions.
        dispersions: By gene.
        coefficients: (genes, coefficients) natural logs.
        converged: (genes,)
        rescued: (genes,) fitted by bounded minimisation, as least squares diverged.
        cooks: (samples, genes) Cook's distances of the counts as given.
        max_cooks: (genes,) the greatest that judges a gene; NaN where there are too few replicates, or outliers were
            replaced in all samples.
        replaced: (genes,) which had outliers replaced.
    """

    counts: SampleCounts
    observed: SampleCounts
    design: Design
    size_factors: Float[np.ndarray, " samples"]
    size_factor_kind: str
    moments: GeneMoments
    prior: DispersionPrior
    dispersions: Dispersions
    coefficients: Float[np.ndarray, "genes coefficients"]
    converged: Bool[np.ndarray, " genes"]
    rescued: Bool[np.ndarray, " genes"]
    cooks: Float[np.ndarray, "samples genes"]
    max_cooks: Float[np.ndarray, " genes"]
    replaced: Bool[np.ndarray, " genes"]

    @property
    def fitted(self) -> Bool[np.ndarray, " genes"]:
        """Which genes have some count, outliers replaced, and so a fit."""
        return np.isfinite(self.coefficients[:, 0])

    def means(self) -> Float[np.ndarray, "samples genes"]:
        """Expected counts, 0 for genes without counts."""
        with np.errstate(over="ignore"):
            means = np.exp(self.design.matrix @ self.coefficients.T)
        means *= self.size_factors[:, None]
        return np.nan_to_num(means, copy=False, nan=0.0)

    def variances(self, contrasts: Float[np.ndarray, "contrasts coefficients"]) -> Float[np.ndarray, "genes contrasts"]:
        """Variances of contrasts of natural-log coefficients."""
        variances = np.full((self.counts.genes, len(contrasts)), np.nan)

        def work(genes: Integer[np.ndarray, " block"]) -> None:
            variances[genes] = variances_of_contrasts(
                self.design.matrix,
                self.size_factors,
                self.dispersions.final[genes],
                self.coefficients[genes],
                contrasts,
            )

        self.counts.map_blocks(np.flatnonzero(self.fitted), work)
        return variances

    def fold_change(self, contrast: Contrast) -> Float[np.ndarray, " genes"]:
        """Natural-log fold changes of a contrast."""
        return self.coefficients @ contrast.weights

    def is_outlier(self) -> Bool[np.ndarray, " genes"]:
        """Genes whose p-value an outlier would decide.

        With one factor of two levels a gene is kept where three samples have more counts than the suspected outlier.
        """
        with np.errstate(invalid="ignore"):
            outlier = self.max_cooks > cooks_cutoff(self.design.matrix)
        if self.design.two_groups and outlier.any():
            genes = np.flatnonzero(outlier)
            counts = self.observed.block(genes)
            worst = self.cooks[:, genes].argmax(axis=0)
            larger = counts > counts[np.arange(len(genes)), worst][:, None]
            outlier[genes[larger.sum(axis=1) >= 3]] = False
        return outlier


def fit_count_model(
    counts: SampleCounts,
    design: Design,
    *,
    size_factors: Float[np.ndarray, " samples"] | str = "auto",
    trend: str = "parametric",
    replicates_to_replace: int = 7,
) -> CountModel:
    """Fit size factors, dispersions and coefficients to every gene.

    Args:
        counts: Raw counts.
        design: Design of as many samples.
        size_factors: (samples,) positive; or "ratio", "poscounts", or "auto": ratio where some gene has no zero.
        trend: "parametric", "local" or "mean".
        replicates_to_replace: Replicates from which on outliers are replaced, and the gene fitted anew.

    Raises:
        ValueError: Another number of samples, no counts at all, size factors that are not positive, or no gene from
            which a trend can be fitted.
    """
    if design.matrix.shape[0] != counts.samples:
        raise ValueError(f"design has {design.matrix.shape[0]} samples, counts have {counts.samples}")
    empty = counts.is_zero()
    if empty.all():
        raise ValueError("counts: every gene is 0 in every sample")
    factors, kind = _size_factors(counts, size_factors)
    chosen = np.flatnonzero(~empty)
    moments = GeneMoments.of(counts, factors)
    estimator = DispersionEstimator(counts, design.matrix, factors, moments, chosen)
    prior = estimator.learn_prior(trend)
    first = _Fit(counts, design.matrix, factors, estimator.shrink(prior), chosen)
    judged = judged_samples(design.matrix)
    model = CountModel(
        counts=counts,
        observed=counts,
        design=design,
        size_factors=factors,
        size_factor_kind=kind,
        moments=moments,
        prior=prior,
        dispersions=first.dispersions,
        coefficients=first.coefficients,
        converged=first.converged,
        rescued=first.rescued,
        cooks=first.cooks,
        max_cooks=first.cooks[judged].max(axis=0) if judged.any() else np.full(counts.genes, np.nan),
        replaced=np.zeros(counts.genes, dtype=bool),
    )
    replaceable = replicates(design.matrix) >= replicates_to_replace
    return _replace_outliers(model, replaceable) if replaceable.any() else model


class _Fit:
    """Coefficients and Cook's distances at final dispersions."""

    def __init__(
        self,
        counts: SampleCounts,
        design: Float[np.ndarray, "samples coefficients"],
        size_factors: Float[np.ndarray, " samples"],
        dispersions: Dispersions,
        genes: Integer[np.ndarray, " chosen"],
    ) -> None:
        self.dispersions = dispersions
        self.coefficients = np.full((counts.genes, design.shape[1]), np.nan)
        self.converged = np.zeros(counts.genes, dtype=bool)
        self.rescued = np.zeros(counts.genes, dtype=bool)
        self.cooks = np.full((counts.samples, counts.genes), np.nan)

        def work(chosen: Integer[np.ndarray, " block"]) -> None:
            block = counts.block(chosen)
            fit = fit_gene_coefficients(block, design, size_factors, dispersions.final[chosen])
            self.coefficients[chosen] = fit.coefficients
            self.converged[chosen] = fit.converged
            self.rescued[chosen] = fit.rescued
            self.cooks[:, chosen] = cooks_distances(block, fit.means, fit.leverages, size_factors, design).T

        counts.map_blocks(genes, work)


def _replace_outliers(model: CountModel, replaceable: Bool[np.ndarray, " samples"]) -> CountModel:
    """Put typical counts in place of outliers, and fit those genes anew under the same prior."""
    with np.errstate(invalid="ignore"):
        outliers = model.cooks > cooks_cutoff(model.design.matrix)
    genes = np.flatnonzero(outliers.any(axis=0))
    if not len(genes):
        return model
    observed = model.observed.block(genes)
    typical = replacement_counts(observed, model.size_factors)
    rows = np.where(outliers[:, genes].T & replaceable, typical, observed)
    counts = model.observed.with_replaced(genes, rows)
    moments = GeneMoments.of(counts, model.size_factors)
    left = genes[rows.any(axis=1)]
    max_cooks = np.full(counts.genes, np.nan)
    judged = judged_samples(model.design.matrix)
    if not replaceable.all() and judged.any():
        max_cooks = np.where(replaceable[:, None], 0.0, model.cooks)[judged].max(axis=0)
    names = ("genewise", "trend", "shrunken", "final", "outlier")
    dispersions = Dispersions(**{name: getattr(model.dispersions, name).copy() for name in names})
    coefficients = model.coefficients.copy()
    coefficients[np.setdiff1d(genes, left)] = np.nan
    converged, rescued = model.converged.copy(), model.rescued.copy()
    if len(left):
        estimator = DispersionEstimator(counts, model.design.matrix, model.size_factors, moments, left)
        again = _Fit(counts, model.design.matrix, model.size_factors, estimator.shrink(model.prior), left)
        for name in names:
            getattr(dispersions, name)[left] = getattr(again.dispersions, name)[left]
        coefficients[left] = again.coefficients[left]
        converged[left], rescued[left] = again.converged[left], again.rescued[left]
    replaced = np.zeros(counts.genes, dtype=bool)
    replaced[genes] = True
    return replace(
        model,
        counts=counts,
        moments=moments,
        dispersions=dispersions,
        coefficients=coefficients,
        converged=converged,
        rescued=rescued,
        max_cooks=max_cooks,
        replaced=replaced,
    )


def _size_factors(
    counts: SampleCounts, asked: Float[np.ndarray, " samples"] | str
) -> tuple[Float[np.ndarray, " samples"], str]:
    if isinstance(asked, str):
        if asked not in ("auto", "ratio", "poscounts"):
            raise ValueError(f"size factors must be 'auto', 'ratio', 'poscounts' or numbers, got {asked!r}")
        if asked == "poscounts":
            return size_factors_by_positive_counts(counts), "poscounts"
        if asked == "ratio" or counts.has_gene_without_zeros():
            return size_factors_by_ratio(counts), "ratio"
        return size_factors_by_positive_counts(counts), "poscounts"
    factors = np.asarray(asked, dtype=np.float64)
    if factors.shape != (counts.samples,) or not (np.isfinite(factors) & (factors > 0)).all():
        raise ValueError(f"size factors must be {counts.samples} positive numbers, got {factors}")
    return factors, "given"
