"""Alleles that the reads of a shard propose: single-base changes, and indels with their sequence, left-aligned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt64

from diffbio_core.windows.encoding import N_BASE
from diffbio_core.windows.grid import MIN_HALO, Shard, WindowGrid

MIN_BASE_QUALITY = 13
"""Phred quality under which a base proposes no allele."""

MIN_MAPPING_QUALITY = 5
"""Mapping quality under which a read proposes no allele."""

MIN_READS = 2
"""Reads that must show an allele."""

MIN_LONG_INDEL = 2
"""Length (bp) from which one read is enough to propose an indel: sequencers rarely make one, and aligners write most
reads that hold one with mismatches, or clipped."""

MIN_FRACTION = 0.05
"""Share of the reads at the position that must show an allele."""

MAX_DELETION = 128
"""Longest deletion (bp) that is proposed."""

MAX_SHIFT = MIN_HALO - MAX_DELETION
"""Columns that an indel is shifted left at most: the aligner has done so already but for its own slips."""


class IndelEvents(NamedTuple):
    """Indels of single reads, each at its leftmost anchor: the column before the inserted or deleted bases.

    Attributes:
        window: Window within the shard whose core holds the anchor.
        lane: Lane of the read in that window.
        column: Anchor, a column of the window.
        length: +inserted or -deleted bases.
        sequence_hash: Hash of the inserted bases.
        sequence_offset: Where the inserted bases start in the shard's buffer.
        counts: Whether the read maps well enough to propose an allele.
    """

    window: Int32[np.ndarray, "events"]
    lane: UInt8[np.ndarray, "events"]
    column: Int32[np.ndarray, "events"]
    length: Int32[np.ndarray, "events"]
    sequence_hash: UInt64[np.ndarray, "events"]
    sequence_offset: Int64[np.ndarray, "events"]
    counts: Bool[np.ndarray, "events"]

    @classmethod
    def empty(cls, number: int) -> IndelEvents:
        """Room for a number of events."""
        kinds = (np.int32, np.uint8, np.int32, np.int32, np.uint64, np.int64, np.bool_)
        return cls(*(np.empty(number, kind) for kind in kinds))

    def take(self, which: np.ndarray | slice) -> IndelEvents:
        """Some of the events, in the order given."""
        return IndelEvents(*(column[which] for column in self))


@dataclass
class CandidateTable:
    """Candidate alleles of a shard, sorted by window, column, length and sequence.

    Attributes:
        window: Window within the shard whose core holds the allele's column.
        column: Column of the window: of the changed base, or of the base before an indel.
        length: 0 for a changed base, +inserted or -deleted bases else.
        code: Base code of the new base; 4 (N) for an indel.
        thinned: Reads that cover the column but are in no plane, since too many overlap there.
        support_start: First of the candidate's entries in ``support_lane``; the next candidate's is the end.
        sequence_start: First of its inserted bases in ``sequence``; the next candidate's is the end.
        support_lane: Lanes of the reads that show an indel. Who shows a changed base is read from the planes.
        sequence: Base codes of the inserted bases.
    """

    window: Int32[np.ndarray, "candidates"]
    column: Int32[np.ndarray, "candidates"]
    length: Int32[np.ndarray, "candidates"]
    code: UInt8[np.ndarray, "candidates"]
    thinned: Int32[np.ndarray, "candidates"]
    support_start: Int32[np.ndarray, "candidates+1"]
    sequence_start: Int32[np.ndarray, "candidates+1"]
    support_lane: UInt8[np.ndarray, "supports"]
    sequence: UInt8[np.ndarray, "inserted"]

    def __len__(self) -> int:
        return self.window.size

    @classmethod
    def none(cls) -> CandidateTable:
        """A table without candidates."""
        number, code, start = np.empty(0, np.int32), np.empty(0, np.uint8), np.zeros(1, np.int32)
        return cls(number, number, number, code, number, start, start, code, code)


def find_candidates(
    reference: UInt8[np.ndarray, "columns"],
    mismatches: np.ndarray,
    coverage: Int32[np.ndarray, "columns"],
    events: IndelEvents,
    inserted: UInt8[np.ndarray, "inserted"],
    thinned: Int32[np.ndarray, "columns"],
    shard: Shard,
    grid: WindowGrid,
    contig_length: int,
) -> CandidateTable:
    """Alleles shown by at least ``MIN_READS`` reads and ``MIN_FRACTION`` of those at the position; long indels by one.

    Permissive on purpose: the classifier decides.

    Args:
        reference: Base codes of the shard's columns, halo included.
        mismatches: (columns, 4) reads that show each base where it differs from the reference.
        coverage: Reads per column that may propose an allele.
        events: Indels of single reads.
        inserted: Bases that the events' ``sequence_offset`` points into.
        thinned: Reads per column that were thinned.
        shard: The windows.
        grid: Their grid.
        contig_length: Length of the contig (bp).
    """
    halo, width = grid.halo, grid.reference_length
    enough = np.maximum(MIN_READS, np.ceil(MIN_FRACTION * coverage)).astype(np.int32)
    columns, codes = np.nonzero(mismatches >= enough[:, None])
    core = columns - halo
    end = contig_length - shard.first_window * width
    inside = (core >= 0) & (core < min(shard.num_windows * width, end)) & (reference[columns] < N_BASE)
    columns, codes = columns[inside], codes[inside]
    snv = np.empty((columns.size, 6), np.int64)
    snv[:, 0] = (columns - halo) // width
    snv[:, 1] = columns - snv[:, 0] * width
    snv[:, 2] = 0
    snv[:, 3] = codes
    snv[:, 4:] = 0

    order = np.lexsort((events.sequence_hash, events.length, events.column, events.window))
    events = events.take(order)
    bounds = _runs(events.window, events.column, events.length, events.sequence_hash)
    number = np.add.reduceat(events.counts.astype(np.int64), bounds[:-1]) if bounds.size > 1 else np.empty(0, np.int64)
    head = bounds[:-1]
    place = events.window[head] * width + events.column[head]
    long = np.abs(events.length[head]) >= MIN_LONG_INDEL
    keep = number >= np.where(long, 1, enough[np.minimum(place, enough.size - 1)])
    keep &= (
        (reference[place] < N_BASE) & (place - halo < end) & (place - halo - np.minimum(events.length[head], 0) < end)
    )
    indel = np.empty((int(keep.sum()), 6), np.int64)
    indel[:, 0] = events.window[head][keep]
    indel[:, 1] = events.column[head][keep]
    indel[:, 2] = events.length[head][keep]
    indel[:, 3] = N_BASE
    indel[:, 4] = head[keep]
    indel[:, 5] = bounds[1:][keep]

    table = np.concatenate([snv, indel])
    table = table[np.lexsort((table[:, 4], table[:, 3], table[:, 2], table[:, 1], table[:, 0]))]
    supports = table[:, 5] - table[:, 4]
    lengths = np.maximum(table[:, 2], 0)
    return CandidateTable(
        table[:, 0].astype(np.int32),
        table[:, 1].astype(np.int32),
        table[:, 2].astype(np.int32),
        table[:, 3].astype(np.uint8),
        thinned[table[:, 0] * width + table[:, 1]],
        _starts(supports),
        _starts(lengths),
        _ranges(events.lane, table[:, 4], supports),
        _ranges(inserted, events.sequence_offset[table[:, 4]] if events.lane.size else table[:, 4], lengths),
    )


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def _ranges(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenation of ``values[start : start + length]``."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    return values[np.arange(total) + np.repeat(starts - (ends - lengths), lengths)]


@numba.njit(cache=True, nogil=True)
def _runs(window, column, length, sequence_hash):
    """Bounds of the runs of equal alleles."""
    bounds = [0]
    for event in range(1, window.size):
        before = event - 1
        if (
            window[event] != window[before]
            or column[event] != column[before]
            or length[event] != length[before]
            or sequence_hash[event] != sequence_hash[before]
        ):
            bounds.append(event)
    if window.size:
        bounds.append(window.size)
    return np.array(bounds)
