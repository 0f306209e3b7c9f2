"""Which reads an interval's planes are made of: all that count, fewer where more overlap than there are lanes.

Above ``MAX_DEPTH`` reads over a block of 64 positions, those of them are kept whose name's hash, as a number from 0 to
1, lies under the block's share; a read over several blocks needs the smallest of their shares. So what is kept is the
same on every run, of two mates in equally deep places both are kept or none, and a mate kept in the deeper place is
kept in the other too. Blocks lie on fixed positions of the contig, and depths are taken a margin past both ends of the
interval: reads that span less than ``MARGIN`` are kept or not whatever interval they are asked for in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt8

from diffbio_core.reads.mates import settle_mates
from diffbio_core.reads.realignment import REACH, realign_reads
from diffbio_core.reads.records import (
    CIGAR_D,
    CIGAR_EQ,
    CIGAR_M,
    CIGAR_N,
    CIGAR_X,
    MATE_OVERLAP,
    SET_ASIDE,
    THINNED,
    USED,
    ReadTable,
    RecordScan,
    cigar_operation,
    little_endian_16,
    little_endian_32,
)
from diffbio_core.windows.encoding import NUM_RANKS
from diffbio_core.windows.planes import MAX_LANES

MAX_DEPTH = MAX_LANES
"""Reads that may overlap one position: the lanes of a window. Above it reads are thinned."""

THINNED_DEPTH = 176
"""Depth that thinning aims at; a chance excess over MAX_DEPTH is then beyond six standard deviations."""

MARGIN = 1024
"""Positions (bp) past both ends of an interval whose depth is taken too."""

_BLOCK = 64


@dataclass
class IntervalReads:
    """The reads that an interval's planes are made of.

    Attributes:
        raw: Bytes that hold their BAM records.
        offset: Byte offset of each record's fixed part in ``raw``; reads are in order of ``start``.
        start: First reference position (0-based) that the read is used from: its own start, or past its mate's end.
        alignment_start: First reference position (0-based) of the alignment in the file.
        end: One past the last reference position that the read is used to.
        mate: Byte offset in ``raw`` of the mate that the read is joined with where they overlap, or -1.
        rank: Number below ``NUM_RANKS`` from the hash of the read's name, from other bits than those that thinning
            looks at.
        thinned: Reads that cover each position of the interval and were thinned.
        counts: Number of reads by fate (see ``SET_ASIDE``) among those that start in the interval's core.
    """

    raw: UInt8[np.ndarray, "bytes"]
    offset: Int64[np.ndarray, "reads"]
    start: Int32[np.ndarray, "reads"]
    alignment_start: Int32[np.ndarray, "reads"]
    end: Int32[np.ndarray, "reads"]
    mate: Int64[np.ndarray, "reads"]
    rank: UInt8[np.ndarray, "reads"]
    thinned: Int32[np.ndarray, "positions"]
    counts: Int64[np.ndarray, "fates"]

    def __len__(self) -> int:
        return self.offset.size

    @classmethod
    def none(cls, interval: Interval) -> IntervalReads:
        """No reads at all."""
        table = ReadTable.empty(0)
        lost = np.zeros(interval.stop - interval.start, np.int32)
        return _in_order(np.empty(0, np.uint8), table, interval, lost, np.zeros(len(SET_ASIDE), int))


@dataclass(frozen=True)
class Interval:
    """Where reads are wanted, on one contig, 0-based half-open.

    Attributes:
        reference_id: The contig's number in the BAM header.
        start: First position of the planes.
        stop: One past their last position.
        core_start: First position of the interval that reads are counted in.
        core_stop: One past its last position; the cores of a contig's intervals cover it once.
    """

    reference_id: int
    start: int
    stop: int
    core_start: int
    core_stop: int

    @property
    def scanned(self) -> tuple[int, int]:
        """Positions whose reads have to be looked at, whole blocks: the interval with ``MARGIN`` on both sides."""
        return (self.start - MARGIN) // _BLOCK * _BLOCK, -(-(self.stop + MARGIN) // _BLOCK) * _BLOCK

    def under(self, scanned: UInt8[np.ndarray, "positions"]) -> UInt8[np.ndarray, "columns"]:
        """What of base codes of ``scanned`` lies under the planes."""
        low = self.scanned[0]
        return scanned[self.start - low : self.stop - low]


def scan_records(
    raw: UInt8[np.ndarray, "bytes"],
    interval: Interval,
    reference: UInt8[np.ndarray, "positions"] | None = None,
    memory: UInt8[np.ndarray, "room"] | None = None,
) -> IntervalReads:
    """The reads to use out of the records of an interval.

    Args:
        raw: Concatenated BAM records, uncompressed and sorted, among them all that overlap ``interval.scanned``; a cut
            record at the end is not looked at.
        interval: Where reads are wanted.
        reference: Base codes of ``interval.scanned``, to align reads through long indels that they are clipped at (see
            ``realignment``); without it reads stay as they are aligned.
        memory: What ``raw`` is the beginning of, if what lies behind it may be written over: records of reads that are
            aligned anew find room there; without it all of ``raw`` is copied beside them.

    Raises:
        MalformedRecords: A record's size is impossible.
    """
    depth = _Depth(interval)
    table = RecordScan(interval.reference_id, *interval.scanned).describe(raw)
    depth.add(table)
    depth.thin(raw, table)
    counts = table.count_fates(interval.core_start, interval.core_stop)
    return _in_order(raw, _wanted(table, interval), interval, depth.thinned, counts, reference, memory)


def scan_pieces(
    pieces: Callable[[], Iterable[UInt8[np.ndarray, "bytes"]]],
    interval: Interval,
    reference: UInt8[np.ndarray, "positions"] | None = None,
) -> IntervalReads:
    """The same reads as those of ``scan_records``, out of more records than memory should hold at once.

    Args:
        pieces: Gives the records of an interval in pieces of whole records; called twice. A piece may lie in memory
            that the next one uses again.
        interval: Where reads are wanted.
        reference: See ``scan_records``.

    Raises:
        MalformedRecords: A record's size is impossible.
    """
    depth = _Depth(interval)
    scan = RecordScan(interval.reference_id, *interval.scanned)
    for raw in pieces():
        depth.add(scan.describe(raw))
    scan = RecordScan(interval.reference_id, *interval.scanned)
    counts = np.zeros(len(SET_ASIDE), np.int64)
    kept: list[tuple[np.ndarray, ReadTable]] = []
    size = 0
    for raw in pieces():
        table = scan.describe(raw)
        depth.thin(raw, table)
        counts += table.count_fates(interval.core_start, interval.core_stop)
        table = _wanted(table, interval)
        records, table.offset = _copy_records(raw, table.offset)
        table.offset += size
        size += records.size
        kept.append((records, table))
    if not kept:
        return IntervalReads.none(interval)
    tables = [table for _, table in kept]
    joined = ReadTable(*(np.concatenate([getattr(t, name) for t in tables]) for name in ReadTable.__dataclass_fields__))
    raw = np.concatenate([records for records, _ in kept])
    return _in_order(raw, joined, interval, depth.thinned, counts, reference)


def _wanted(table: ReadTable, interval: Interval) -> ReadTable:
    """Reads of the interval and those that may tell how they are aligned, with mates that lie within their first."""
    counted = (table.fate == USED) | ((table.fate == MATE_OVERLAP) & (table.pair != 0))
    low, high = interval.start - REACH, interval.stop + REACH
    return table.select(counted & (table.end > low) & (table.alignment_start < high))


def _in_order(
    raw: np.ndarray,
    table: ReadTable,
    interval: Interval,
    thinned: np.ndarray,
    counts: np.ndarray,
    reference: np.ndarray | None = None,
    memory: np.ndarray | None = None,
) -> IntervalReads:
    # A read is counted where its file has it.
    alignment_start = table.alignment_start.copy()
    before = table.count_fates(interval.core_start, interval.core_stop)
    if reference is not None:
        raw = realign_reads(raw, table, reference, interval.scanned[0], memory)
    mate = settle_mates(raw, table, alignment_start)
    table.alignment_start = alignment_start
    counts = counts + table.count_fates(interval.core_start, interval.core_stop) - before
    used = (table.fate == USED) & (table.end > interval.start) & (table.start < interval.stop)
    table, mate = table.select(used), mate[used]
    order = np.argsort(table.start, kind="stable")
    rank = (table.name_hash % np.uint64(NUM_RANKS)).astype(np.uint8)
    return IntervalReads(
        raw=raw,
        offset=table.offset[order],
        start=table.start[order],
        alignment_start=table.alignment_start[order],
        end=table.end[order],
        mate=mate[order],
        rank=rank[order],
        thinned=thinned,
        counts=counts,
    )


class _Depth:
    """Depth of used reads over the scanned positions of an interval."""

    def __init__(self, interval: Interval) -> None:
        self._low, high = interval.scanned
        self._wanted = slice(interval.start - self._low, interval.stop - self._low)
        self._change = np.zeros(high - self._low + 1, np.int32)
        self._lost = np.zeros_like(self._change)
        self._shares: Float64[np.ndarray, "blocks"] | None = None

    def add(self, table: ReadTable) -> None:
        """Count a table's reads."""
        _add_depth(table.start, table.end, table.fate, self._low, self._change)

    @property
    def thinned(self) -> Int32[np.ndarray, "positions"]:
        """Reads set aside so far that cover each position of the interval."""
        return np.cumsum(self._lost, dtype=np.int32)[self._wanted]

    def thin(self, raw: UInt8[np.ndarray, "bytes"], table: ReadTable) -> None:
        """Set reads of a table aside, once all tables have been added."""
        if self._shares is None:
            deepest = np.cumsum(self._change[:-1], dtype=np.int32).reshape(-1, _BLOCK).max(1)
            self._shares = np.where(deepest > MAX_DEPTH, THINNED_DEPTH / np.maximum(deepest, 1), 1.0)
        if self._shares.min() < 1:
            read = table.start, table.end, table.name_hash, table.fate
            _thin(raw, table.offset, *read, self._low, self._shares, self._lost)


