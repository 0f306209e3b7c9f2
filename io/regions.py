"""Where to work: regions as people write them and BED files, as sorted intervals per contig."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from diffbio_core.problems import InputError, Problem
from diffbio_io.files.text import text_lines

Intervals = tuple[tuple[int, int], ...]
"""0-based half-open intervals of one contig, sorted, neither overlapping nor touching."""

_SAM_HEADER = ("@HD", "@SQ", "@RG", "@PG", "@CO")
_MOST_DIGITS = 12
_REGION = re.compile(r"(?P<contig>.+?):(?P<start>[0-9][0-9,]{0,15})(?P<range>-(?P<stop>[0-9][0-9,]{0,15})?)?")


def resolve_regions(
    contigs: Mapping[str, int], regions: Sequence[str] = (), bed: str | os.PathLike[str] | None = None
) -> dict[str, Intervals]:
    """What to call: the union of regions and a BED file, or every contig whole where neither is given.

    Args:
        contigs: Length (bp) by name, in the order wanted.
        regions: Texts such as ``chr20``, ``chr20:1-2,000`` (1-based, both ends in) or ``chr20:100`` (to the end).
        bed: BED file, plain or gzipped.

    Returns:
        Intervals by contig, contigs in the order of ``contigs``, without those that nothing was asked of.

    Raises:
        InputError: With every region and line that is malformed, of an unknown contig or outside its contig.
    """
    if not regions and bed is None:
        return {contig: ((0, length),) for contig, length in contigs.items() if length}
    found: list[tuple[str, int, int]] = []
    problems: list[Problem] = []
    for text in regions:
        try:
            found.append(parse_region(text, contigs))
        except InputError as error:
            problems += error.problems
    if bed is not None:
        try:
            found += _bed_lines(Path(bed), contigs)
        except InputError as error:
            problems += error.problems
        if not problems and not any(start < stop for _, start, stop in found):
            problems.append(Problem(str(bed), "holds no interval", "Give a BED file with at least one position."))
    if problems:
        raise InputError(problems)
    merged = _merge_by_contig(found)
    return {contig: merged[contig] for contig in contigs if contig in merged}


def parse_region(text: str, contigs: Mapping[str, int]) -> tuple[str, int, int]:
    """One region as (contig, start, stop), 0-based half-open.

    A name of a contig wins over its reading as a range, since names may hold colons (``HLA-A*01:01``).

    Raises:
        InputError: The text is malformed, or the contig unknown, or the range outside it.
    """
    text = text.strip()
    if text in contigs:
        return text, 0, contigs[text]
    match = _REGION.fullmatch(text)
    subject = f"region {text!r}"
    how = "Write contig, contig:start or contig:start-end, counted from 1."
    if match is None:
        if ":" in text or not text:
            raise InputError([Problem(subject, "is not a region", how)])
        raise InputError([_unknown(subject, text, contigs)])
    contig, start = match["contig"], int(match["start"].replace(",", ""))
    stop = int(match["stop"].replace(",", "")) if match["stop"] else contigs.get(contig, start)
    if start < 1:
        raise InputError([Problem(subject, "starts at 0, but positions count from 1", how)])
    problem = _misplaced(subject, contig, max(start, stop), contigs)
    if problem:
        raise InputError([problem])
    if stop < start:
        raise InputError([Problem(subject, "ends before it starts", how)])
    return contig, start - 1, stop


def read_bed(path: str | os.PathLike[str], contigs: Mapping[str, int] | None = None) -> dict[str, Intervals]:
    """Intervals of a BED file by contig, contigs in the order of their first line.

    Args:
        path: BED file, plain or gzipped; comments, ``track`` and ``browser`` lines and empty intervals are passed over.
            A SAM header makes it Picard's interval_list, whose positions count from 1.
        contigs: Length (bp) of contigs; intervals of others are left out, those of these have to lie on them.

    Raises:
        InputError: The file is missing, unreadable or without an interval, or lines are malformed or reach beyond their
            contig (all of them are told).
    """
    found = _bed_lines(Path(path), contigs, others=True) if contigs is not None else []
    # A file that shares no contig is whole for whoever tells its names.
    found = found or _bed_lines(Path(path))
    if not any(start < stop for _, start, stop in found):
        raise InputError([Problem(str(path), "holds no interval", "Give a BED file with at least one position.")])
    return _merge_by_contig(found)


def merge_intervals(intervals: Iterable[tuple[int, int]]) -> Intervals:
    """Sorted intervals with overlapping and touching ones joined and empty ones left out."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(intervals):
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return tuple(merged)


