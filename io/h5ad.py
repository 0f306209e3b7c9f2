"""Tables of cells by genes in .h5ad files, through anndata (the extra ``expression``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.expression import ExpressionTable
from diffbio_core.sources.labels import Labels
from diffbio_core.sources.matrix import CountMatrix, DenseCounts, SparseCounts, StoredCounts
from diffbio_core.whole_file import whole_file

if TYPE_CHECKING:
    from anndata import AnnData

_WANTED = "Give a table of cells by genes as .h5ad."


def read_expression(path: str | os.PathLike[str], *, backed: bool = False) -> ExpressionTable:
    """Read an .h5ad file; a sparse matrix stays sparse.

    Args:
        path: The file.
        backed: Whether the matrix stays in the file, from which rows are read when asked for.

    Raises:
        InputError: It cannot be read, holds no matrix, or is to stay in a file that keeps it by columns.
        ImportError: The extra ``expression`` is not installed.
    """
    return expression_of(read_anndata(path, backed=backed), str(path))


def read_anndata(path: str | os.PathLike[str], *, backed: bool = False) -> AnnData:
    """Open an .h5ad file.

    Args:
        path: The file.
        backed: Whether the matrix stays in the file.

    Raises:
        InputError: It cannot be read, or holds no matrix.
        ImportError: The extra ``expression`` is not installed.
    """
    anndata = _anndata()
    path = Path(path)
    if not path.is_file():
        raise InputError([Problem(str(path), "no such file", _WANTED)])
    try:
        table = anndata.read_h5ad(path, backed="r" if backed else None)
    except (OSError, KeyError, ValueError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError([Problem(str(path), f"cannot be read as .h5ad ({first})", _WANTED)]) from error
    if table.X is None:
        raise InputError([Problem(str(path), "holds no matrix X", _WANTED)])
    return table


def write_anndata(table: AnnData, path: str | os.PathLike[str]) -> None:
    """Write an .h5ad file, which appears under its name only when it is whole.

    Args:
        table: What to write.
        path: The file; one that is there is replaced.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(path) as aside:
        table.write_h5ad(aside, compression="gzip")


def expression_of(table: AnnData, name: str = "AnnData") -> ExpressionTable:
    """An AnnData as a table of expression; nothing is copied that need not be.

    Args:
        table: In memory or backed.
        name: For messages.

    Raises:
        InputError: It is backed by a file that keeps the matrix by columns.
    """
    obs: dict[str, Any] = {str(column): values.array for column, values in table.obs.items()}
    return ExpressionTable(
        counts=_matrix(table, name),
        cell_names=np.asarray(table.obs_names, dtype=object),
        gene_names=np.asarray(table.var_names, dtype=object),
        obs={column: np.asarray(values) for column, values in obs.items()},
        var={str(column): np.asarray(values) for column, values in table.var.items()},
        labels={
            column: Labels.coded(np.asarray(values.codes), np.asarray(values.categories))
            for column, values in obs.items()
            if hasattr(values, "categories") and not np.asarray(values.isna()).any()
        },
        obsm={key: _embedding(values) for key, values in table.obsm.items()},
        log_scale=True if "log1p" in table.uns else None,
        name=name,
    )


class _BackedRows:
    """Rows of a backed matrix; opens the file again where it arrives by pickle."""

    def __init__(self, matrix: Any, path: str):
        self._matrix, self._path = matrix, path
        self.shape: tuple[int, int] = tuple(matrix.shape)
        self.dtype = np.dtype(matrix.dtype)

    def read_rows(self, rows: np.ndarray) -> Any:
        """Rows in ascending order; a run of them as one slice, which HDF5 reads faster."""
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
            return self._matrix[int(rows[0]) : int(rows[-1]) + 1]
        return self._matrix[rows]

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._path,)


def _reopened(path: str) -> _BackedRows:
    return _BackedRows(read_anndata(path, backed=True).X, path)


def _matrix(table: AnnData, name: str) -> CountMatrix:
    matrix: Any = table.X
    if table.isbacked:
        kind = getattr(matrix, "format", "dense")
        if kind == "csc":
            what = "keeps its matrix by genes (CSC), so that a cell cannot be read without the whole"
            raise InputError([Problem(name, what, "Read it into memory, or store it as CSR: adata.X.tocsr().")])
        return StoredCounts(_BackedRows(matrix, str(table.filename)), is_sparse=kind == "csr")
    if hasattr(matrix, "tocsr"):
        return SparseCounts(matrix)
    return DenseCounts(np.asarray(matrix))


def _embedding(values: Any) -> np.ndarray:
    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)


def _anndata() -> Any:
    try:
        import anndata
    except ImportError as error:
        raise ImportError("reading .h5ad needs anndata. Run: pip install 'diffbio-core[expression]'") from error
    return anndata
