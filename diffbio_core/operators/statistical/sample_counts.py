"""Raw counts of samples by genes, dense or sparse, checked, and read in blocks of genes."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Integer

_BLOCK_ELEMENTS = 1 << 18
"""Counts in a block: 2 MB an array, which stays in a core's cache."""

Found = TypeVar("Found")


class SampleCounts:
    """Counts of samples by genes, whatever holds them.

    Args:
        values: (samples, genes) whole numbers: an array, or a SciPy sparse matrix, which stays sparse.
        sample_names: Names for messages and tables; numbers from 0 if None.
        gene_names: The same for genes.

    Raises:
        ValueError: Another number of axes or names, a NaN, a negative or a fractional count, told by gene and sample.
    """

    def __init__(
        self, values: Any, sample_names: Iterable[Any] | None = None, gene_names: Iterable[Any] | None = None
    ) -> None:
        self._sparse = hasattr(values, "tocsc")
        self._values: Any = values.tocsc() if self._sparse else np.asarray(values)
        if self._values.ndim != 2:
            raise ValueError(f"counts have {self._values.ndim} axes, expected samples x genes")
        self.samples, self.genes = self._values.shape
        self.sample_names = _names("sample", sample_names, self.samples)
        self.gene_names = _names("gene", gene_names, self.genes)
        if not self.samples or not self.genes:
            raise ValueError(f"counts of {self.samples} samples x {self.genes} genes are empty")
        self._replaced_genes = np.empty(0, dtype=np.int64)
        self._replaced_rows = np.empty((0, self.samples))
        self._check_values()

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, genes."""
        return self.samples, self.genes

    def blocks(self, genes: Integer[np.ndarray, " chosen"] | None = None) -> Iterator[Integer[np.ndarray, " block"]]:
        """Split genes, all if None, into blocks that a core's cache holds and that keep every core busy."""
        chosen = np.arange(self.genes) if genes is None else genes
        size = max(1, min(_BLOCK_ELEMENTS // self.samples, -(-len(chosen) // (2 * _cores()))))
        return (chosen[start : start + size] for start in range(0, len(chosen), size))

    def block(self, genes: Integer[np.ndarray, " block"]) -> Float[np.ndarray, "block samples"]:
        """Counts of some genes in rows, as float64."""
        chosen = self._values[:, genes]
        dense = chosen.toarray() if self._sparse else chosen
        rows = np.ascontiguousarray(dense.T, dtype=np.float64)
        if len(self._replaced_genes):
            place = np.searchsorted(self._replaced_genes, genes)
            known = np.minimum(place, len(self._replaced_genes) - 1)
            hit = self._replaced_genes[known] == genes
            rows[hit] = self._replaced_rows[known[hit]]
        return rows

    def sample(self, index: int) -> Float[np.ndarray, " genes"]:
        """All counts of one sample."""
        if self._sparse:
            return np.asarray(self._values[[index]].toarray()[0], dtype=np.float64)
        return np.asarray(self._values[index], dtype=np.float64)

    def is_zero(self) -> Bool[np.ndarray, " genes"]:
        """Which genes have no count in any sample."""
        return self.is_zero_in(np.ones(self.samples, dtype=bool))

    def is_zero_in(self, samples: Bool[np.ndarray, " samples"]) -> Bool[np.ndarray, " genes"]:
        """Which genes have no count in any of some samples."""
        return np.asarray(self._values[np.flatnonzero(samples)].sum(axis=0)).ravel() == 0

    def has_gene_without_zeros(self) -> bool:
        """Whether some gene has counts in every sample."""
        return any((self.block(genes) > 0).all(axis=1).any() for genes in self.blocks())

    def with_replaced(
        self, genes: Integer[np.ndarray, " chosen"], rows: Float[np.ndarray, "chosen samples"]
    ) -> SampleCounts:
        """The same counts, but for some genes.

        Args:
            genes: Numbers of the genes, ascending.
            rows: Their counts in `block`; other methods tell the counts as they were given.
        """
        changed = copy.copy(self)
        changed._replaced_genes, changed._replaced_rows = genes, rows
        return changed

    def map_blocks(
        self, genes: Integer[np.ndarray, " chosen"], work: Callable[[Integer[np.ndarray, " block"]], Found]
    ) -> list[Found]:
        """Do something with every block of genes, on every core; results in the order of blocks."""
        blocks = list(self.blocks(genes))
        with _one_blas_thread():
            if len(blocks) < 2:
                return [work(block) for block in blocks]
            with ThreadPoolExecutor(_cores()) as pool:
                return list(pool.map(work, blocks))

    def _check_values(self) -> None:
        stored = self._values.data if self._sparse else self._values
        if stored.dtype.kind not in "biuf":
            raise ValueError(f"counts are of type {stored.dtype}, expected whole numbers")
        refusals = {"is negative": lambda block: block < 0}
        if stored.dtype.kind == "f":
            refusals |= {
                "is NaN or infinite": lambda block: ~np.isfinite(block),
                "is no whole number": lambda block: block != np.round(block),
            }
        rows = max(1, _BLOCK_ELEMENTS // max(1, stored[:1].size))
        for start in range(0, len(stored), rows):
            block = stored[start : start + rows]
            for what, refuse in refusals.items():
                bad = np.argwhere(refuse(block))
                if len(bad):
                    bad[0, 0] += start
                    self._refuse(what, bad[0])

    def _refuse(self, what: str, place: Integer[np.ndarray, " axes"]) -> None:
        if self._sparse:
            sample = int(self._values.indices[place[0]])
            gene = int(np.searchsorted(self._values.indptr, place[0], side="right")) - 1
            value = self._values.data[place[0]]
        else:
            sample, gene = (int(axis) for axis in place)
            value = self._values[sample, gene]
        raise ValueError(
            f"counts: gene {self.gene_names[gene]} in sample {self.sample_names[sample]} {what} ({value}); "
            "differential expression needs raw counts, not normalised or logarithmic values"
        )


def _names(kind: str, names: Iterable[Any] | None, size: int) -> np.ndarray:
    if names is None:
        return np.arange(size)
    found: Sequence[Any] = list(names)
    if len(found) != size:
        raise ValueError(f"{len(found)} {kind} names for {size} {kind}s")
    return np.array(found, dtype=object)


def _one_blas_thread() -> AbstractContextManager[Any]:
    """Keeps linear algebra from starting threads under ours, where threadpoolctl is installed to ask it to.

    Matrices of a few coefficients gain nothing by threads, and threads that wait in a loop take the cores from blocks.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        return nullcontext()
    return threadpool_limits(1, user_api="blas")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
