"""Dispersions of all genes: gene-wise, of the trend, and between the two (Love, Huber, Anders 2014)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

from diffbio_core.operators.statistical.coefficients import (
    SMALLEST_MEAN,
    fit_gene_coefficients,
    is_one_mean_per_group,
)
from diffbio_core.operators.statistical.dispersion_prior import prior_variance, residual_variance
from diffbio_core.operators.statistical.dispersion_search import grid_dispersions, search_dispersions
from diffbio_core.operators.statistical.dispersion_trend import SMALLEST_DISPERSION, DispersionTrend, fit_trend
from diffbio_core.operators.statistical.sample_counts import SampleCounts

_TOLERANCE, _MOST_STEPS = 1e-6, 100
_OUTLIER_DEVIATIONS = 2.0
_GRID_POINTS = 20


@dataclass(frozen=True)
class DispersionPrior:
    """What the genes together say of one gene's dispersion.

    Attributes:
        trend: Dispersion by mean.
        residual_variance: Robust variance of gene-wise log dispersions around the trend.
        variance: Of true log dispersions around the trend.
    """

    trend: DispersionTrend
    residual_variance: float
    variance: float


@dataclass(frozen=True)
class Dispersions:
    """Dispersions alpha of Var = mu + alpha mu^2 by gene, NaN for genes that were not asked for.

    Attributes:
        genewise: (genes,) from the gene's own counts.
        trend: (genes,) of the trend at the gene's mean.
        shrunken: (genes,) at the maximum of likelihood times prior.
        final: (genes,) what tests use: shrunken, or gene-wise where a gene varies far more than the trend.
        outlier: (genes,) where final is the gene-wise one.
    """

    genewise: Float[np.ndarray, " genes"]
    trend: Float[np.ndarray, " genes"]
    shrunken: Float[np.ndarray, " genes"]
    final: Float[np.ndarray, " genes"]
    outlier: Bool[np.ndarray, " genes"]


@dataclass(frozen=True)
class GeneMoments:
    """Mean and variance of normalised counts.

    Attributes:
        mean: (genes,)
        variance: (genes,) with n - 1 in the denominator.
    """

    mean: Float[np.ndarray, " genes"]
    variance: Float[np.ndarray, " genes"]

    @classmethod
    def of(cls, counts: SampleCounts, size_factors: Float[np.ndarray, " samples"]) -> GeneMoments:
        """Of all genes."""
        mean, variance = np.empty(counts.genes), np.empty(counts.genes)

        def work(genes: Integer[np.ndarray, " block"]) -> None:
            normalised = counts.block(genes) / size_factors
            mean[genes] = normalised.mean(axis=1)
            variance[genes] = normalised.var(axis=1, ddof=1)

        counts.map_blocks(np.arange(counts.genes), work)
        return cls(mean, variance)


class DispersionEstimator:
    """Estimates dispersions of counts under one design.

    Args:
        counts: Raw counts.
        design: (samples, coefficients)
        size_factors: (samples,)
        genes: Numbers of the genes to estimate, each with some count.
    """

    def __init__(
        self,
        counts: SampleCounts,
        design: Float[np.ndarray, "samples coefficients"],
        size_factors: Float[np.ndarray, " samples"],
        moments: GeneMoments,
        genes: Integer[np.ndarray, " chosen"],
    ) -> None:
        self.counts, self.design, self.size_factors = counts, design, size_factors
        self.moments, self.genes = moments, genes
        self._largest = max(10.0, counts.samples)
        self._linear = is_one_mean_per_group(design)
        # Coefficients of a straight or a log-linear model, from which means are made anew where they are needed.
        self._coefficients = np.full((counts.genes, design.shape[1]), np.nan)
        self.genewise = np.full(counts.genes, np.nan)
        counts.map_blocks(genes, self._estimate_genewise)

    def learn_prior(self, kind: str) -> DispersionPrior:
        """Fit the trend and the spread around it.

        Args:
            kind: "parametric", "local" or "mean".
        """
        genewise, means = self.genewise[self.genes], self.moments.mean[self.genes]
        trend = fit_trend(means, genewise, kind)
        expected = trend(means)
        degrees = self.design.shape[0] - self.design.shape[1]
        return DispersionPrior(
            trend, residual_variance(genewise, expected), prior_variance(genewise, expected, degrees)
        )

    def shrink(self, prior: DispersionPrior) -> Dispersions:
        """Find the most likely dispersion given the gene's counts and all other genes."""
        trend = np.full(self.counts.genes, np.nan)
        trend[self.genes] = prior.trend(self.moments.mean[self.genes])
        shrunken = np.full(self.counts.genes, np.nan)

        def work(genes: Integer[np.ndarray, " block"]) -> None:
            starts = np.where(self.genewise[genes] > 0.1 * trend[genes], self.genewise[genes], trend[genes])
            found, steps, _, _ = self._search(genes, np.log(starts), np.log(trend[genes]), prior.variance)
            lost = steps >= _MOST_STEPS
            if lost.any():
                found[lost] = self._grid(genes[lost], np.log(trend[genes[lost]]), prior.variance)
            shrunken[genes] = np.clip(np.exp(found), SMALLEST_DISPERSION, self._largest)

        self.counts.map_blocks(self.genes, work)
        with np.errstate(invalid="ignore"):
            limit = np.log(trend) + _OUTLIER_DEVIATIONS * np.sqrt(prior.residual_variance)
            outlier = np.log(self.genewise) > limit
        return Dispersions(self.genewise, trend, shrunken, np.where(outlier, self.genewise, shrunken), outlier)

    def _estimate_genewise(self, genes: Integer[np.ndarray, " block"]) -> None:
        counts = self.counts.block(genes)
        start = self._rough(counts, genes)
        if self._linear:
            hat = np.linalg.pinv(self.design)
            self._coefficients[genes] = (counts / self.size_factors) @ hat.T
        else:
            fit = fit_gene_coefficients(counts, self.design, self.size_factors, start)
            self._coefficients[genes] = fit.coefficients
        nothing = np.zeros(len(genes))
        found, steps, first, last = self._search(genes, np.log(start), nothing, np.inf)
        estimate = np.minimum(np.exp(found), self._largest)
        # A search that gained nothing leaves the start.
        estimate = np.where(last < first + np.abs(first) / 1e6, start, estimate)
        lost = ((steps >= _MOST_STEPS) | (steps == 1)) & (estimate > 10 * SMALLEST_DISPERSION)
        if lost.any():
            estimate[lost] = np.exp(self._grid(genes[lost], nothing[lost], np.inf))
        self.genewise[genes] = np.clip(estimate, SMALLEST_DISPERSION, self._largest)

    def _rough(
        self, counts: Float[np.ndarray, "block samples"], genes: Integer[np.ndarray, " block"]
    ) -> Float[np.ndarray, " block"]:
        """Where to start: the smaller of two estimates by moments."""
        samples, coefficients = self.design.shape
        normalised = counts / self.size_factors
        means = np.maximum(1.0, normalised @ np.linalg.pinv(self.design).T @ self.design.T)
        rough = (((normalised - means) ** 2 - means) / means**2).sum(axis=1) / (samples - coefficients)
        mean, variance = self.moments.mean[genes], self.moments.variance[genes]
        by_moments = (variance - np.mean(1 / self.size_factors) * mean) / mean**2
        return np.clip(np.minimum(np.maximum(rough, 0.0), by_moments), SMALLEST_DISPERSION, self._largest)

    def _means(self, genes: Integer[np.ndarray, " block"]) -> Float[np.ndarray, "block samples"]:
        predictor = self._coefficients[genes] @ self.design.T
        return np.maximum((predictor if self._linear else np.exp(predictor)) * self.size_factors, SMALLEST_MEAN)

    def _search(
        self,
        genes: Integer[np.ndarray, " block"],
        starts: Float[np.ndarray, " block"],
        prior_means: Float[np.ndarray, " block"],
        variance: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return search_dispersions(
            self.counts.block(genes),
            self._means(genes),
            self.design,
            starts,
            prior_means,
            variance,
            np.log(SMALLEST_DISPERSION / 10),
            _TOLERANCE,
            _MOST_STEPS,
        )

    def _grid(
        self, genes: Integer[np.ndarray, " block"], prior_means: Float[np.ndarray, " block"], variance: float
    ) -> Float[np.ndarray, " block"]:
        grid = np.linspace(np.log(SMALLEST_DISPERSION), np.log(self._largest), _GRID_POINTS)
        return grid_dispersions(self.counts.block(genes), self._means(genes), self.design, grid, prior_means, variance)
