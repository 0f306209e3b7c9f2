"""Tables of counts and of samples: CSV, TSV, and .h5ad."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from diffbio_core.problems import InputError, Problem
from diffbio_io.named_rows import read_named_rows

if TYPE_CHECKING:
    import pandas as pd

_COUNTS_WANTED = "Give raw counts: genes in rows, samples in columns, names in the first row and column; or .h5ad."
_SAMPLES_WANTED = "Give a row per sample, its name in the first column, and a header."

_NO_GENES = frozenset(
    {"__no_feature", "__ambiguous", "__too_low_aQual", "__not_aligned", "__alignment_not_unique"}
    | {"N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous"}
)


@dataclass(frozen=True)
class CountTable:
    """Counts of samples by genes, and what is known of the samples.

    Attributes:
        counts: A pandas DataFrame of samples by genes, or an AnnData.
        samples: A row per sample, in the order of the counts.
        ignored: Columns or samples of the files that were not used.
        no_genes: Rows of reads without a gene, as HTSeq and STAR write them below the genes, that were left out.
    """

    counts: Any
    samples: pd.DataFrame
    ignored: tuple[str, ...]
    no_genes: tuple[str, ...] = ()


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
        _check_once(table.obs_names[table.obs_names.isin(known.index)], counts, "sample", _SAMPLES_WANTED)
        ignored = tuple(map(str, table.obs_names[~table.obs_names.isin(known.index)]))
        chosen = table[known.index].copy()
        chosen.obs = known
        return CountTable(chosen, known, ignored)
    if samples is None:
        raise InputError([Problem(str(counts), "says nothing of its samples", f"Give --samples. {_SAMPLES_WANTED}")])
    known = read_samples(samples)
    found: Any = read_named_rows(counts, _COUNTS_WANTED)
    if not len(found) or not len(found.columns):
        raise InputError([Problem(str(counts), "holds no counts", _COUNTS_WANTED)])
    if _samples_in_rows(found, known.index, counts):
        _check_numbers(found, counts)
        found = found.T
    _check_present(known.index, found.columns, counts, samples)
    of_samples = found.columns.isin(known.index)
    _check_once(found.columns[of_samples], counts, "sample", _COUNTS_WANTED)
    ignored = tuple(found.columns[~of_samples])
    chosen = found[list(known.index)]
    _check_numbers(chosen, counts)
    is_gene = ~chosen.index.isin(_NO_GENES)
    return CountTable(chosen.loc[is_gene].T, known, ignored, tuple(chosen.index[~is_gene]))


def read_samples(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of samples, named by its first column.

    A column is of numbers where every cell that holds something holds a number. An empty cell, NA and NaN are missing
    values, and in a column of numbers so are other usual spellings, such as None; in a column of text those are text.

    Args:
        path: CSV or TSV, gzipped or not.

    Raises:
        InputError: It cannot be read, or names a sample or a column twice.
        ImportError: pandas is not installed.
    """
    found = read_named_rows(path, _SAMPLES_WANTED, mixed=True)
    _check_once(found.index, path, "sample", _SAMPLES_WANTED)
    _check_once(found.columns, path, "column", _SAMPLES_WANTED)
    if (found.index == "").any():
        raise InputError([Problem(str(path), "has a row without a name", _SAMPLES_WANTED)])
    if not len(found) or not len(found.columns):
        raise InputError([Problem(str(path), "holds no samples, or nothing about them", _SAMPLES_WANTED)])
    return found


def _samples_in_rows(table: pd.DataFrame, samples: pd.Index, path: str | os.PathLike[str]) -> bool:
    """Whether rows are the samples: that side is which names more of them and, of two that name all, fewer others."""
    rows, columns = ((samples.isin(names).sum(), -len(names)) for names in (table.index, table.columns))
    if rows == columns and rows[0]:
        what = f"names {rows[0]} samples both in rows and in columns, so that samples and genes cannot be told apart"
        raise InputError([Problem(str(path), what, "Give genes other names than samples.")])
    return rows > columns


def _check_numbers(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    for name, kind in table.dtypes.items():
        if kind.kind not in "iuf":
            raise InputError([Problem(str(path), f"column {name!r} holds text, not counts", _COUNTS_WANTED)])


def _check_once(names: pd.Index, path: str | os.PathLike[str], what: str, wanted: str) -> None:
    twice = names[names.duplicated()]
    if len(twice):
        raise InputError([Problem(str(path), f"names {what} {twice[0]!r} more than once", wanted)])


def _check_present(
    names: Iterable[str], known: pd.Index, counts: str | os.PathLike[str], samples: str | os.PathLike[str]
) -> None:
    missing = [repr(str(name)) for name in names if name not in known]
    if missing:
        there = ", ".join(repr(str(name)) for name in known[:5])
        raise InputError(
            [Problem(str(counts), f"has no sample {', '.join(missing[:5])} of {samples}", f"It has {there}, ...")]
        )
