"""Cells in whatever form they come, as what the single-cell pipeline fits to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from diffbio_core.operators.singlecell.ambient_removal import DifferentiableAmbientRemoval
from diffbio_core.operators.validation import check_labels
from diffbio_core.sources.labels import Labels
from diffbio_core.sources.matrix import CountMatrix, DenseCounts, SparseCounts


@dataclass(frozen=True)
class Cells:
    """Cells to fit to.

    Attributes:
        counts: Cells by genes.
        batch_labels: Code of each cell's batch; zeros where none is needed.
        n_batches: Number of batches.
        batch_names: Their names in the order of the codes; None where there are none.
        ambient_profile: Share of each gene in the soup.
    """

    counts: CountMatrix
    batch_labels: Int[np.ndarray, "cells"]
    n_batches: int
    batch_names: tuple[str, ...] | None
    ambient_profile: Float[np.ndarray, "genes"]


def cells_of(
    data: Any,
    *,
    n_genes: int,
    batch_labels: Any,
    batch_key: str | None,
    n_batches: int | None,
    batch_names: tuple[str, ...] | None,
    needs_batches: bool,
    ambient_profile: Any,
) -> Cells:
    """Bring cells into one form.

    Args:
        data: AnnData, a table of expression, a matrix, or a dict with the keys of the pipeline's `apply`.
        n_genes: Genes that there must be.
        batch_labels: Codes or names, where `data` does not hold them.
        batch_key: Column of `obs` that holds them.
        n_batches: Number of batches, or None for as many as there are.
        batch_names: Names of the batches that were fitted, in the order of their codes; None before a fit.
        needs_batches: Whether batches must be known.
        ambient_profile: Share of each gene in the soup; the data's own, or else that of all cells together, if None.

    Raises:
        ValueError: Genes or labels do not fit, or there are no labels where they are needed.
    """
    if isinstance(data, Mapping):
        batch_labels = data.get("batch_labels") if batch_labels is None else batch_labels
        ambient_profile = data.get("ambient_profile") if ambient_profile is None else ambient_profile
    elif batch_key is not None:
        obs = getattr(data, "obs", {})
        if batch_key not in obs:
            raise ValueError(f"single-cell pipeline: no column {batch_key!r} of obs; there are {sorted(map(str, obs))}")
        batch_labels = np.asarray(obs[batch_key])
    counts = _count_matrix(data)
    if counts.shape[1] != n_genes:
        raise ValueError(f"single-cell pipeline: the data have {counts.shape[1]} genes, the pipeline {n_genes}")
    if needs_batches and batch_labels is None:
        raise ValueError(
            "single-cell pipeline: batch correction needs the batch of every cell. Give batch_labels or batch_key, or "
            "set enable_batch_correction=False"
        )
    labels, names = np.zeros(counts.shape[0], np.int32), None
    if batch_labels is not None and needs_batches:
        labels, names = _codes(batch_labels, batch_names)
    if labels.shape != counts.shape[:1]:
        raise ValueError(f"single-cell pipeline: {labels.size} batch labels for {counts.shape[0]} cells")
    check_labels("single-cell pipeline", "batch_labels", labels, n_batches)
    profile = _mean_profile(counts) if ambient_profile is None else np.asarray(ambient_profile, np.float32)
    return Cells(counts, labels, n_batches or int(labels.max(initial=0)) + 1, names, profile)


class DecontaminatedCounts(CountMatrix):
    """Counts without their ambient part, computed row by row when asked for.

    Args:
        counts: Raw counts.
        removal: Fitted operator.
        profile: Share of each gene in the soup.
    """

    def __init__(self, counts: CountMatrix, removal: DifferentiableAmbientRemoval, profile: Float[np.ndarray, "genes"]):
        self._counts, self._removal, self._profile = counts, removal, jnp.asarray(profile)
        self.shape, self.dtype = counts.shape, np.dtype(np.float32)

    def block(self, rows: Int[np.ndarray, "n"]) -> Num[np.ndarray, "n genes"]:
        """Rows as a dense array."""
        counts = jnp.asarray(self._counts.rows(rows), float)
        return np.asarray(_decontaminated(self._removal, counts, self._profile))

    def select_genes(self, genes: Int[np.ndarray, "k"]) -> CountMatrix:
        """The same cells with these genes: dense, for ambient counts depend on all genes of a cell."""
        return DenseCounts(self.columns(genes))


@jax.jit
def _decontaminated(removal: DifferentiableAmbientRemoval, counts: Array, profile: Array) -> Array:
    return removal.decontaminate(counts, profile)["decontaminated_counts"]


def _count_matrix(data: Any) -> CountMatrix:
    if isinstance(data, Mapping):
        data = data["counts"]
    elif hasattr(data, "X"):
        data = data.X
    elif hasattr(data, "counts"):
        data = data.counts
    if isinstance(data, CountMatrix):
        return data
    if hasattr(data, "tocsr"):
        return SparseCounts(data)
    values = np.asarray(data)
    if values.ndim != 2:
        raise ValueError(f"single-cell pipeline: counts have shape {values.shape}, expected (cells, genes)")
    return DenseCounts(values)


def _codes(labels: Any, known: tuple[str, ...] | None) -> tuple[Int[np.ndarray, "cells"], tuple[str, ...] | None]:
    """Codes as they are; names by their place among those that are known, or else in their sorted vocabulary."""
    labels = np.asarray(labels)
    if np.issubdtype(labels.dtype, np.integer):
        return labels.astype(np.int32), known
    try:
        found = Labels.of(labels)
    except ValueError as error:
        raise ValueError(f"single-cell pipeline: batch labels: {error}") from error
    names = tuple(str(name) for name in found.categories)
    if known is None:
        return found.codes, names
    strangers = sorted(set(names) - set(known))
    if strangers:
        raise ValueError(
            f"single-cell pipeline: batches {strangers} were not fitted; those that were are {sorted(known)}"
        )
    return np.array([known.index(name) for name in names], np.int32)[found.codes], known


def _mean_profile(counts: CountMatrix) -> Float[np.ndarray, "genes"]:
    totals = np.zeros(counts.shape[1])
    for _, block in counts.blocks():
        totals += np.asarray(block.sum(axis=0), float).ravel()
    return (totals / max(totals.sum(), 1e-12)).astype(np.float32)
