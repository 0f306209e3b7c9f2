"""Window planes -> the (reads, positions, quality) form that the documented operators take, and back.

===================== =============== ==================================================================================
key                   shape, type     meaning
===================== =============== ==================================================================================
``reads``             (N, R, 4) f4    bases over reference columns, A C G T: one-hot; N is 0.25 each, since any of them
                                      may stand there; a deleted base is zeros: it counts in a column's total only
``positions``         (N,) i4         column of each read's first cell, from the region's start; sorted
``quality``           (N, R) f4       Phred; a deleted base takes the quality before it
``read_mask``         (N, R) f4       1 for a cell of the read; 0 for padding, where all else is 0, too
``indel``             (N, R) i4       on the column before it: +length of an insertion, -length of a deletion, 0 none
``mapping_quality``   (N,) i4         Phred
``strand``            (N,) i4         0 forward, 1 reverse
===================== =============== ==================================================================================

Inserted bases have no column, so only the length of an insertion is left of it. Padding has quality 0, which a pileup
weighs with 1 - 10^0 = 0: it counts nothing even where the mask is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numba
import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8

from diffbio_core.windows.encoding import (
    CODE_MASK,
    DELETED,
    DELETION_FOLLOWS,
    INSERTION_FOLLOWS,
    N_BASE,
    NO_READ,
    NUM_RANKS,
    PLANES,
    READ_START,
    REVERSE_STRAND,
    UNKNOWN_MAPPING_QUALITY,
)
from diffbio_core.windows.lanes import LaneIndels, LaneReads, LaneRows, row_at
from diffbio_core.windows.planes import ShardPlanes

_SHARES = np.zeros((CODE_MASK + 1, 4), np.float32)
"""Share of A, C, G and T in each base code."""
_SHARES[:N_BASE] = np.eye(4)
_SHARES[N_BASE] = 0.25


def cut_reads(
    shards: Iterable[ShardPlanes], start: int, stop: int, read_length: int | None = None
) -> dict[str, np.ndarray]:
    """Reads of a region, cut at its ends.

    A read comes whole wherever windows meet. One that skips columns (CIGAR ``N``) comes as one read per stretch.

    Args:
        shards: Consecutive shards of one contig whose windows cover the region; each is looked at once, in order.
        start: First position (0-based).
        stop: One past the last position.
        read_length: Longest read (columns): longer ones come as several. That of the longest read if not given.

    Returns:
        The arrays of the table above, with ``positions`` counted from ``start``; R is ``read_length`` if given.

    Raises:
        ValueError: The region is empty, or ``read_length`` is not positive.
    """
    if start >= stop:
        raise ValueError(f"a region must hold a position, got start {start} and stop {stop}")
    if read_length is not None and read_length <= 0:
        raise ValueError(f"read_length must be positive, got {read_length}")
    parts = [_Runs.empty()]
    for planes in shards:
        parts.extend(_runs_of_windows(planes, start, stop, read_length or stop - start))
    return _pad(_Runs.joined(parts), read_length)


class Lanes(NamedTuple):
    """One window as planes and tables (see ``diffbio_core.windows``), without a halo.

    Attributes:
        planes: The planes of ``diffbio_core.windows.encoding`` by name, each (lane, position).
        reads: What is one number per read.
        indels: Indels of single reads; inserted bases, which no array of reads holds, are N.
    """

    planes: dict[str, np.ndarray]
    reads: LaneReads
    indels: LaneIndels


def lay_in_lanes(data: Mapping[str, Any], reference_length: int) -> Lanes:
    """Planes and tables of one window from reads: each goes to the first lane that is free at its start, in order.

    Args:
        data: The arrays of the table above. ``reads``, ``positions`` and ``quality`` are needed; without ``read_mask``
            a cell without base and quality is padding, without ``indel`` there are none, and without the others reads
            are forward and of mapping quality 60. A soft base is written as its likeliest, or as N where several are.
        reference_length: Columns of the window; cells beside it are left out.

    Returns:
        The window, with as many lanes as needed.

    Raises:
        ValueError: The arrays do not fit each other.
    """
    reads, positions, quality = (np.asarray(data[name]) for name in ("reads", "positions", "quality"))
    number, width = quality.shape if quality.ndim == 2 else (-1, -1)
    if reads.shape != (number, width, 4) or positions.shape != (number,):
        found = f"reads {reads.shape}, positions {positions.shape}, quality {quality.shape}"
        raise ValueError(f"reads must be (N, R, 4), positions (N,) and quality (N, R), got {found}")
    present = np.asarray(data["read_mask"]) > 0 if "read_mask" in data else (quality > 0) | reads.any(-1)
    code = np.where(present, _code(reads), NO_READ).astype(np.uint8)
    code |= (np.asarray(data.get("strand", np.zeros(number)))[:, None] > 0).astype(np.uint8) * REVERSE_STRAND
    mapping = np.asarray(data.get("mapping_quality", np.full(number, UNKNOWN_MAPPING_QUALITY))).astype(np.uint8)
    indel = np.asarray(data.get("indel", np.zeros(code.shape, np.int32)))
    code |= ((indel > 0) * INSERTION_FOLLOWS + (indel < 0) * DELETION_FOLLOWS).astype(np.uint8)
    cells = {"base": code, "base_quality": np.clip(np.rint(quality), 0, 255).astype(np.uint8)}
    order = np.argsort(positions, kind="stable")
    positions = positions[order].astype(np.int64)
    present = present[order]
    lane = _first_free_lanes(positions, present, reference_length)
    lanes = int(lane.max(initial=-1)) + 1
    planes = {name: np.full((lanes, reference_length), fill, kind) for name, (kind, fill) in PLANES.items()}
    read, place = np.nonzero(present)
    column = positions[read] + place
    inside = (column >= 0) & (column < reference_length)
    read, place, column = read[inside], place[inside], column[inside]
    for name, plane in planes.items():
        plane[lane[read], column] = cells[name][order][read, place]
    laid, first = np.unique(read, return_index=True)
    planes["base"][lane[laid], column[first]] |= READ_START
    length = indel[order][read, place].astype(np.int32)
    shown = length != 0
    length = length[shown]
    inserted = np.full(np.maximum(length, 0).sum(), N_BASE, np.uint8)
    rows = LaneRows(
        lane[laid], column[first].astype(np.int32), mapping[order][laid],
        (laid % NUM_RANKS).astype(np.uint8),  # Without names, by order.
        lane[read][shown], column[shown].astype(np.int32), length, inserted,
        np.array([laid.size, length.size, inserted.size]),
    )  # fmt: skip
    return Lanes(planes, *rows.by_lane(lanes))


@dataclass
class _Runs:
    """Stretches of columns that one read each covers without a gap; the last three arrays hold cells, run after run."""

    position: Int64[np.ndarray, "runs"]
    length: Int64[np.ndarray, "runs"]
    mapping_quality: UInt8[np.ndarray, "runs"]
    code: UInt8[np.ndarray, "cells"]
    quality: UInt8[np.ndarray, "cells"]
    indel: Int32[np.ndarray, "cells"]

    @classmethod
    def empty(cls) -> _Runs:
        return cls(*(np.empty(0, kind) for kind in ("int64", "int64", "uint8", "uint8", "uint8", "int32")))

    @classmethod
    def joined(cls, parts: list[_Runs]) -> _Runs:
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def _runs_of_windows(planes: ShardPlanes, start: int, stop: int, longest: int) -> Iterator[_Runs]:
    """Runs of each window of a shard; where windows overlap, each cell comes from one of them."""
    grid, shard = planes.grid, planes.shard
    first = start // grid.reference_length
    last = -(-stop // grid.reference_length)
    for window in range(max(first, shard.first_window), min(last, shard.last_window)):
        origin = window * grid.reference_length - grid.halo
        # A run belongs to the window whose core it starts in, which sees it up to the end of its halo.
        own, resume = (start - origin,) * 2 if window == first else (grid.halo, 2 * grid.halo)
        beyond = grid.halo + grid.reference_length
        high = min(stop - origin, grid.positions)
        within = window - shard.first_window
        base, quality = (
            np.ascontiguousarray(getattr(planes, name)[:, within]).reshape(planes.num_lanes, grid.positions)
            for name in PLANES
        )
        indel = _indels(planes, within)
        bounds = own, resume, min(beyond, high), high
        spans = np.empty((_find_runs(base, *bounds, longest, np.empty((0, 3), np.int64)), 3), np.int64)
        _find_runs(base, *bounds, longest, spans)
        lane, low, length = spans.T
        row, column = np.repeat(lane, length), np.repeat(low, length)
        column += np.arange(column.size) - np.repeat(np.cumsum(length) - length, length)
        yield _Runs(
            low + origin - start,
            length,
            planes.reads.mapping_quality[
                _rows_at(planes.reads.first, planes.reads.column, within * planes.num_lanes + lane, low)
            ],
            base[row, column],
            quality[row, column],
            indel[row, column],
        )


def _indels(planes: ShardPlanes, window: int) -> Int32[np.ndarray, "lanes positions"]:
    """Length of the indel behind each cell of a window."""
    indels, lanes = planes.indels, planes.num_lanes
    found = np.zeros((lanes, planes.grid.positions), np.int32)
    first = indels.first[window * lanes : (window + 1) * lanes + 1]
    lane = np.repeat(np.arange(lanes), np.diff(first))
    rows = slice(first[0], first[-1])
    # From the last to the first, so that of two at one place the first stays.
    found[lane[::-1], indels.column[rows][::-1]] = indels.length[rows][::-1]
    return found


@numba.njit(cache=True, nogil=True)
def _rows_at(first, column, lane, at):
    rows = np.empty(lane.size, np.int64)
    for index in range(lane.size):
        rows[index] = row_at(first, column, lane[index], at[index])
    return rows


@numba.njit(cache=True, nogil=True)
def _find_runs(base, own, resume, beyond, high, longest, spans):
    """Write (lane, first column, length) of each run as far as ``spans`` has room; returns how many there are.

    Runs that start before ``own`` are taken from ``resume`` on, those that start from ``beyond`` on are not taken, and
    none reaches past ``high``.
    """
    number = 0
    for lane in range(base.shape[0]):
        cells = base[lane]
        column = 0
        while column < beyond:
            begin = column
            column += 1
            if cells[begin] & CODE_MASK == NO_READ:
                continue
            while column < high and cells[column] & CODE_MASK != NO_READ and not cells[column] & READ_START:
                column += 1
            for low in range(begin if begin >= own else resume, column, longest):
                if number < spans.shape[0]:
                    spans[number, 0] = lane
                    spans[number, 1] = low
                    spans[number, 2] = min(longest, column - low)
                number += 1
    return number


def _pad(runs: _Runs, read_length: int | None) -> dict[str, np.ndarray]:
    """The arrays of the table above, in order of position."""
    width = int(runs.length.max(initial=0)) if read_length is None else read_length
    order = np.argsort(runs.position, kind="stable")
    present = np.arange(width) < runs.length[:, None]

    def spread(cells: np.ndarray, fill: int) -> np.ndarray:
        table = np.full(present.shape, fill, cells.dtype)
        table[present] = cells
        return table[order]

    code = spread(runs.code, NO_READ)
    return {
        "reads": _SHARES[code & CODE_MASK],
        "positions": runs.position[order].astype(np.int32),
        "quality": spread(runs.quality, 0).astype(np.float32),
        "read_mask": present[order].astype(np.float32),
        "indel": spread(runs.indel, 0).astype(np.int32),
        "mapping_quality": runs.mapping_quality[order].astype(np.int32),
        "strand": (code[:, 0] & REVERSE_STRAND > 0).astype(np.int32) if width else np.zeros(order.size, np.int32),
    }


def _code(reads: Float32[np.ndarray, "reads length 4"]) -> UInt8[np.ndarray, "reads length"]:
    """Base codes of soft bases: the likeliest, N where several are, deleted where there is none."""
    highest = reads.max(-1, initial=0)
    several = (reads == highest[..., None]).sum(-1) > 1
    return np.where(highest <= 0, DELETED, np.where(several, N_BASE, reads.argmax(-1))).astype(np.uint8)


def _first_free_lanes(
    positions: Int64[np.ndarray, "reads"], present: np.ndarray, reference_length: int
) -> Int32[np.ndarray, "reads"]:
    """Lane of each read, in order of start; -1 for one that covers no column of the window."""
    width = present.shape[1]
    any_cell = present.any(1)
    low = positions + np.where(any_cell, present.argmax(1), 0)
    high = np.where(any_cell, positions + width - present[:, ::-1].argmax(1), low)
    return _assign_lanes(np.maximum(low, 0), np.minimum(high, reference_length))


@numba.njit(cache=True, nogil=True)
def _assign_lanes(low, high):
    lane = np.full(low.size, -1, np.int32)
    lane_end = np.zeros(low.size, np.int64)
    for read in range(low.size):
        if low[read] >= high[read]:
            continue
        candidate = 0
        while lane_end[candidate] > low[read]:
            candidate += 1
        lane[read] = candidate
        lane_end[candidate] = high[read]
    return lane
