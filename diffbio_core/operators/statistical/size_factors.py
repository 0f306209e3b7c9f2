"""Size factors: how deep each sample was sequenced, by ratios to a typical sample (Anders, Huber 2010)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from diffbio_core.operators.statistical.sample_counts import SampleCounts


def size_factors_by_ratio(counts: SampleCounts) -> Float[np.ndarray, " samples"]:
    """Median over genes without zeros of a count's ratio to the gene's geometric mean.

    Raises:
        ValueError: Every gene has a zero in some sample.
    """
    means = _log_geometric_means(counts, zeros_count=False)
    if not np.isfinite(means).any():
        raise ValueError(
            "size factors: every gene has a zero in some sample, so that no geometric mean exists; "
            "ask for 'poscounts' or 'auto'"
        )
    return _median_ratios(counts, means)


def size_factors_by_positive_counts(counts: SampleCounts) -> Float[np.ndarray, " samples"]:
    """The same with geometric means over the positive counts of a gene, zeros adding nothing to the sum of logs.

    For counts where every gene has a zero, as in metagenomes or single cells.

    Raises:
        ValueError: A sample has no counts at all.
    """
    factors = _median_ratios(counts, _log_geometric_means(counts, zeros_count=True))
    # These means are no typical sample, so that factors are told relative to their own geometric mean.
    return factors / np.exp(np.log(factors).mean())


def _log_geometric_means(counts: SampleCounts, *, zeros_count: bool) -> Float[np.ndarray, " genes"]:
    means = np.full(counts.genes, -np.inf)
    for genes in counts.blocks():
        block = counts.block(genes)
        positive = block > 0
        logs = np.log(block, out=np.zeros_like(block), where=positive)
        usable = positive.any(axis=1) if zeros_count else positive.all(axis=1)
        means[genes] = np.where(usable, logs.mean(axis=1), -np.inf)
    return means


def _median_ratios(counts: SampleCounts, means: Float[np.ndarray, " genes"]) -> Float[np.ndarray, " samples"]:
    usable = np.flatnonzero(np.isfinite(means))
    factors = np.empty(counts.samples)
    for sample in range(counts.samples):
        row: Num[np.ndarray, " genes"] = counts.sample(sample)[usable]
        positive = row > 0
        if not positive.any():
            raise ValueError(
                f"size factors: sample {counts.sample_names[sample]!r} has no counts in usable genes; leave it out"
            )
        factors[sample] = np.exp(np.median(np.log(row[positive]) - means[usable][positive]))
    return factors
