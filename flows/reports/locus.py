"""A locus as the model saw it: text for a terminal, a page, or a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from diffbio_core.calling.explanation import Explanation
from diffbio_core.candidates.view_encoding import DELETION_AFTER, DIFFERS, FLANK, INSERTION_AFTER, SUPPORTS
from diffbio_core.windows.encoding import BASES, CODE_MASK, DELETED, NO_READ

Sort = Literal["influence", "position"]

ROLES = {SUPPORTS: "allele", DIFFERS: "other"}
"""What a read is to a candidate; one that fits both alike is ``either``."""

_MARK = "^"
_FOR, _AGAINST, _DIM, _OFF = "\x1b[34m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True)
class LocusView:
    """What there is to show of a locus.

    Attributes:
        contig: Where.
        position: 1-based, as asked for.
        record: The VCF's line there; empty where there is none.
        candidates: Alleles that reads propose there, by position.
        notes: What else there is to know: what could not be checked, why there is no candidate.
    """

    contig: str
    position: int
    record: str
    candidates: tuple[Explanation, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    """A read: its cells, its strand, what it is to the allele, its mapping quality and the gradients by it."""

    cells: str
    strand: str
    role: str
    mapping_quality: int
    bases: np.ndarray
    mapping: float
    qualities: np.ndarray


def as_text(view: LocusView, sort: Sort = "influence", *, colour: bool = False) -> str:
    """Lines for a terminal; coloured, blue cells speak for the call and orange ones against it."""
    parts = [f"{view.contig}:{view.position:,}", *_told(view)]
    for candidate in view.candidates:
        parts += ["", _headline(view, candidate), ""]
        margin = " " * 39
        parts.append(f"{margin}{_letters(candidate.view.reference[0])}  reference")
        parts.append(f"{margin}{_letters(candidate.view.allele[0])}  allele")
        parts.append(f"{margin}{' ' * FLANK}{_MARK}")
        parts.append(f"{'role':<8}{'MAPQ':>5}{'by MAPQ':>12}{'by bases':>12}")
        largest = max((float(np.abs(row.bases).max()) for row in _rows(candidate, sort)), default=0.0)
        for row in _rows(candidate, sort):
            cells = _coloured(row, largest) if colour else row.cells
            numbers = f"{row.mapping:>+12.4f}{float(row.bases.sum()):>+12.4f}"
            parts.append(f"{row.role:<8}{row.mapping_quality:>5}{numbers}  {cells}".rstrip())
    return "\n".join(parts) + "\n"


def as_html(view: LocusView, sort: Sort = "influence") -> str:
    """One page that needs no other file; whatever comes from a file is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("diffbio_flows.reports", ".")
    page = Environment(autoescape=True, undefined=StrictUndefined, loader=loader).get_template("locus.html.j2")
    candidates = []
    for candidate in view.candidates:
        rows = list(_rows(candidate, sort))
        largest = max((float(np.abs(row.bases).max()) for row in rows), default=0.0) or 1.0
        shown = [
            {
                "row": row,
                "bases": float(row.bases.sum()),
                "cells": [
                    {"text": text, "strength": float(slope) / largest, "quality": int(quality)}
                    for text, slope, quality in zip(row.cells, row.bases, row.qualities, strict=True)
                ],
            }
            for row in rows
        ]
        candidates.append(
            {
                "headline": _headline(view, candidate),
                "reference": _letters(candidate.view.reference[0]),
                "allele": _letters(candidate.view.allele[0]),
                "rows": shown,
            }
        )
    place = f"{view.contig}:{view.position:,}"
    return page.render(place=place, told=list(_told(view)), candidates=candidates, middle=FLANK)


