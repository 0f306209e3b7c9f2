"""Matrices of cells by genes that stay as they are kept: dense, sparse, in a file, or in several of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int, Num


class RowReader(Protocol):
    """A matrix in a file, read by rows."""

    shape: tuple[int, int]
    dtype: np.dtype

    def read_rows(self, rows: Int[np.ndarray, "n"]) -> Any:
        """Rows in ascending order without repeats, as a dense or sparse matrix."""
        ...


class CountMatrix(ABC):
    """Cells by genes. Rows come out dense; nothing else does, unless the whole is asked for by `np.asarray`.

    Attributes:
        shape: Cells, genes.
        dtype: Type of the values.
        is_sparse: Whether zeros are left out where it is kept.
        is_stored: Whether it is still in its file.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    is_sparse: bool = False
    is_stored: bool = False

    @abstractmethod
    def block(self, rows: Int[np.ndarray, "n"]) -> Any:
        """Rows as they are kept: a dense array or a CSR matrix (n, genes)."""

    @abstractmethod
    def select_genes(self, genes: Int[np.ndarray, "k"]) -> CountMatrix:
        """The same cells with these genes, in this order."""

    def rows(self, rows: Int[np.ndarray, "n"]) -> Num[np.ndarray, "n genes"]:
        """Rows as a dense array, in the order asked for."""
        return _dense(self.block(np.asarray(rows, dtype=np.int64)))

    def blocks(self, size: int = 4096) -> Iterator[tuple[Int[np.ndarray, "n"], Any]]:
        """All rows, some thousands at a time, each with its row numbers."""
        for start in range(0, self.shape[0], size):
            rows = np.arange(start, min(start + size, self.shape[0]))
            yield rows, self.block(rows)

    def columns(self, genes: Int[np.ndarray, "k"]) -> Num[np.ndarray, "cells k"]:
        """Columns as a dense array."""
        genes = np.asarray(genes, dtype=np.int64)
        found = np.empty((self.shape[0], len(genes)), self.dtype)
        for rows, block in self.blocks():
            found[rows] = _dense(block[:, genes])
        return found

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Dense rows, as of an array: by number, slice, numbers or mask; a second index takes columns of them."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        if isinstance(rows, int | np.integer):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows} of a matrix of {len(self)} rows")
            return self.rows(np.array([rows % len(self)]))[0][columns]
        return self.rows(np.arange(len(self))[rows])[:, columns]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return self.rows(np.arange(len(self))).astype(dtype or self.dtype, copy=False)


class DenseCounts(CountMatrix):
    """A matrix in memory, zeros and all."""

    def __init__(self, values: Num[np.ndarray, "cells genes"]):
        self._values = values
        self.shape, self.dtype = (values.shape[0], values.shape[1]), values.dtype

    def block(self, rows: Int[np.ndarray, "n"]) -> Num[np.ndarray, "n genes"]:
        """Rows as a dense array."""
        return self._values[rows]

    def select_genes(self, genes: Int[np.ndarray, "k"]) -> DenseCounts:
        """The same cells with these genes, in this order."""
        return DenseCounts(self._values[:, genes])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._values, dtype=dtype, copy=copy)


class SparseCounts(CountMatrix):
    """A matrix in memory without its zeros.

    Args:
        values: A SciPy sparse matrix of any format; kept as CSR. Entries that stand for one place are added up.
    """

    is_sparse = True

    def __init__(self, values: Any):
        self._values = _canonical(values.tocsr(), owned=values.format != "csr")
        self.shape, self.dtype = self._values.shape, self._values.dtype

    def block(self, rows: Int[np.ndarray, "n"]) -> Any:
        """Rows as CSR."""
        return self._values[rows]

    def columns(self, genes: Int[np.ndarray, "k"]) -> Num[np.ndarray, "cells k"]:
        """Columns as a dense array."""
        return self._values[:, np.asarray(genes, dtype=np.int64)].toarray()

    def select_genes(self, genes: Int[np.ndarray, "k"]) -> SparseCounts:
        """The same cells with these genes, in this order."""
        return SparseCounts(self._values[:, genes])


class StoredCounts(CountMatrix):
    """A matrix that stays in its file.

    Args:
        reader: Reads rows.
        is_sparse: Whether the file leaves zeros out.
        genes: Columns to take, in this order; None for all.
    """

    is_stored = True

    def __init__(self, reader: RowReader, *, is_sparse: bool, genes: Int[np.ndarray, "k"] | None = None):
        self._reader, self._genes, self.is_sparse = reader, genes, is_sparse
        self.shape = (reader.shape[0], reader.shape[1] if genes is None else len(genes))
        self.dtype = reader.dtype

    def block(self, rows: Int[np.ndarray, "n"]) -> Any:
        """Rows, each read once, however often it is asked for."""
        wanted, place = np.unique(rows, return_inverse=True)
        found = _canonical(self._reader.read_rows(wanted), owned=True)
        if len(wanted) != len(rows) or not np.array_equal(wanted, rows):
            found = found[place]
        return found if self._genes is None else found[:, self._genes]

    def select_genes(self, genes: Int[np.ndarray, "k"]) -> StoredCounts:
        """The same cells with these genes, in this order."""
        inner = np.asarray(genes) if self._genes is None else self._genes[genes]
        return StoredCounts(self._reader, is_sparse=self.is_sparse, genes=inner)


class StackedCounts(CountMatrix):
    """Several matrices of the same genes, one under the other, none copied."""

    def __init__(self, parts: Sequence[CountMatrix]):
        if len({part.shape[1] for part in parts}) != 1:
            raise ValueError(f"matrices of {[part.shape[1] for part in parts]} genes cannot be stacked")
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape = (int(self._starts[-1]), parts[0].shape[1])
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self.is_sparse = all(part.is_sparse for part in parts)
        self.is_stored = any(part.is_stored for part in parts)

    def block(self, rows: Int[np.ndarray, "n"]) -> Any:
        """Rows of all parts: CSR if all are sparse, else dense."""
        part = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(part, kind="stable")
        used = np.unique(part)
        found = [self._parts[i].block(rows[part == i] - self._starts[i]) for i in used]
        if len(found) == 1:
            return found[0]
        back = np.argsort(order, kind="stable")
        if self.is_sparse:
            from scipy.sparse import csr_matrix, vstack

            return csr_matrix(vstack(found))[back]
        return np.concatenate([_dense(block) for block in found])[back] if found else np.empty((0, self.shape[1]))

    def select_genes(self, genes: Int[np.ndarray, "k"]) -> StackedCounts:
        """The same cells with these genes, in this order."""
        return StackedCounts([part.select_genes(genes) for part in self._parts])


def matrix_of(values: Any) -> CountMatrix:
    """A matrix in memory, as it is kept: sparse or dense; one that anndata left in its file is read.

    Args:
        values: An array, a SciPy sparse matrix, or what a backed AnnData has as X.
    """
    if isinstance(values, CountMatrix):
        return values
    if hasattr(values, "to_memory"):
        values = values.to_memory()
    return SparseCounts(values) if hasattr(values, "tocsr") else DenseCounts(np.asarray(values))


def _canonical(matrix: Any, *, owned: bool) -> Any:
    """A matrix with one entry for a place, as its values are looked at one by one; the caller's is not changed."""
    if getattr(matrix, "has_canonical_format", True):
        return matrix
    matrix = matrix if owned else matrix.copy()
    matrix.sum_duplicates()
    return matrix


def _dense(block: Any) -> np.ndarray:
    return block if isinstance(block, np.ndarray) else block.toarray()
