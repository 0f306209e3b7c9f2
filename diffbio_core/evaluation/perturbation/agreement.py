"""Agreement of two differential expressions: which genes, how many, in which direction, in which order."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from diffbio_core.evaluation.perturbation.differential import DifferentialExpression

OVERLAP_SIZES = (None, 50, 100, 200, 500)
"""Sizes of lists of top genes; None for as many as are significant."""


def agreements(
    real: DifferentialExpression, predicted: DifferentialExpression, alpha: float = 0.05
) -> dict[str, Float[np.ndarray, "perts"]]:
    """Metrics of each perturbation; NaN where one is not defined, as with no significant gene.

    Args:
        real: What was measured.
        predicted: What was predicted.
        alpha: False discovery rate below which a gene is significant.
    """
    true, found = real.fdr < alpha, predicted.fdr < alpha
    tops = [_ranked(side.log2_fold_change, significant) for side, significant in ((real, true), (predicted, found))]
    metrics = {}
    for kind, side in (("overlap", 0), ("precision", 1)):
        for size in OVERLAP_SIZES:
            rows = zip(*tops, strict=True)
            metrics[f"{kind}_at_{size or 'N'}"] = np.array([_common(row, row[side], size) for row in rows])
    same = np.sign(real.log2_fold_change) == np.sign(predicted.log2_fold_change)
    metrics["de_direction_match"] = _part(same & true, true)
    metrics["de_sig_genes_recall"] = _part(found & true, true)
    metrics["de_spearman_lfc_sig"] = np.array(
        [
            spearman(x[chosen], y[chosen])
            for x, y, chosen in zip(real.log2_fold_change, predicted.log2_fold_change, true, strict=True)
        ]
    )
    metrics["de_nsig_counts_real"] = true.sum(axis=1).astype(float)
    metrics["de_nsig_counts_pred"] = found.sum(axis=1).astype(float)
    confidence = -np.log10(np.clip(predicted.fdr, 1e-10, 1))
    metrics["pr_auc"] = np.array([average_precision(*row) for row in zip(true, confidence, strict=True)])
    metrics["roc_auc"] = np.array([roc_area(*row) for row in zip(true, confidence, strict=True)])
    return metrics


def count_correlation(real: Float[np.ndarray, "perts"], predicted: Float[np.ndarray, "perts"]) -> float:
    """Spearman correlation of numbers of significant genes, over perturbations that truly have some."""
    return spearman(real[real > 0], predicted[real > 0])


def spearman(x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> float:
    """Spearman correlation; NaN for fewer than two values, or if one side is constant."""
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def average_precision(true: Bool[np.ndarray, "n"], confidence: Float[np.ndarray, "n"]) -> float:
    """Area under precision over recall, as steps; NaN if all or none are true."""
    if true.all() or not true.any():
        return float("nan")
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(true[order])
    last = np.append(np.flatnonzero(np.diff(confidence[order])), len(true) - 1)  # equal confidence counts as one step
    recall = hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0) * hits[last] / (last + 1)))


def roc_area(true: Bool[np.ndarray, "n"], confidence: Float[np.ndarray, "n"]) -> float:
    """Probability that a true one has more confidence than a false one, ties half; NaN if all or none are true."""
    positive = np.count_nonzero(true)
    if positive in (0, len(true)):
        return float("nan")
    ranks = rankdata(confidence)[true].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * (len(true) - positive)))


def _ranked(fold_change: np.ndarray, significant: np.ndarray) -> list[np.ndarray]:
    """Significant genes by size of effect, the largest first, equal ones in the order of genes."""
    return [
        np.flatnonzero(chosen)[np.argsort(-np.abs(row[chosen]), kind="stable")]
        for row, chosen in zip(fold_change, significant, strict=True)
    ]


def _common(tops: tuple[np.ndarray, np.ndarray], limiting: np.ndarray, size: int | None) -> float:
    size = min(size or len(limiting), len(limiting))
    return len(np.intersect1d(tops[0][:size], tops[1][:size])) / size if size else float("nan")


def _part(chosen: np.ndarray, of: np.ndarray) -> Float[np.ndarray, "perts"]:
    with np.errstate(invalid="ignore"):
        return chosen.sum(axis=1) / of.sum(axis=1)
