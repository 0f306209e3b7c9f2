"""A sheet of samples, as spreadsheets save them: one line of column names, one line per sample."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diffbio_core.problems import InputError, Problem
from diffbio_io.files.text import text_lines


@dataclass(frozen=True)
class SheetRow:
    """One sample.

    Attributes:
        line: Number of its line in the sheet, from 1.
        values: What stands in its columns, without spaces around it, by the columns' names in lower case.
    """

    line: int
    values: Mapping[str, str]


def read_sample_sheet(
    path: str | os.PathLike[str], required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> list[SheetRow]:
    """Reads a sheet: columns in any order, separated by commas, semicolons or tabs; UTF-8 or UTF-16, any ends of lines.

    Empty lines, and lines that begin with ``#``, are passed over.

    Args:
        path: The sheet, gzipped or not.
        required: Columns that it must have; their values may not be empty.
        optional: Columns that it may have; their values may be empty or missing.

    Raises:
        InputError: With every column that is missing, unknown or named twice, and every line that is not whole.
    """
    lines = [line.decode("utf-8", "replace") for line in text_lines(path, "CSV")]
    wanted = f"Its columns are {', '.join(required)}" + (f", and may be {', '.join(optional)}." if optional else ".")
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip(" ,;\t") and line[0] != "#"]
    if not numbered:
        raise InputError([Problem(str(path), "is empty", f"Give a sheet with a line per sample. {wanted}")])
    first, header = numbered[0]
    separator = max(",;\t", key=header.count)
    names = [name.lower() for name in _cells(header, separator)]
    while names and not names[-1]:
        names.pop()  # as spreadsheets fill up lines
    problems = [
        *(f"has no column {name!r}" for name in required if name not in names),
        *(f"has a column {name!r} that is not known" for name in names if name not in required + optional),
        *(f"names column {name!r} twice" for name in dict.fromkeys(names) if names.count(name) > 1),
    ]
    if problems:
        raise InputError([Problem(f"{path}, line {first}", what, wanted) for what in problems])
    rows, faults = [], []
    for number, line in numbered[1:]:
        cells = _cells(line, separator)
        values = dict(zip(names, cells, strict=False))
        subject = f"{path}, line {number}"
        if any(cells[len(names) :]):
            what = f"has {len(cells)} cells, but the sheet has {len(names)} columns"
            faults.append(Problem(subject, what, "Put quotes around what holds the separator."))
        faults += [
            Problem(subject, f"says nothing in column {name!r}", "Fill it in.")
            for name in required
            if not values.get(name)
        ]
        rows.append(SheetRow(number, {name: values.get(name, "") for name in required + optional}))
    if not rows and not faults:
        faults = [Problem(str(path), "names no sample", "Give a line per sample below the columns' names.")]
    if faults:
        raise InputError(faults)
    return rows


def path_in_sheet(text: str, sheet: str | os.PathLike[str]) -> Path:
    """A path of a sheet; one that is not whole is meant from the sheet's folder on."""
    return Path(sheet).parent / Path(text).expanduser()


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
