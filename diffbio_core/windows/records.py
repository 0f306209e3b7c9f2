"""Raw BAM records -> a table of the reads that count, in one pass (SAM specification 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt64

SET_ASIDE = (
    "used",
    "unmapped",
    "secondary",
    "supplementary",
    "qc_fail",
    "duplicate",
    "no_sequence",
    "no_cigar",
    "malformed",
    "mate_overlap",
    "thinned",
    "lane_overflow",
)
"""What became of a read; all but the first are set aside and counted under this name."""

_REASON = {name: index for index, name in enumerate(SET_ASIDE)}
USED, UNMAPPED, SECONDARY, SUPPLEMENTARY, QC_FAIL, DUPLICATE = (_REASON[name] for name in SET_ASIDE[:6])
NO_SEQUENCE, NO_CIGAR, MALFORMED, MATE_OVERLAP = (_REASON[name] for name in SET_ASIDE[6:10])
THINNED, LANE_OVERFLOW = _REASON["thinned"], _REASON["lane_overflow"]

CIGAR_M, CIGAR_I, CIGAR_D, CIGAR_N, CIGAR_S, CIGAR_H, CIGAR_P, CIGAR_EQ, CIGAR_X = range(9)

MAX_DEPTH = 256
"""Reads that may overlap one position: the lanes of a window. Above it reads are thinned."""

THINNED_DEPTH = 176
"""Depth that thinning aims at; a chance excess over MAX_DEPTH is then beyond six standard deviations."""

_DEPTH_BLOCK = 64


@dataclass
class ReadTable:
    """Reads that overlap an interval, in file order; one entry per record that was looked at.

    Attributes:
        offset: Byte offset of the record's fixed part in the raw bytes.
        start: First reference position (0-based) that the read is used from: its own start, or past its mate's end.
        alignment_start: First reference position (0-based) of the alignment.
        end: One past the last reference position.
        name_hash: FNV-1a hash of the read's name.
        fate: Index into ``SET_ASIDE``.
    """

    offset: Int64[np.ndarray, "reads"]
    start: Int32[np.ndarray, "reads"]
    alignment_start: Int32[np.ndarray, "reads"]
    end: Int32[np.ndarray, "reads"]
    name_hash: UInt64[np.ndarray, "reads"]
    fate: UInt8[np.ndarray, "reads"]

    def __len__(self) -> int:
        return self.offset.size

    def counts(self) -> dict[str, int]:
        """Number of reads by what became of them."""
        numbers = np.bincount(self.fate, minlength=len(SET_ASIDE))
        return {name: int(number) for name, number in zip(SET_ASIDE, numbers, strict=True)}


def scan_records(raw: UInt8[np.ndarray, "bytes"], reference_id: int, start: int, stop: int) -> ReadTable:
    """Reads of one contig that overlap [start, stop), with overlapping mates counted once and deep places thinned.

    A read is set aside when its record says unmapped, secondary, supplementary, QC-fail or duplicate, when it has no
    sequence or CIGAR, or when the record contradicts itself. Where the two mates of a pair overlap, the one that comes
    first in the file is used there, and the other from the first position past it. Where more than ``MAX_DEPTH`` reads
    overlap, reads are kept by a hash of their name, the same on every run and for both mates.

    Args:
        raw: Concatenated BAM records, uncompressed, sorted by position; a cut record at the end is not looked at.
        reference_id: The contig's number in the BAM header.
        start: First position of the interval (0-based).
        stop: One past its last position.
    """
    offsets = _record_offsets(raw, reference_id, start, stop)
    number = offsets.size
    table = ReadTable(
        offsets,
        np.empty(number, np.int32),
        np.empty(number, np.int32),
        np.empty(number, np.int32),
        np.empty(number, np.uint64),
        np.empty(number, np.uint8),
    )
    _describe_records(
        raw, offsets, table.start, table.alignment_start, table.end, table.name_hash, table.fate, start, stop
    )
    inside = (table.end > start) & (table.start < stop)
    if not inside.all():
        table = ReadTable(*(getattr(table, field)[inside] for field in table.__dataclass_fields__))
    _thin(table.start, table.end, table.name_hash, table.fate, start - start % _DEPTH_BLOCK, stop)
    return table


@numba.njit(cache=True, inline="always")
def little_endian_32(raw, offset):
    """Signed 32-bit integer at a byte offset."""
    return np.int64(
        np.int32(
            np.uint32(raw[offset])
            | (np.uint32(raw[offset + 1]) << np.uint32(8))
            | (np.uint32(raw[offset + 2]) << np.uint32(16))
            | (np.uint32(raw[offset + 3]) << np.uint32(24))
        )
    )


@numba.njit(cache=True, inline="always")
def little_endian_16(raw, offset):
    """Unsigned 16-bit integer at a byte offset."""
    return np.int64(raw[offset]) | (np.int64(raw[offset + 1]) << 8)


@numba.njit(cache=True)
def _record_offsets(raw, reference_id, start, stop):
    offsets = np.empty(max(16, raw.size // 64), np.int64)
    number = 0
    at = 0
    while at + 36 <= raw.size:
        size = little_endian_32(raw, at)
        if size < 32 or at + 4 + size > raw.size:
            break
        record = at + 4
        at = record + size
        contig = little_endian_32(raw, record)
        if contig != reference_id:
            if contig > reference_id or contig < 0:
                break
            continue
        if little_endian_32(raw, record + 4) >= stop:
            break
        offsets[number] = record
        number += 1
    return offsets[:number].copy()


@numba.njit(cache=True)
def _describe_records(raw, offsets, start, alignment_start, end, name_hash, fate, low, high):
    slots = 64
    while slots < 2 * offsets.size:
        slots *= 2
    mate_hash = np.zeros(slots, np.uint64)
    mate_end = np.zeros(slots, np.int32)
    for read in range(offsets.size):
        record = offsets[read]
        contig = little_endian_32(raw, record)
        position = little_endian_32(raw, record + 4)
        name_length = np.int64(raw[record + 8])
        operations = little_endian_16(raw, record + 12)
        flag = little_endian_16(raw, record + 14)
        length = little_endian_32(raw, record + 16)
        size = little_endian_32(raw, record - 4)
        start[read] = alignment_start[read] = position
        end[read] = position + 1
        name_hash[read] = 0
        cigar = record + 32 + name_length
        if length < 0 or name_length < 1 or 32 + name_length + 4 * operations + (length + 1) // 2 + length > size:
            fate[read] = MALFORMED
            continue
        span = np.int64(0)
        query = np.int64(0)
        valid = True
        for operation in range(operations):
            value = little_endian_32(raw, cigar + 4 * operation) & np.int64(0xFFFFFFFF)
            kind = value & 15
            run = value >> 4
            if kind == CIGAR_M or kind == CIGAR_EQ or kind == CIGAR_X:
                span += run
                query += run
            elif kind == CIGAR_D or kind == CIGAR_N:
                span += run
            elif kind == CIGAR_I or kind == CIGAR_S:
                query += run
            elif kind > CIGAR_X:
                valid = False
        end[read] = min(position + max(span, 1), 2147483647)
        if flag & 0x4:
            fate[read] = UNMAPPED
            continue
        if flag & 0x100:
            fate[read] = SECONDARY
            continue
        if flag & 0x800:
            fate[read] = SUPPLEMENTARY
            continue
        if flag & 0x200:
            fate[read] = QC_FAIL
            continue
        if flag & 0x400:
            fate[read] = DUPLICATE
            continue
        if operations == 0 or span == 0:
            fate[read] = NO_CIGAR
            continue
        if length == 0:
            fate[read] = NO_SEQUENCE
            continue
        if not valid or query != length:
            fate[read] = MALFORMED
            continue
        hashed = np.uint64(14695981039346656037)
        for letter in range(name_length - 1):
            hashed = (hashed ^ np.uint64(raw[record + 32 + letter])) * np.uint64(1099511628211)
        # FNV's high bits mix poorly on short names; the finaliser of MurmurHash3 spreads them.
        hashed ^= hashed >> np.uint64(33)
        hashed *= np.uint64(0xFF51AFD7ED558CCD)
        hashed ^= hashed >> np.uint64(33)
        if hashed == 0:
            hashed = np.uint64(1)
        name_hash[read] = hashed
        fate[read] = USED
        if flag & 1 and not flag & 8 and little_endian_32(raw, record + 20) == contig:
            mate = little_endian_32(raw, record + 24)
            slot = np.int64(hashed & np.uint64(slots - 1))
            found = np.int64(-1)
            if mate <= position:
                at = slot
                while mate_hash[at] != 0:
                    if mate_hash[at] == hashed:
                        found = mate_end[at]
                        break
                    at = (at + 1) & (slots - 1)
            if found > position:
                start[read] = min(found, end[read])
                if found >= end[read]:
                    fate[read] = MATE_OVERLAP
            elif found < 0 and mate >= position and mate < end[read]:
                while mate_hash[slot] != 0:
                    slot = (slot + 1) & (slots - 1)
                mate_hash[slot] = hashed
                mate_end[slot] = end[read]


@numba.njit(cache=True)
def _thin(start, end, name_hash, fate, low, high):
    """Set reads aside where more than MAX_DEPTH overlap, block by block of the contig's own fixed blocks."""
    blocks = (high - low) // _DEPTH_BLOCK + 1
    size = blocks * _DEPTH_BLOCK
    change = np.zeros(size + 1, np.int32)
    for read in range(start.size):
        if fate[read] == USED:
            first = max(start[read] - low, 0)
            last = min(end[read] - low, size)
            if first < last:
                change[first] += 1
                change[last] -= 1
    share = np.ones(blocks)
    depth = 0
    deep = False
    for block in range(blocks):
        deepest = 0
        for column in range(block * _DEPTH_BLOCK, (block + 1) * _DEPTH_BLOCK):
            depth += change[column]
            deepest = max(deepest, depth)
        if deepest > MAX_DEPTH:
            share[block] = THINNED_DEPTH / deepest
            deep = True
    if not deep:
        return
    for read in range(start.size):
        if fate[read] != USED:
            continue
        first = max(start[read] - low, 0) // _DEPTH_BLOCK
        last = min((end[read] - 1 - low) // _DEPTH_BLOCK, blocks - 1)
        smallest = 1.0
        for block in range(first, last + 1):
            smallest = min(smallest, share[block])
        if smallest < 1.0 and (name_hash[read] >> np.uint64(11)) * (1.0 / 9007199254740992.0) >= smallest:
            fate[read] = THINNED
