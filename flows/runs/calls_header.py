"""What the header of a VCF of calls tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pysam

from diffbio_core.problems import InputError, Problem


@contextmanager
def open_calls(calls: Path) -> Iterator[pysam.VariantFile]:
    """A VCF of one sample.

    Raises:
        InputError: It cannot be read, or has another number of samples.
    """
    try:
        file = pysam.VariantFile(str(calls))
    except (OSError, ValueError) as error:
        what = f"cannot be read as VCF ({error})"
        raise InputError([Problem(str(calls), what, "Give a VCF of one sample.")]) from error
    with file:
        samples = list(file.header.samples)
        if len(samples) != 1:
            what = f"has {len(samples)} samples" if samples else "has no sample"
            raise InputError([Problem(str(calls), what, "Give a VCF of one sample.")])
        yield file


def made_of_header(header: pysam.VariantHeader) -> dict[str, dict[str, str | int]]:
    """What determines the records, as `made_of` wrote it; empty where the header has none."""
    return {str(line["ID"]): _fields(line) for line in header.records if line.key == "diffbio"}


def _fields(line: Any) -> dict[str, str | int]:
    fields: dict[str, str | int] = {}
    for name, value in line.items():
        if name not in ("ID", "IDX"):
            text = str(value).strip('"')
            fields[name] = int(text) if name in ("Size", "Intervals", "Positions") and text.isdecimal() else text
    return fields
