"""Genes that vary more between cells than counting makes them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from diffbio_core.sources.matrix import CountMatrix

_THETA = 100.0
"""Inverse dispersion that counting alone is taken to have, as its authors chose."""


def variable_genes(counts: CountMatrix, number: int) -> Int[np.ndarray, "chosen"]:
    """The genes with the largest variance of Pearson residuals, in the order of the matrix.

    Lause, Berens and Kobak 2021, "Analytic Pearson residuals for normalization of single-cell RNA-seq UMI data".

    Args:
        counts: Cells by genes, raw.
        number: How many genes to choose; all where there are fewer.
    """
    variances = residual_variances(counts)
    # Ties fall by place, so that the choice does not depend on how a library sorts.
    return np.sort(np.argsort(-variances, kind="stable")[:number])


def residual_variances(counts: CountMatrix) -> Float[np.ndarray, "genes"]:
    """Variance over cells of each gene's Pearson residuals, clipped at the root of the number of cells.

    Args:
        counts: Cells by genes, raw; read a few thousand cells at a time.
    """
    cells, genes = counts.shape
    depths, totals = np.zeros(cells), np.zeros(genes)
    for rows, block in counts.blocks():
        depths[rows] = np.asarray(block.sum(axis=1), float).ravel()
        totals += np.asarray(block.sum(axis=0), float).ravel()
    shares = totals / max(totals.sum(), 1e-12)
    sums, squares, limit = np.zeros(genes), np.zeros(genes), np.sqrt(cells)
    for rows, _ in counts.blocks(512):
        expected = depths[rows, None] * shares
        spread = np.sqrt(np.maximum(expected + expected**2 / _THETA, 1e-12))
        residuals = np.clip((counts.rows(rows) - expected) / spread, -limit, limit)
        sums += residuals.sum(axis=0)
        squares += (residuals**2).sum(axis=0)
    return squares / cells - (sums / cells) ** 2
