"""How often a library's reads slip: the rates at which they show a homopolymer longer or shorter than it is.

Slippage is of the library, PCR above all, and no view of a single candidate tells it apart from a variant; so the
model is told it. GATK's DragSTR and HipSTR estimate it from the sample for the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
from jaxtyping import Int64, UInt8

from diffbio_core.reads.records import (
    CIGAR_D,
    CIGAR_I,
    CIGAR_M,
    CIGAR_N,
    little_endian_16,
    little_endian_32,
    next_run,
)
from diffbio_core.simulation.repeats import find_tracts

if TYPE_CHECKING:
    from diffbio_core.reads.thinning import IntervalReads

SHORTEST, LONGEST = 8, 13
"""Homopolymers (bp) that are looked at: in shorter ones reads hardly slip, in longer ones few reads reach both ends."""

BESIDE = 5
"""Aligned bases (bp) that a read must have on either side of a homopolymer."""

MIN_MAPPING_QUALITY = 20

ALLELE_READS = 2
ALLELE_SHARE = 0.3
"""So many reads that show one wrong length, and such a share of all, are taken for an allele of the sample."""

TYPICAL = 0.004
TYPICAL_READS = 100
"""Where few reads were seen, rates are drawn towards a typical one, as if so many more had shown it."""

_FURTHEST = 4


@dataclass(frozen=True)
class Slippage:
    """Rates of one library, by what reads show of homopolymers of 8 to 13 bp.

    Attributes:
        longer: Share of reads that show one longer than it is.
        shorter: Share of reads that show one shorter than it is.
    """

    longer: float = TYPICAL
    shorter: float = TYPICAL


@dataclass
class SlippageCounts:
    """Reads over homopolymers, those left out where the sample seems to differ from the reference.

    Attributes:
        reads: Reads that cover one.
        longer: Of these, those that show it longer.
        shorter: Of these, those that show it shorter.
    """

    reads: int = 0
    longer: int = 0
    shorter: int = 0

    def add(self, reads: IntervalReads, codes: UInt8[np.ndarray, "positions"], start: int) -> None:
        """Counts the reads that lie wholly inside a piece of a contig.

        Args:
            reads: Of the piece.
            codes: Base codes of the piece.
            start: Its first position on the contig.
        """
        tracts = homopolymers(codes) + start
        if not len(tracts):
            return
        shown = _count(reads.raw, reads.offset, reads.start, reads.end, tracts, start, start + codes.size)
        number = shown.sum(1)
        wrong = shown.copy()
        wrong[:, _FURTHEST] = 0
        most = wrong.max(1)
        library = (most < ALLELE_READS) | (most < ALLELE_SHARE * number)
        self.reads += int(number[library].sum())
        self.shorter += int(shown[library, :_FURTHEST].sum())
        self.longer += int(shown[library, _FURTHEST + 1 :].sum())

    def rates(self) -> Slippage:
        """Rates, drawn towards `TYPICAL` where few reads were counted."""
        whole = self.reads + TYPICAL_READS
        longer, shorter = ((count + TYPICAL * TYPICAL_READS) / whole for count in (self.longer, self.shorter))
        return Slippage(round(longer, 6), round(shorter, 6))


def homopolymers(codes: UInt8[np.ndarray, "positions"]) -> Int64[np.ndarray, "tracts 2"]:
    """Start and stop of homopolymers of `SHORTEST` to `LONGEST` bp, none within `BESIDE` bp of a piece's end."""
    starts, stops, units = find_tracts(codes).T
    chosen = (units == 1) & (stops - starts >= SHORTEST) & (stops - starts <= LONGEST)
    chosen &= (starts >= BESIDE) & (stops <= codes.size - BESIDE)
    return np.stack([starts[chosen], stops[chosen]], axis=1)


@numba.njit(cache=True, nogil=True)
def _count(raw, offset, start, end, tracts, low, high):
    """Reads by tract and by net change of its length, from -_FURTHEST to +_FURTHEST."""
    shown = np.zeros((tracts.shape[0], 2 * _FURTHEST + 1), np.int64)
    first = 0
    for read in range(offset.size):
        record = offset[read]
        if raw[record + 9] < MIN_MAPPING_QUALITY or start[read] < low or end[read] > high:
            continue
        while first < tracts.shape[0] and tracts[first, 0] - BESIDE < start[read]:
            first += 1
        tract = first
        while tract < tracts.shape[0] and tracts[tract, 1] + BESIDE <= end[read]:
            change, covers = _change(raw, record, tracts[tract, 0], tracts[tract, 1])
            if covers:
                shown[tract, min(max(change, -_FURTHEST), _FURTHEST) + _FURTHEST] += 1
            tract += 1
    return shown


@numba.njit(cache=True, nogil=True)
def _change(raw, record, start, stop):
    """Net inserted bases in a tract, and whether aligned bases lie on both sides of it."""
    place = little_endian_32(raw, record + 4)
    cigar = record + 32 + np.int64(raw[record + 8])
    operations = little_endian_16(raw, record + 12)
    change = np.int64(0)
    before = after = False
    operation = np.int64(0)
    while True:
        kind, length, operation = next_run(raw, cigar, operation, operations)
        if length == 0:
            break
        if kind == CIGAR_I:
            if start <= place <= stop:
                change += length
        elif kind == CIGAR_D:
            change -= max(np.int64(0), min(stop, place + length) - max(start, place))
            place += length
        elif kind == CIGAR_M:
            before |= place <= start - BESIDE and place + length > start - BESIDE
            after |= place < stop + BESIDE and place + length >= stop + BESIDE
            place += length
        elif kind == CIGAR_N:
            if place < stop and place + length > start:
                return change, False
            place += length
    return change, before and after
