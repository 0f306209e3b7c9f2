"""Tables of counts and of samples: CSV, TSV, and .h5ad."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from diffbio_core.problems import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

_COUNTS_WANTED = "Give raw counts: genes in rows, samples in columns, names in the first row and column; or .h5ad."
_SAMPLES_WANTED = "Give a row per sample, its name in the first column, and a header."


@dataclass(frozen=True)
class CountTable:
    """Counts of samples by genes, and what is known of the samples.

    Attributes:
        counts: A pandas DataFrame of samples by genes, or an AnnData.
        samples: A row per sample, in the order of the counts.
        ignored: Columns or samples of the files that were not used.
    """

    counts: Any
    samples: pd.DataFrame
    ignored: tuple[str, ...]


def read_counts(counts: str | os.PathLike[str], samples: str | os.PathLike[str] | None = None) -> CountTable:
    """Read counts and the table of their samples.

    Args:
        counts: CSV or TSV, gzipped or not, genes by samples or samples by genes, whichever the samples' names tell; or
            .h5ad of samples by genes. Columns that are no sample's, such as a gene's length, are left out and told.
        samples: CSV or TSV; an .h5ad file's own table of observations if None.

    Raises:
        InputError: A file that cannot be read, or a sample that has no counts.
        ImportError: The extra ``expression`` is not installed.
    """
    if Path(counts).suffix == ".h5ad":
        from diffbio_io.h5ad import read_anndata

        table = read_anndata(counts)
        if samples is None:
            return CountTable(table, cast(Any, table.obs), ())
        known = read_samples(samples)
        _check_present(known.index, table.obs_names, counts, samples)
        ignored = tuple(map(str, table.obs_names[~table.obs_names.isin(known.index)]))
        chosen = table[known.index].copy()
        return CountTable(chosen, known, ignored)
    if samples is None:
        raise InputError([Problem(str(counts), "says nothing of its samples", f"Give --samples. {_SAMPLES_WANTED}")])
    known = read_samples(samples)
    found = _read(counts, _COUNTS_WANTED)
    if found.columns.isin(known.index).sum() < found.index.isin(known.index).sum():
        found = found.T
    _check_present(known.index, found.columns, counts, samples)
    ignored = tuple(map(str, found.columns[~found.columns.isin(known.index)]))
    chosen = found[list(known.index)]
    for name in known.index:
        if chosen[name].dtype.kind not in "biuf":
            raise InputError([Problem(str(counts), f"column {name!r} holds text, not counts", _COUNTS_WANTED)])
    return CountTable(chosen.T, known, ignored)


def read_samples(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of samples, named by its first column.

    Args:
        path: CSV or TSV, gzipped or not.

    Raises:
        InputError: It cannot be read, or names a sample twice.
        ImportError: pandas is not installed.
    """
    found = _read(path, _SAMPLES_WANTED)
    twice = found.index[found.index.duplicated()]
    if len(twice):
        raise InputError([Problem(str(path), f"names sample {twice[0]!r} more than once", _SAMPLES_WANTED)])
    if not len(found) or not len(found.columns):
        raise InputError([Problem(str(path), "holds no samples, or nothing about them", _SAMPLES_WANTED)])
    return found


def _read(path: str | os.PathLike[str], wanted: str) -> pd.DataFrame:
    try:
        import pandas as pd
    except ModuleNotFoundError as missing:
        raise ImportError("tables need pandas: pip install 'diffbio-core[expression]'") from missing
    try:
        table = pd.read_csv(path, index_col=0, sep=_separator(path), encoding="utf-8-sig", dtype={0: str})
    except FileNotFoundError as error:
        raise InputError([Problem(str(path), "no such file", wanted)]) from error
    except (OSError, ValueError, EOFError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError([Problem(str(path), f"cannot be read as a table ({first})", wanted)]) from error
    table.index = table.index.astype(str)
    table.columns = table.columns.astype(str)
    return table


def _separator(path: str | os.PathLike[str]) -> str:
    """Tab where the first line has one, comma or semicolon otherwise."""
    import gzip

    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig") as file:
        first = file.readline()
    return max("\t,;", key=first.count)


def _check_present(
    names: Iterable[str], known: pd.Index, counts: str | os.PathLike[str], samples: str | os.PathLike[str]
) -> None:
    missing = [str(name) for name in names if name not in known]
    if missing:
        there = ", ".join(map(str, known[:5]))
        raise InputError(
            [Problem(str(counts), f"has no sample {', '.join(missing[:5])} of {samples}", f"It has {there}, ...")]
        )