def as_png(view: LocusView, sort: Sort = "influence") -> bytes:
    """A picture: a cell is blue where a better base speaks for the call, orange where it speaks against it."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    colours = LinearSegmentedColormap.from_list("by sign", ["#d98032", "white", "#2f6f9f"])

    shown = [(candidate, list(_rows(candidate, sort))) for candidate in view.candidates]
    heights = [len(rows) + 5 for _, rows in shown] or [1]
    figure = Figure(figsize=(9, 0.17 * sum(heights) + 0.6), layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    figure.suptitle(f"{view.contig}:{view.position:,}", fontsize=9)
    for axes, (candidate, rows) in zip(panels, shown, strict=False):
        slopes = np.array([row.bases for row in rows]) if rows else np.zeros((1, 2 * FLANK + 1))
        limit = float(np.abs(slopes).max()) or 1.0
        axes.imshow(slopes, cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
        lines = [_letters(candidate.view.reference[0]), *(row.cells for row in rows)]
        for number, line in enumerate(lines, start=-1):
            for column, letter in enumerate(line):
                if letter != " ":
                    axes.text(column, number, letter, ha="center", va="center", fontsize=6, family="monospace")
        labels = [f"{row.role}, MAPQ {row.mapping_quality}" for row in rows]
        axes.set_yticks(range(-1, len(rows)), ["reference", *labels], fontsize=6)
        axes.set_ylim(max(len(rows), 1) - 0.5, -1.5)
        axes.set_xticks([FLANK], [f"{candidate.position + 1:,}"], fontsize=6)
        axes.set_title(_headline(view, candidate), fontsize=7, loc="left")
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=150, metadata={"Software": None})
    return data.getvalue()


def _told(view: LocusView) -> Iterator[str]:
    yield view.record or "no record"
    yield from view.notes


def _headline(view: LocusView, candidate: Explanation) -> str:
    shares = ", ".join(f"{copies}: {share:.4g}" for copies, share in enumerate(candidate.probabilities))
    reads = candidate.view.group.shape[1]
    seen = f"{reads} reads" if reads == candidate.depth else f"{reads} of {candidate.depth} reads"
    place = f"{view.contig}:{candidate.position + 1:,}"
    line = f"{place} {candidate.change}   copies {shares}   {seen}"
    if (repeat := candidate.repeat) is not None:
        lengths = ", ".join(
            f"{length:+d}: {reads:.3g}" if length else f"0: {reads:.3g}"
            for length, reads in zip(repeat.shown.tolist(), repeat.reads.tolist(), strict=True)
        )
        line += f"   repeat of {repeat.tract} bp, reads past its ends by the length that they show {lengths}"
    return line


def _rows(candidate: Explanation, sort: Sort) -> Sequence[_Row]:
    view = candidate.view
    order = np.arange(view.group.shape[1])
    if sort == "influence":
        order = np.argsort(-candidate.influence, kind="stable")
    return [_row(candidate, int(place)) for place in order]


def _row(candidate: Explanation, place: int) -> _Row:
    view = candidate.view
    group = int(view.group[0, place]) - 1
    reverse = group % 2 == 1
    cells = [
        _cell(int(symbol), int(reference), reverse=reverse)
        for symbol, reference in zip(view.symbol[0, place], view.reference[0], strict=True)
    ]
    return _Row(
        "".join(cells),
        "-" if reverse else "+",
        ROLES.get(group // 2, "either"),
        int(view.mapping_quality[0, place]),
        candidate.base_quality[place],
        float(candidate.mapping_quality[place]),
        view.base_quality[0, place],
    )


def _cell(symbol: int, reference: int, *, reverse: bool) -> str:
    """As samtools' pileup: a dot or a comma matches, letters differ, lower case on the reverse strand; + inserts."""
    code = symbol & CODE_MASK
    if code == NO_READ:
        return " "
    if symbol & INSERTION_AFTER:
        return "+"
    if code == DELETED:
        return "*"
    if symbol & DELETION_AFTER:
        return "-"
    if code == reference:
        return "," if reverse else "."
    return BASES[code].lower() if reverse else BASES[code]


def _letters(codes: np.ndarray) -> str:
    return "".join(BASES[code] for code in codes)


def _coloured(row: _Row, largest: float) -> str:
    """Cells that matter in colour, those that hardly do dim."""
    parts = []
    for letter, slope in zip(row.cells, row.bases, strict=True):
        if letter == " ":
            parts.append(letter)
        elif abs(slope) < largest / 20:
            parts.append(f"{_DIM}{letter}{_OFF}")
        else:
            parts.append(f"{_FOR if slope > 0 else _AGAINST}{letter}{_OFF}")
    return "".join(parts)
