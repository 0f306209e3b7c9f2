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
from diffbio_core.sources.matrix import CountMatrix, DenseCounts, matrix_of


@dataclass(frozen=True)
class Cells:
    """Cells to fit to.

    Attributes:
        counts: Cells by genes.
        batch_labels: Code of each cell's batch; zeros where none is needed.
        n_batches: Number of batches.
        batch_names: Their names in the order of the codes; None where there are none.
        gene_names: Names of the genes; None where the data hold none.
        ambient_profile: Share of each gene in the soup.
    """

    counts: CountMatrix
    batch_labels: Int[np.ndarray, "cells"]
    n_batches: int
    batch_names: tuple[str, ...] | None
    gene_names: tuple[str, ...] | None
    ambient_profile: Float[np.ndarray, "genes"]


def cells_of(
    data: Any,
    *,
    n_genes: int,
    batch_labels: Any,
    batch_key: str | None,
    n_batches: int | None,
    batch_names: tuple[str, ...] | None,
    gene_names: tuple[str, ...] | None,
    needs_batches: bool,
    ambient_profile: Any,
) -> Cells:
    """Bring cells into one form.

    Args:
        data: AnnData, a table of expression, a matrix, or a dict with the keys of the pipeline's `apply`.
        n_genes: Genes that there must be.
        batch_labels: Codes or names, where `data` does not hold them.
        batch_key: Column of `obs` that holds their names, which may be numbers.
        n_batches: Number of batches, or None for as many as there are.
        batch_names: Names of the batches that were fitted, in the order of their codes; None before a fit.
        gene_names: Names of the genes that were fitted, in their order; None before a fit or where they had none. Data
            that name their genes, too, may have them in any order and may have others besides.
        needs_batches: Whether batches must be known.
        ambient_profile: Share of each gene in the soup; the data's own, or else that of all cells together, if None.

    Raises:
        ValueError: Genes or labels do not fit, or there are no labels where they are needed.
    """
    if isinstance(data, Mapping):
        if batch_key is not None:
            raise ValueError(
                "single-cell pipeline: batch_key is a column of obs, which a dict lacks; give batch_labels"
            )
        batch_labels = data.get("batch_labels") if batch_labels is None else batch_labels
        ambient_profile = data.get("ambient_profile") if ambient_profile is None else ambient_profile
    elif batch_key is not None:
        obs = getattr(data, "obs", {})
        if batch_key not in obs:
            raise ValueError(f"single-cell pipeline: no column {batch_key!r} of obs; there are {sorted(map(str, obs))}")
        if batch_labels is not None:
            raise ValueError("single-cell pipeline: batch_labels and batch_key are given; give one of them")
        batch_labels = np.asarray(obs[batch_key])
    counts, names = _count_matrix(data), _gene_names(data)
    if not counts.shape[0]:
        raise ValueError("single-cell pipeline: the data have no cells")
    if names is not None and gene_names is not None and names != gene_names:
        places = _places_of(gene_names, names)
        if ambient_profile is not None and np.shape(ambient_profile) == (len(names),):
            ambient_profile = np.asarray(ambient_profile)[places]
        counts, names = counts.select_genes(places), gene_names
    if counts.shape[1] != n_genes:
        raise ValueError(f"single-cell pipeline: the data have {counts.shape[1]} genes, the pipeline {n_genes}")
    if needs_batches and batch_labels is None:
        raise ValueError(
            "single-cell pipeline: batch correction needs the batch of every cell. Give batch_labels or batch_key, or "
            "set enable_batch_correction=False"
        )
    labels, batches = np.zeros(counts.shape[0], np.int32), None
    if batch_labels is not None and needs_batches:
        labels, batches = _codes(batch_labels, batch_names, named=batch_key is not None)
    if labels.shape != counts.shape[:1]:
        raise ValueError(f"single-cell pipeline: {labels.size} batch labels for {counts.shape[0]} cells")
    check_labels("single-cell pipeline", "batch_labels", labels, n_batches)
    profile = _mean_profile(counts) if ambient_profile is None else np.asarray(ambient_profile, np.float32)
    return Cells(counts, labels, n_batches or int(labels.max(initial=0)) + 1, batches, names, profile)


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
    if not hasattr(data, "shape"):
        data = np.asarray(data)
    if len(data.shape) != 2:
        raise ValueError(f"single-cell pipeline: counts have shape {tuple(data.shape)}, expected (cells, genes)")
    return matrix_of(data)


def _gene_names(data: Any) -> tuple[str, ...] | None:
    for attribute in ("var_names", "gene_names", "columns"):
        if hasattr(data, attribute) and not callable(getattr(data, attribute)):
            return tuple(map(str, getattr(data, attribute)))
    return None


def _places_of(wanted: tuple[str, ...], names: tuple[str, ...]) -> Int[np.ndarray, "genes"]:
    """Where the genes that were fitted are among those of other data."""
    lacking = sorted(set(wanted) - set(names))
    if lacking:
        raise ValueError(
            f"single-cell pipeline: the data lack {len(lacking)} of the {len(wanted)} genes that were fitted, such as "
            f"{lacking[0]!r}; give the same genes, in any order"
        )
    place = {name: column for column, name in enumerate(names)}
    twice = next((name for name in wanted if names.count(name) > 1), None) if len(place) < len(names) else None
    if twice is not None or len(set(wanted)) < len(wanted):
        twice = twice or next(name for name in wanted if wanted.count(name) > 1)
        raise ValueError(f"single-cell pipeline: gene {twice!r} stands twice, so that genes cannot be told by name")
    return np.array([place[name] for name in wanted])


def _codes(
    labels: Any, known: tuple[str, ...] | None, *, named: bool
) -> tuple[Int[np.ndarray, "cells"], tuple[str, ...] | None]:
    """Codes as they are; names by their place among those that are known, or else in their sorted vocabulary."""
    labels = np.asarray(labels)
    if not named and np.issubdtype(labels.dtype, np.integer):
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
