"""Differential expression of single cells against controls: Wilcoxon's rank sum test, gene by gene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

_ENTRIES = 2**25  # of controls x genes that are sorted at once


@dataclass(frozen=True)
class DifferentialExpression:
    """Effects of perturbations on genes.

    Attributes:
        log2_fold_change: Of geometric means; 0 where neither expresses the gene, infinite where one does not.
        p_value: Two-sided, with ties and continuity corrected for.
        fdr: Benjamini-Hochberg over the genes of a perturbation.
    """

    log2_fold_change: Float[np.ndarray, "perts genes"]
    p_value: Float[np.ndarray, "perts genes"]
    fdr: Float[np.ndarray, "perts genes"]

    def of(self, places: Int[np.ndarray, "some"]) -> DifferentialExpression:
        """Effects of some of the perturbations."""
        return DifferentialExpression(self.log2_fold_change[places], self.p_value[places], self.fdr[places])


def against_controls(
    perturbations: Sequence[str],
    cells: Callable[[str], Float[np.ndarray, "n genes"]],
    controls: Float[np.ndarray, "m genes"],
) -> DifferentialExpression:
    """Test every perturbation against controls.

    Args:
        perturbations: Their names.
        cells: Cells under a perturbation, log1p.
        controls: Controls, log1p.
    """
    genes = controls.shape[1]
    p_value = np.empty((len(perturbations), genes))
    mean = np.empty((len(perturbations), genes))
    width = max(1, _ENTRIES // max(1, len(controls)))
    for start in range(0, genes, width):
        part = slice(start, start + width)
        ordered = np.sort(np.ascontiguousarray(controls[:, part].T), axis=1)
        for place, name in enumerate(perturbations):
            found = cells(name)[:, part]
            mean[place, part] = found.mean(axis=0)
            p_value[place, part] = rank_sum_test(np.sort(np.ascontiguousarray(found.T), axis=1), ordered)
    fold_change = log2_fold_change(mean, controls.mean(axis=0))
    return DifferentialExpression(fold_change, p_value, np.stack([benjamini_hochberg(row) for row in p_value]))


def rank_sum_test(x: Float[np.ndarray, "genes n"], y: Float[np.ndarray, "genes m"]) -> Float[np.ndarray, "genes"]:
    """Two-sided p-values of the Mann-Whitney U test by the normal approximation, as SciPy's asymptotic ones.

    Args:
        x: Values by gene, each row sorted.
        y: Others, sorted, too.

    Returns:
        P-values; 1 where all values are the same.
    """
    u, ties = _rank_sums(x, y)
    n, m = x.shape[1], y.shape[1]
    both = n + m
    variance = n * m / 12 * ((both + 1) - ties / (both * (both - 1)))
    distance = np.abs(u - n * m / 2) - 0.5
    with np.errstate(divide="ignore"):
        z = np.where(variance > 0, distance / np.sqrt(np.maximum(variance, 0)), -np.inf)
    return np.minimum(2 * ndtr(-z), 1)


def log2_fold_change(
    mean: Float[np.ndarray, "*perts genes"], control: Float[np.ndarray, "genes"]
) -> Float[np.ndarray, "*perts genes"]:
    """Log2 ratio of the counts that means of log1p stand for (geometric means); 0 where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log2(np.expm1(mean) / np.expm1(control))
    return np.where(np.isnan(found), 0, found)


def benjamini_hochberg(p_value: Float[np.ndarray, "genes"]) -> Float[np.ndarray, "genes"]:
    """False discovery rates (Benjamini and Hochberg 1995)."""
    order = np.argsort(p_value)[::-1]
    ranks = np.arange(len(p_value), 0, -1)
    found = np.empty_like(p_value)
    found[order] = np.minimum(np.minimum.accumulate(p_value[order] * len(p_value) / ranks), 1)
    return found


@numba.njit(cache=True, nogil=True)
def _rank_sums(
    x: Float[np.ndarray, "genes n"], y: Float[np.ndarray, "genes m"]
) -> tuple[Float[np.ndarray, "genes"], Float[np.ndarray, "genes"]]:
    """U of x, and the sum of t^3 - t over groups of t equal values, from sorted rows merged."""
    genes, n, m = x.shape[0], x.shape[1], y.shape[1]
    u, ties = np.zeros(genes), np.zeros(genes)
    for gene in range(genes):
        i = j = 0
        while i < n or j < m:
            value = x[gene, i] if j == m or (i < n and x[gene, i] <= y[gene, j]) else y[gene, j]
            below, of_x, of_y = j, 0, 0
            while i < n and x[gene, i] == value:
                i += 1
                of_x += 1
            while j < m and y[gene, j] == value:
                j += 1
                of_y += 1
            u[gene] += of_x * (below + 0.5 * of_y)
            tied = float(of_x + of_y)
            ties[gene] += tied * tied * tied - tied
    return u, ties