def _merge_by_contig(found: Iterable[tuple[str, int, int]]) -> dict[str, Intervals]:
    by_contig: dict[str, list[tuple[int, int]]] = {}
    for contig, start, stop in found:
        by_contig.setdefault(contig, []).append((start, stop))
    merged = {contig: merge_intervals(intervals) for contig, intervals in by_contig.items()}
    return {contig: intervals for contig, intervals in merged.items() if intervals}


def _bed_lines(
    path: Path, contigs: Mapping[str, int] | None = None, *, others: bool = False
) -> list[tuple[str, int, int]]:
    """(contig, start, stop) of every interval line; each has to lie on one of the contigs, where they are given.

    With ``others``, lines on contigs that are not among them are passed over.
    """
    intervals: list[tuple[str, int, int]] = []
    problems: list[Problem] = []
    one_based = False
    for number, raw in enumerate(text_lines(path, "BED"), start=1):
        line = raw.decode("utf-8", "replace")
        fields = [field.strip().strip('"') for field in (line.split("\t") if "\t" in line else line.split())]
        if not any(fields) or fields[0].startswith("#") or fields[0].split()[:1] in (["track"], ["browser"]):
            continue
        if fields[0] in _SAM_HEADER:  # Picard's interval_list: a SAM header, then 1-based intervals
            one_based = True
            continue
        subject = f"{path}, line {number}"
        what = _bed_fault(fields, one_based)
        if what:
            remedy = "A BED line is contig, start (counted from 0) and end (not included), separated by tabs."
            if one_based:
                remedy = "An interval_list line is contig, start (counted from 1), end, strand and name."
            problems.append(Problem(subject, what, remedy))
            continue
        contig, start, stop = fields[0], int(fields[1]) - one_based, int(fields[2])
        if others and contigs is not None and contig not in contigs:
            continue
        problem = None if contigs is None else _misplaced(subject, contig, stop, contigs)
        if problem:
            problems.append(problem)
        else:
            intervals.append((contig, start, stop))
    if problems:
        raise InputError(_shortened(problems, path))
    return intervals


def _shortened(problems: list[Problem], path: Path) -> list[Problem]:
    """The first ten and a count of the rest: a file of another kind has a fault in every line."""
    rest = Problem(str(path), f"{len(problems) - 10} more lines are wrong", "Is it a BED file of this reference?")
    return [*problems[:10], rest] if len(problems) > 10 else problems


def _bed_fault(fields: list[str], one_based: bool) -> str | None:
    if len(fields) < 3:
        commas = " (they are separated by commas)" if fields[0].count(",") > 1 else ""
        return f"has {len(fields)} field{'s' * (len(fields) != 1)}{commas}, but three are needed"
    if not fields[0]:
        return "names no contig"
    for name, value in (("start", fields[1]), ("end", fields[2])):
        if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS):
            return f"its {name}, {value[:40]!r}, is not a whole number of 0 or more"
    if one_based and int(fields[1]) < 1:
        return "starts at 0, but positions count from 1 here"
    if int(fields[2]) < int(fields[1]) - one_based:
        return f"ends ({fields[2]}) before it starts ({fields[1]})"
    return None


def _misplaced(subject: str, contig: str, stop: int, contigs: Mapping[str, int]) -> Problem | None:
    if contig not in contigs:
        return _unknown(subject, contig, contigs)
    if stop > contigs[contig]:
        what = f"reaches to {stop:,}, but {contig} is {contigs[contig]:,} bp long"
        return Problem(subject, what, f"End it at {contigs[contig]} or before.")
    return None


def _unknown(subject: str, contig: str, contigs: Mapping[str, int]) -> Problem:
    other = contig[3:] if contig.startswith("chr") else f"chr{contig}"
    if other in contigs:
        return Problem(subject, f"the reference has no contig {contig!r}", f"The reference calls it {other!r}.")
    shown = ", ".join(list(contigs)[:8]) + (", ..." if len(contigs) > 8 else "")
    return Problem(subject, f"the reference has no contig {contig!r}", f"Its contigs are: {shown}.")
