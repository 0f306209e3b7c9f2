"""CSV and TSV whose rows and columns have names, which come through as they are written.

pandas alone may take 00001 for 1 and NA for a missing name, calls the second of two columns `a` `a.1`, and one without
a name `Unnamed: 0`.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffbio_core.problems import InputError, Problem
from diffbio_io.files.text import text_lines

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"", "NA", "NaN", "nan", "<NA>", "#N/A"})
"""Cells that hold no value: nothing, and what R, pandas and spreadsheets write for it."""

_MISSING_AMONG_NUMBERS = frozenset(
    {"n/a", "N/A", "na", "Na", "NAN", "-nan", "None", "none", "NONE", "null", "Null", "NULL", ".", "-", "?"}
)


def read_named_rows(path: str | os.PathLike[str], wanted: str, *, mixed: bool = False) -> pd.DataFrame:
    """Read a table whose first row names columns and whose first column names rows.

    The header may leave out the first column's cell, as R's ``write.table`` does, or its name. Empty rows, and columns
    without a name and without cells, are left out, as is what featureCounts writes above the header.

    Args:
        path: CSV or TSV, gzipped or not, UTF-8 or UTF-16, any ends of lines.
        wanted: What the file should be, as a sentence, for messages.
        mixed: Whether columns of text are expected beside columns of numbers; `typed_cells` then tells them apart.
            Otherwise all that pandas takes for a missing number is one.

    Raises:
        InputError: It cannot be read, or a row has more cells than the header.
        ImportError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError as missing:
        raise ImportError("tables need pandas: pip install 'diffbio-core[expression]'") from missing
    options: dict[str, Any] = {"dtype": str, "na_filter": False} if mixed else {"converters": {0: str}}
    try:
        header = _header(path)
        # Empty lines in place of the header, so that messages count lines as they are in the file.
        rest = itertools.chain([b""] * header.lines, itertools.islice(_lines(path), header.lines, None))
        table = pd.read_csv(
            io.BufferedReader(_LineStream(rest)),
            sep=header.separator,
            header=None,
            names=range(len(header.names)),
            index_col=False,
            encoding="utf-8",
            low_memory=False,
            **options,
        )
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError([Problem(str(path), f"is no text in UTF-8 ({error})", "Save it as UTF-8.")]) from error
    except (ValueError, csv.Error) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError([Problem(str(path), f"cannot be read as a table ({first})", wanted)]) from error
    table.index = pd.Index(table.pop(0), dtype=object, name=header.names[0] or None)
    table.columns = pd.Index(header.names[1:], dtype=object)
    filled = (table != "") if mixed else table.notna()
    table = table.loc[filled.any(axis=1) | (table.index != "")]
    table = table.loc[:, (table.columns != "") | filled.any(axis=0).to_numpy()]
    return table.apply(typed_cells, decimal="," if header.separator == ";" else ".") if mixed else table


def typed_cells(cells: pd.Series, decimal: str = ".") -> pd.Series:
    """A column of text as numbers where it holds nothing else; missing values as NaN, no spaces around text.

    Args:
        cells: As they are written.
        decimal: "," where that is written, too, for the point of numbers.
    """
    import pandas as pd

    stripped = cells.str.strip()
    missing = stripped.isin(MISSING)
    absent = missing | stripped.isin(_MISSING_AMONG_NUMBERS)
    pointed = stripped if decimal == "." else stripped.str.replace(decimal, ".", n=1, regex=False)
    numbers: Any = pd.to_numeric(pointed.mask(absent), errors="coerce")
    if numbers.notna().any() and (numbers.notna() | absent).all():
        return numbers
    return stripped.mask(missing)


@dataclass(frozen=True)
class _Header:
    """The first row of names, with one for the first column, and the lines until its end."""

    names: list[str]
    separator: str
    lines: int


def _header(path: str | os.PathLike[str]) -> _Header:
    lines = (line.decode() for line in _lines(path))
    above, first = 0, ""
    for first in lines:
        if first.strip() and not first.startswith("# Program:featureCounts"):
            break
        above += 1
    else:
        raise ValueError("it is empty")
    second = next((line for line in lines if line), "")
    separator = max("\t,;", key=lambda mark: (first.count(mark), second.count(mark)))
    reader = csv.reader(itertools.chain([first, second], lines), delimiter=separator)
    names = next(reader)
    read = above + reader.line_num
    cells = next((row for row in reader if any(row)), [])
    if len(cells) == len(names) + 1 and cells[-1]:
        return _Header(["", *names], separator, read)
    while len(cells) > len(names) and not cells[-1]:
        cells.pop()
        names.append("")
    if len(cells) > len(names):
        raise ValueError(f"its first row has {len(cells)} cells, the header {len(names)}")
    return _Header(names, separator, read)


def _lines(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Lines, whose ends may be those of any system."""
    return (part for line in text_lines(path, "CSV or TSV") for part in line.split(b"\r"))


class _LineStream(io.RawIOBase):
    """Lines as a file that is read once."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next((line + b"\n" for line in self._lines), b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