@numba.njit(cache=True, nogil=True)
def _add_depth(start, end, fate, low, change):
    columns = change.size - 1
    for read in range(start.size):
        if fate[read] == USED:
            first = max(start[read] - low, 0)
            last = min(end[read] - low, columns)
            if first < last:
                change[first] += 1
                change[last] -= 1


@numba.njit(cache=True, nogil=True)
def _thin(raw, offset, start, end, name_hash, fate, low, shares, lost):
    for read in range(start.size):
        if fate[read] != USED:
            continue
        first = max(start[read] - low, 0) // _BLOCK
        last = min((end[read] - 1 - low) // _BLOCK, shares.size - 1)
        smallest = 1.0
        for block in range(first, last + 1):
            smallest = min(smallest, shares[block])
        # The upper 53 bits are a float64's.
        if smallest < 1 and (name_hash[read] >> np.uint64(11)) * (1.0 / 9007199254740992.0) >= smallest:
            fate[read] = THINNED
            _add_covered(raw, offset[read], start[read] - low, low, lost)


@numba.njit(cache=True, nogil=True)
def _add_covered(raw, record, begin, low, change):
    """Count the columns from ``begin`` on that a read covers; ``low`` is the position of the first column."""
    columns = change.size - 1
    column = little_endian_32(raw, record + 4) - low
    cigar = record + 32 + np.int64(raw[record + 8])
    for operation in range(little_endian_16(raw, record + 12)):
        kind, run = cigar_operation(raw, cigar, operation)
        if kind == CIGAR_M or kind == CIGAR_EQ or kind == CIGAR_X or kind == CIGAR_D:
            first = max(column, begin, 0)
            last = min(column + run, columns)
            if first < last:
                change[first] += 1
                change[last] -= 1
            column += run
        elif kind == CIGAR_N:
            column += run


@numba.njit(cache=True, nogil=True)
def _copy_records(raw, offset):
    """The records one after the other without their tags, and their new offsets."""
    size = 0
    for read in range(offset.size):
        size += 4 + _size_without_tags(raw, offset[read])
    records = np.empty(size, np.uint8)
    moved = np.empty_like(offset)
    at = 0
    for read in range(offset.size):
        length = _size_without_tags(raw, offset[read])
        for byte in range(4):
            records[at + byte] = (length >> (8 * byte)) & 255
        moved[read] = at + 4
        records[at + 4 : at + 4 + length] = raw[offset[read] : offset[read] + length]
        at += 4 + length
    return records, moved


@numba.njit(cache=True, nogil=True)
def _size_without_tags(raw, record):
    length = little_endian_32(raw, record + 16)
    return 32 + np.int64(raw[record + 8]) + 4 * little_endian_16(raw, record + 12) + (length + 1) // 2 + length
