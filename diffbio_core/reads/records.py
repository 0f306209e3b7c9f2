"""Raw BAM records -> the reads that count, described in one pass (SAM specification 4.2).

What becomes of each kind of record, here and in ``packing``:

- Set aside and counted, by the first reason that holds: a record that contradicts itself (``malformed``), unmapped
  (with a position or without), secondary, supplementary, QC-fail, duplicate, one whose CIGAR is ``*`` or aligns no base
  (``no_cigar``; so does the stand-in of a CIGAR of more than 65,535 operations), one without sequence, a read that
  lies within its mate (``mate_overlap``), and reads of places that are too deep (``thinned``, see ``thinning``).
- ``=`` and ``X`` are ``M``. Hard clips and padding are nothing; soft-clipped bases are passed over. ``N`` leaves
  columns without a read, which no other read of the lane takes. Operations of length 0 are nothing.
- A deletion before the first base covers nothing; one behind the last base covers its columns as deleted. An insertion
  or deletion that no column of the read stands before, such as a leading one or one behind an ``N``, is no allele.
- Base qualities that are missing (0xFF) are 30; a mapping quality of 255, which means unknown, is 60.
- Bases other than A, C, G and T, in reads and in the reference, are N: they show no allele and match nothing.
- Columns outside the contig hold what a read aligns there, but no candidate.
- ``=`` in a sequence is the reference's base.
- Mates are reads of one name that name each other's positions. Where they overlap, the one that comes first in the file
  is used, with the better of both bases in each column, and the other from the first position past it; where their
  indels differ there, one of them is used alone (see ``mates``). Reads whose name is missing (``*``) have no mate.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numba
import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt64

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

_FATE = {name: index for index, name in enumerate(SET_ASIDE)}
USED, UNMAPPED, SECONDARY, SUPPLEMENTARY, QC_FAIL, DUPLICATE = (_FATE[name] for name in SET_ASIDE[:6])
NO_SEQUENCE, NO_CIGAR, MALFORMED, MATE_OVERLAP, THINNED, LANE_OVERFLOW = (_FATE[name] for name in SET_ASIDE[6:])

CIGAR_M, CIGAR_I, CIGAR_D, CIGAR_N, CIGAR_S, CIGAR_H, CIGAR_P, CIGAR_EQ, CIGAR_X = range(9)

_LAST_POSITION = 2**31 - 1
_SMALLEST_RECORD = 36


class MalformedRecords(ValueError):
    """Bytes that are no BAM records."""


@dataclass
class ReadTable:
    """Records of an interval in file order, one entry each.

    Attributes:
        offset: Byte offset of the record's fixed part in the raw bytes.
        start: First reference position (0-based) that the read is used from: its own start, or past its mate's end.
        alignment_start: First reference position (0-based) of the alignment.
        end: One past the last reference position.
        name_hash: Hash of the read's name, the same for both mates.
        fate: Index into ``SET_ASIDE``.
        pair: The same number for two mates that overlap; 0 for other reads.
    """

    offset: Int64[np.ndarray, "reads"]
    start: Int32[np.ndarray, "reads"]
    alignment_start: Int32[np.ndarray, "reads"]
    end: Int32[np.ndarray, "reads"]
    name_hash: UInt64[np.ndarray, "reads"]
    fate: UInt8[np.ndarray, "reads"]
    pair: UInt64[np.ndarray, "reads"]

    def __len__(self) -> int:
        return self.offset.size

    @classmethod
    def empty(cls, number: int) -> ReadTable:
        """Room for a number of reads."""
        kinds = (np.int64, np.int32, np.int32, np.int32, np.uint64, np.uint8, np.uint64)
        return cls(*(np.empty(number, kind) for kind in kinds))

    def select(self, chosen: Bool[np.ndarray, "reads"]) -> ReadTable:
        """Some of the reads."""
        return ReadTable(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def count_fates(self, start: int, stop: int) -> Int64[np.ndarray, "fates"]:
        """Number of reads by fate among those whose alignment starts in [start, stop)."""
        inside = (self.alignment_start >= start) & (self.alignment_start < stop)
        return np.bincount(self.fate[inside], minlength=len(SET_ASIDE))


class RecordScan:
    """Describes the records of one interval, piece by piece in file order, and finds mates across pieces.

    Args:
        reference_id: The contig's number in the BAM header.
        start: First position of the interval (0-based).
        stop: One past its last position.
    """

    def __init__(self, reference_id: int, start: int, stop: int) -> None:
        self._interval = reference_id, start, stop
        self._passed = start
        self._pair_hash = np.zeros(0, np.uint64)
        self._pair_end = np.zeros(0, np.int32)

    def describe(self, raw: UInt8[np.ndarray, "bytes"]) -> ReadTable:
        """Records of a piece that overlap the interval.

        Args:
            raw: Concatenated BAM records, uncompressed, sorted by position; a cut record at the end is not looked at.

        Raises:
            MalformedRecords: A record's size is impossible, so that what follows it cannot be found.
        """
        contig, start, stop = self._interval
        offsets, fault = _record_offsets(raw, contig, stop)
        if fault >= 0:
            raise MalformedRecords(f"no BAM record can start at byte {fault} of {raw.size}")
        table = ReadTable.empty(offsets.size)
        table.offset[:] = offsets
        self._pair_hash, self._pair_end = _carry_mates(self._pair_hash, self._pair_end, self._passed, offsets.size)
        self._passed = _describe(
            raw,
            offsets,
            table.start,
            table.alignment_start,
            table.end,
            table.name_hash,
            table.fate,
            table.pair,
            self._pair_hash,
            self._pair_end,
            start,
        )
        inside = (table.end > start) & (table.start < stop)
        return table if inside.all() else table.select(inside)


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
def little_endian_16(raw, offset):
    """Unsigned 16-bit integer at a byte offset."""
    return np.int64(raw[offset]) | (np.int64(raw[offset + 1]) << 8)


@numba.njit(cache=True, nogil=True)
def cigar_operation(raw, cigar, operation):
    """Kind and length of an operation of a CIGAR that starts at a byte offset."""
    value = little_endian_32(raw, cigar + 4 * operation) & np.int64(0xFFFFFFFF)
    return value & 15, value >> 4


@numba.njit(cache=True, nogil=True)
def next_run(raw, cigar, operation, operations):
    """Kind and length of the next operation, joined with those of its kind behind it; and the operation after them.

    Padding and operations of length 0 are skipped, so what they part is joined. ``=`` and ``X`` are M. Past the last
    operation the length is 0.
    """
    kind = np.int64(CIGAR_P)
    run = np.int64(0)
    while operation < operations:
        next_kind, length = cigar_operation(raw, cigar, operation)
        if next_kind == CIGAR_EQ or next_kind == CIGAR_X:
            next_kind = np.int64(CIGAR_M)
        if length > 0 and next_kind != CIGAR_P:
            if run > 0 and next_kind != kind:
                break
            kind = next_kind
            run += length
        operation += 1
    return kind, run, operation


@numba.njit(cache=True, nogil=True)
def _record_offsets(raw, reference_id, stop):
    """Offsets of the contig's records that start before ``stop``, and where a record's size is impossible, or -1."""
    offsets = np.empty(raw.size // _SMALLEST_RECORD + 1, np.int64)
    number = 0
    at = 0
    while at + _SMALLEST_RECORD <= raw.size:
        size = little_endian_32(raw, at)
        if size < _SMALLEST_RECORD - 4:
            return offsets[:number].copy(), at
        if at + 4 + size > raw.size:
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
    return offsets[:number].copy(), -1


@numba.njit(cache=True, nogil=True)
def _carry_mates(pair_hash, pair_end, start, reads):
    """A hash table with room for more reads, of the mates whose end lies past ``start``."""
    waiting = 0
    for slot in range(pair_hash.size):
        if pair_hash[slot] != 0 and pair_end[slot] > start:
            waiting += 1
    slots = 64
    while slots < 2 * (waiting + reads):
        slots *= 2
    new_hash = np.zeros(slots, np.uint64)
    new_end = np.zeros(slots, np.int32)
    for slot in range(pair_hash.size):
        if pair_hash[slot] != 0 and pair_end[slot] > start:
            _insert(new_hash, new_end, pair_hash[slot], pair_end[slot])
    return new_hash, new_end


@numba.njit(cache=True, nogil=True)
def _insert(pair_hash, pair_end, pair, end):
    slot = np.int64(pair & np.uint64(pair_hash.size - 1))
    while pair_hash[slot] != 0:
        slot = (slot + 1) & (pair_hash.size - 1)
    pair_hash[slot] = pair
    pair_end[slot] = end


@numba.njit(cache=True, nogil=True)
def _look_up(pair_hash, pair_end, pair):
    """Where the mate ends; -1 where no mate has been seen."""
    slot = np.int64(pair & np.uint64(pair_hash.size - 1))
    while pair_hash[slot] != 0:
        if pair_hash[slot] == pair:
            return np.int64(pair_end[slot])
        slot = (slot + 1) & (pair_hash.size - 1)
    return np.int64(-1)


@numba.njit(cache=True, nogil=True)
def _describe(raw, offsets, start, alignment_start, end, name_hash, fate, pair, pair_hash, pair_end, low):
    """Fill the table; returns the start of the last record."""
    position = np.int64(low)
    for read in range(offsets.size):
        record = offsets[read]
        position = little_endian_32(raw, record + 4)
        name_length = np.int64(raw[record + 8])
        operations = little_endian_16(raw, record + 12)
        flag = little_endian_16(raw, record + 14)
        length = little_endian_32(raw, record + 16)
        size = little_endian_32(raw, record - 4)
        start[read] = alignment_start[read] = position
        end[read] = min(position + 1, _LAST_POSITION)
        name_hash[read] = 0
        pair[read] = 0
        fate[read] = MALFORMED
        name = record + 32
        cigar = name + name_length
        record_end = cigar + 4 * operations + (length + 1) // 2 + length
        if position < 0 or length < 0 or name_length < 1 or record_end > record + size:
            continue
        span = np.int64(0)
        query = np.int64(0)
        aligned = np.int64(0)
        valid = True
        for operation in range(operations):
            kind, run = cigar_operation(raw, cigar, operation)
            if kind == CIGAR_M or kind == CIGAR_EQ or kind == CIGAR_X:
                aligned += run
            elif kind == CIGAR_D or kind == CIGAR_N:
                span += run
            elif kind == CIGAR_I or kind == CIGAR_S:
                query += run
            elif kind > CIGAR_X:
                valid = False
        span += aligned
        query += aligned
        end[read] = min(position + max(span, 1), _LAST_POSITION)
        if flag & 0x4:
            fate[read] = UNMAPPED
        elif flag & 0x100:
            fate[read] = SECONDARY
        elif flag & 0x800:
            fate[read] = SUPPLEMENTARY
        elif flag & 0x200:
            fate[read] = QC_FAIL
        elif flag & 0x400:
            fate[read] = DUPLICATE
        elif aligned == 0 and valid:
            fate[read] = NO_CIGAR
        elif length == 0:
            fate[read] = NO_SEQUENCE
        elif valid and query == length:
            fate[read] = USED
        if fate[read] != USED:
            continue
        unnamed = is_unnamed(raw, record)
        # All unnamed reads would share one hash: theirs is of their bases and qualities too.
        name_hash[read] = _hash(raw, name, record_end if unnamed else cigar - 1)
        shared = np.uint64(0) if unnamed else pair_number(raw, record, position, name_hash[read])
        if shared != 0:
            mate = little_endian_32(raw, record + 24)
            found = _look_up(pair_hash, pair_end, shared) if mate <= position else np.int64(-1)
            if found > position:
                pair[read] = shared
                start[read] = min(found, end[read])
                if found >= end[read]:
                    fate[read] = MATE_OVERLAP
            elif found < 0 and position <= mate < end[read] and end[read] > low:
                pair[read] = shared
                _insert(pair_hash, pair_end, shared, end[read])
    return position


@numba.njit(cache=True, nogil=True)
def pair_number(raw, record, position, name_hash):
    """What a named read shares with its mate and no other read, by where the file has both; 0 where it has no mate."""
    flag = little_endian_16(raw, record + 14)
    if not flag & 1 or flag & 8 or little_endian_32(raw, record + 20) != little_endian_32(raw, record):
        return np.uint64(0)
    mate = little_endian_32(raw, record + 24)
    both = (min(position, mate) << 32) ^ max(position, mate)
    return max(_mix(name_hash ^ _mix(np.uint64(both))), np.uint64(1))


@numba.njit(cache=True, nogil=True)
def is_unnamed(raw, record):
    """Whether a record's name is missing."""
    length = np.int64(raw[record + 8])
    return length < 2 or (length == 2 and raw[record + 32] == ord("*"))


@numba.njit(cache=True, nogil=True)
def _hash(raw, begin, stop):
    """FNV-1a; its high bits mix poorly on short names, which the finaliser mends."""
    hashed = np.uint64(14695981039346656037)
    for at in range(begin, stop):
        hashed = (hashed ^ np.uint64(raw[at])) * np.uint64(1099511628211)
    return _mix(hashed)


@numba.njit(cache=True, nogil=True)
def _mix(hashed):
    """Finaliser of MurmurHash3."""
    hashed ^= hashed >> np.uint64(33)
    hashed *= np.uint64(0xFF51AFD7ED558CCD)
    return hashed ^ (hashed >> np.uint64(33))
