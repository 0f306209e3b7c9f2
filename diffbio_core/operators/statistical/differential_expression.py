"""Which genes differ: counts, a design and a contrast in, a tested table out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from diffbio_core.operators.statistical.count_model import CountModel, fit_count_model
from diffbio_core.operators.statistical.design import Contrast, ContrastAsked
from diffbio_core.operators.statistical.filtering import FilteredPValues, benjamini_hochberg, filter_independently
from diffbio_core.operators.statistical.hypothesis_tests import TestedGenes, likelihood_ratio_test, wald_test
from diffbio_core.operators.statistical.inputs import as_design, as_sample_counts
from diffbio_core.operators.statistical.shrinkage import ShrunkenFoldChanges, shrink_fold_changes

SOFTNESS = 0.1
"""Width of the soft indicator of significance, in p-value."""

REASON_NO_COUNTS = "no counts"
REASON_OUTLIER = "outlier by Cook's distance"
REASON_FILTERED = "mean below the independent filter"


@dataclass(frozen=True)
class DifferentialExpression(Mapping[str, np.ndarray]):
    """Tested genes. As a mapping it holds the arrays that the pipeline's documents name, and more.

    Attributes:
        model: Everything that was fitted.
        contrast: What was tested.
        test: "Wald" or "LRT".
        tested: Fold changes, standard errors, statistics and p-values before outliers were taken out.
        p_values: (genes,) NaN where ``reasons`` says why.
        filtered: Adjusted p-values and their filter.
        shrunken: Fold changes drawn to 0 by a heavy-tailed prior, if asked for.
        alpha: Significance, of the soft indicator.
    """

    model: CountModel
    contrast: Contrast
    test: str
    tested: TestedGenes
    p_values: Float[np.ndarray, " genes"]
    filtered: FilteredPValues
    shrunken: ShrunkenFoldChanges | None
    alpha: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "_arrays", self._named_arrays())

    def __getitem__(self, key: str) -> np.ndarray:
        return self._arrays[key]  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self._arrays)  # type: ignore[attr-defined]

    def reasons(self) -> np.ndarray:
        """Why a gene has no p-value or no adjusted one; empty where it has both."""
        reasons = np.full(self.model.counts.genes, "", dtype=object)
        reasons[np.isnan(self.filtered.adjusted)] = REASON_FILTERED
        reasons[np.isnan(self.p_values)] = REASON_OUTLIER
        reasons[np.isnan(self.tested.p_values)] = REASON_NO_COUNTS
        return reasons

    def table(self) -> Any:
        """A row per gene, under the names of the arrays; standard errors are of log2 fold changes and say so.

        Returns:
            pandas DataFrame.
        """
        import pandas as pd

        columns = {
            "base_mean": self["base_mean"],
            "log_fold_change": self["log_fold_change"],
            "log2_standard_error": self["standard_error"] / np.log(2),
            "wald_statistic": self["wald_statistic"],
            "p_values": self.p_values,
            "padj": self["padj"],
            "dispersion": self["dispersion"],
            "dispersion_genewise": self["dispersion_genewise"],
            "dispersion_trend": self["dispersion_trend"],
            "max_cooks": self["max_cooks"],
        }
        if self.shrunken is not None:
            columns["shrunken_log_fold_change"] = self["shrunken_log_fold_change"]
            columns["shrunken_log2_standard_error"] = self["shrunken_standard_error"] / np.log(2)
        columns["reason"] = self.reasons()
        return pd.DataFrame(columns, index=pd.Index(self.model.counts.gene_names, name="gene"))

    def summary(self) -> dict[str, Any]:
        """What was fitted to all genes together, and how many are significant."""
        trend, reasons = self.model.prior.trend, self.reasons()
        significant = self.filtered.adjusted < self.alpha
        return {
            "genes": self.model.counts.genes,
            "samples": self.model.counts.samples,
            "coefficients": list(self.model.design.names),
            "test": self.test,
            "contrast": self.contrast.name,
            "size_factors": self.model.size_factor_kind,
            "trend": trend.kind,
            "trend_asymptote": None if np.isnan(trend.asymptote) else trend.asymptote,
            "trend_extra": None if np.isnan(trend.extra) else trend.extra,
            "prior_variance": self.model.prior.variance,
            "alpha": self.alpha,
            "higher": int((significant & (self.tested.fold_change > 0)).sum()),
            "lower": int((significant & (self.tested.fold_change < 0)).sum()),
            "filter_threshold": self.filtered.threshold,
            "without_counts": int((reasons == REASON_NO_COUNTS).sum()),
            "outliers": int((reasons == REASON_OUTLIER).sum()),
            "filtered": int((reasons == REASON_FILTERED).sum()),
            "replaced": int(self.model.replaced.sum()),
        }

    def _named_arrays(self) -> dict[str, np.ndarray]:
        model, p_values = self.model, self.p_values
        arrays = {
            "size_factors": model.size_factors,
            "predicted_mean": model.means(),
            "log_fold_change": self.tested.fold_change / np.log(2),
            "wald_statistic": self.tested.statistic,
            "standard_error": self.tested.standard_error,
            "p_values": p_values,
            "significant": 1 / (1 + np.exp(np.clip((p_values - self.alpha) / SOFTNESS, -50, 50))),
            "base_mean": model.moments.mean,
            "padj": self.filtered.adjusted,
            "dispersion": model.dispersions.final,
            "dispersion_genewise": model.dispersions.genewise,
            "dispersion_trend": model.dispersions.trend,
            "dispersion_shrunken": model.dispersions.shrunken,
            "dispersion_outlier": model.dispersions.outlier,
            "cooks": model.cooks,
            "max_cooks": model.max_cooks,
            "reason": self.reasons(),
        }
        if self.shrunken is not None:
            arrays["shrunken_log_fold_change"] = self.shrunken.fold_change / np.log(2)
            arrays["shrunken_standard_error"] = self.shrunken.standard_error
        return arrays


def differential_expression(
    counts: Any,
    design: Any,
    contrast: ContrastAsked = None,
    *,
    samples: Any = None,
    layer: str | None = None,
    reduced: Any = None,
    alpha: float = 0.05,
    filter_alpha: float = 0.1,
    independent_filter: bool = True,
    outliers: bool = True,
    threshold: float = 0.0,
    alternative: str = "greaterAbs",
    shrink: bool = False,
    size_factors: Any = "auto",
    trend: str = "parametric",
    replicates_to_replace: int = 7,
) -> DifferentialExpression:
    """Fit and test every gene as DESeq2 does (Love, Huber, Anders 2014).

    Args:
        counts: Samples by genes, raw: an array, a SciPy sparse matrix, a pandas DataFrame, or an AnnData.
        design: A formula such as "~ type + condition" over ``samples``, a matrix (samples, coefficients), or a
            `Design`.
        contrast: Name or number of a coefficient, (factor, level, reference level), or a weight per coefficient; the
            last coefficient if None.
        samples: pandas DataFrame, a row per sample; an AnnData's own if None.
        layer: Of an AnnData, in place of its ``X``.
        reduced: A smaller design, for a likelihood-ratio test in place of Wald's.
        alpha: Significance, of the soft indicator and the summary.
        filter_alpha: False discovery rate that the independent filter is chosen for.
        independent_filter: Whether genes of low mean are filtered before p-values are adjusted.
        outliers: Whether a gene whose p-value an outlier would decide gets none.
        threshold: Log2 fold change that the null hypothesis allows.
        alternative: "greaterAbs", "lessAbs", "greater" or "less".
        shrink: Whether fold changes are shrunken, too (apeglm); for a coefficient, not for a combination of several.
        size_factors: (samples,), "ratio", "poscounts", or "auto": ratio where some gene has no zero.
        trend: "parametric", "local" or "mean".
        replicates_to_replace: Replicates from which on outliers are replaced.

    Raises:
        ValueError: What cannot be used: counts, told by gene and sample; a design; a contrast; a number out of range.
    """
    for name, value in (("alpha", alpha), ("filter_alpha", filter_alpha)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    if reduced is not None and (threshold > 0 or alternative != "greaterAbs"):
        raise ValueError(
            "reduced asks for a likelihood-ratio test, which knows no threshold and no alternative; leave out either"
        )
    found, table = as_sample_counts(counts, samples, layer=layer)
    design = as_design(design, table)
    chosen = design.contrast(contrast)
    coefficient = np.flatnonzero(chosen.weights)
    if shrink and len(coefficient) != 1:
        raise ValueError(
            f"contrast {chosen.name!r} combines coefficients, and only one can be shrunken; "
            f"set another reference level, or take one of {list(design.names)}"
        )
    smaller = None if reduced is None else _reduced_design(reduced, table)
    model = fit_count_model(
        found, design, size_factors=size_factors, trend=trend, replicates_to_replace=replicates_to_replace
    )
    if smaller is None:
        tested = wald_test(model, chosen, threshold=threshold, alternative=alternative)
    else:
        tested = likelihood_ratio_test(model, smaller, chosen)
    p_values = np.where(model.is_outlier(), np.nan, tested.p_values) if outliers else tested.p_values
    if independent_filter:
        filtered = filter_independently(p_values, model.moments.mean, filter_alpha)
    else:
        filtered = FilteredPValues(benjamini_hochberg(p_values), 0.0, 0.0)
    shrunken = None
    if shrink:
        wald = tested if smaller is None and threshold == 0 else wald_test(model, chosen)
        shrunken = shrink_fold_changes(model, int(coefficient[0]), wald, sign=float(chosen.weights[coefficient[0]]))
    return DifferentialExpression(
        model, chosen, "Wald" if smaller is None else "LRT", tested, p_values, filtered, shrunken, alpha
    )


def _reduced_design(reduced: Any, samples: Any) -> Float[np.ndarray, "samples fewer"]:
    try:
        return as_design(reduced, samples).matrix
    except ValueError as error:
        raise ValueError(f"reduced {error}") from error
