"""Which of the indexes beside a file is its own: one answer for whoever reads by position."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diffbio_core.problems import Problem

CLOCK = 2
"""Seconds by which an index may seem older than its file: as coarse as some file systems' clocks."""


@dataclass(frozen=True)
class IndexChoice:
    """The index to use of those beside a file.

    Attributes:
        path: The one that was changed last.
        file: The file that it is for.
        passed_over: Others that are older than the file, and so of an earlier state of it.
    """

    path: Path
    file: Path
    passed_over: tuple[Path, ...] = ()

    @property
    def is_stale(self) -> bool:
        """Whether even this one is older than its file."""
        return _is_older(self.path, self.file)

    def warnings(self) -> list[Problem]:
        """A word about each that was passed over."""
        what = f"is older than {self.file.name} and was not used ({self.path.name} was)"
        return [Problem(str(path), what, "Remove it: other programs may take it.") for path in self.passed_over]


def choose_index(file: Path, endings: Iterable[str]) -> IndexChoice | None:
    """The freshest index of a file; None where there is none.

    Args:
        file: The indexed file.
        endings: Endings of its kinds of index, such as ``.bai``, the preferred first; each is looked for behind the
            file's name (``x.bam.bai``) and in place of its ending (``x.bai``).
    """
    places = [place for ending in endings for place in (Path(f"{file}{ending}"), file.with_suffix(ending))]
    found = [place for place in dict.fromkeys(places) if place.is_file()]
    if not found:
        return None
    best = max(found, key=lambda place: place.stat().st_mtime_ns)  # the first of equals
    others = tuple(place for place in found if place != best and _is_older(place, file))
    return IndexChoice(best, file, others)


def told_as_older(file: Path, remedy: str) -> tuple[str, str]:
    """What is wrong with an index that is older than its file, and what to do.

    Args:
        file: The indexed file.
        remedy: What to do about the index. Where the file's own time lies ahead, any new index would be older, too.
    """
    if file.stat().st_mtime <= time.time() + CLOCK:
        return f"is older than {file}", remedy
    return f"is older than {file}, whose time of change lies in the future", f"`touch {file}` first. {remedy}"


def _is_older(index: Path, file: Path) -> bool:
    return index.stat().st_mtime + CLOCK < file.stat().st_mtime
