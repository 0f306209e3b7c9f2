"""A table of expression, cells by genes with what is known of both, and who reads one from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.labels import Labels
from diffbio_core.sources.matrix import CountMatrix

READER_GROUP = "diffbio.expression_readers"
"""Entry points `name = "module:function"`; the function takes a path and whether the matrix stays in the file."""

_FORMATS = {".h5ad": "h5ad", ".h5": "h5ad"}


@dataclass(frozen=True)
class ExpressionTable:
    """Cells by genes.

    Attributes:
        counts: The matrix, dense, sparse or still in its file.
        cell_names: Name of every cell.
        gene_names: Name of every gene.
        obs: What is known of cells, arrays of n_cells by column.
        var: What is known of genes, arrays of n_genes by column.
        labels: Those columns of obs that the file keeps as labels.
        obsm: Embeddings (n_cells, width) by key.
        log_scale: Whether the file says that its values are log1p; None where it says nothing.
        name: Where it comes from, for messages.
    """

    counts: CountMatrix
    cell_names: np.ndarray
    gene_names: np.ndarray
    obs: Mapping[str, np.ndarray] = field(default_factory=dict)
    var: Mapping[str, np.ndarray] = field(default_factory=dict)
    labels: Mapping[str, Labels] = field(default_factory=dict)
    obsm: Mapping[str, np.ndarray] = field(default_factory=dict)
    log_scale: bool | None = None
    name: str = "expression"

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.counts.shape[0]

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.counts.shape[1]

    def labels_of(self, column: str) -> Labels:
        """A column of obs as labels.

        Raises:
            InputError: There is no such column, or a cell has no label.
        """
        if column in self.labels:
            return self.labels[column]
        if column not in self.obs:
            what = f"has no obs column {column!r}; its columns are {', '.join(sorted(self.obs)) or 'none'}"
            raise InputError([Problem(self.name, what, "Name the column that holds it.")])
        try:
            return Labels.of(self.obs[column])
        except ValueError as error:
            what = f"obs column {column!r} lacks labels: {error}"
            raise InputError([Problem(self.name, what, "Give every cell a label, or leave those cells out.")]) from None


def open_expression(path: str | os.PathLike[str], *, backed: bool = False) -> ExpressionTable:
    """Read a table of expression by whatever installed reader knows its format, as xarray finds its engines.

    Args:
        path: File, `.h5ad` or `.h5`.
        backed: Whether the matrix stays in the file, from which rows are read when asked for.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Its name has another ending, or what the reader refuses.
        ImportError: No reader of that format is installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Give a table of cells by genes (.h5ad).")
    if path.suffix not in _FORMATS:
        raise ValueError(f"{path}: ends in neither {' nor '.join(_FORMATS)}. Give a table of cells by genes (.h5ad).")
    return _reader(_FORMATS[path.suffix])(path, backed=backed)


@cache  # looking through all that is installed takes longer than opening a small file
def _reader(name: str) -> Any:
    for found in entry_points(group=READER_GROUP, name=name):
        return found.load()
    raise ImportError(f"nothing that reads {name} is installed. Run: pip install 'diffbio-core[expression]'")
