"""Where mates overlap: the better of two bases in each column, so that a fragment counts once, with what is best known.

As in samtools' pileup (``tweak_overlap_quality``): bases that agree keep the higher quality; of two that differ the one
of higher quality stays with 4/5 of it, and of two of equal quality none (N). An N gives way to any base. Where mates
are aligned with different indels in the overlap, the one that starts first (of two at one place, the file's first) is
used alone, unless the other's bases are clearly better.
"""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from diffbio_core.reads.records import (
    CIGAR_D,
    CIGAR_I,
    CIGAR_M,
    CIGAR_N,
    CIGAR_S,
    MATE_OVERLAP,
    USED,
    ReadTable,
    is_unnamed,
    little_endian_16,
    little_endian_32,
    next_run,
    pair_number,
)
from diffbio_core.windows.encoding import MISSING_QUALITY, N_BASE

CLEARLY_BETTER = 10
"""Phred by which the mean quality of the second mate's overlapping bases must be higher for it to be used alone."""

_N_NIBBLE = 15


def settle_mates(
    raw: UInt8[np.ndarray, "bytes"], table: ReadTable, file_start: Int32[np.ndarray, "reads"] | None = None
) -> Int64[np.ndarray, "reads"]:
    """Decide each pair of overlapping mates.

    Args:
        raw: Bytes that the table's offsets point into.
        table: Reads in file order, overlapping mates among them; ``start``, ``end`` and ``fate`` change where the
            second mate is used alone.
        file_start: Where the file has each read, if that is not ``alignment_start``.

    Returns:
        Byte offset of the record that a read is joined with, or -1.
    """
    mate = np.full(len(table), -1, np.int64)
    starts = table.start, table.alignment_start, table.alignment_start if file_start is None else file_start
    _settle(raw, table.offset, *starts, table.end, table.fate, table.pair, mate)
    return mate


def find_mates(raw: UInt8[np.ndarray, "bytes"], table: ReadTable, moved: Bool[np.ndarray, "reads"]) -> None:
    """Give reads that may overlap their mates since some of them moved the number of a pair.

    Args:
        raw: Bytes that the table's offsets point into.
        table: Reads in file order, where the file has them; ``pair`` changes.
        moved: Reads that lie elsewhere now.
    """
    _find_mates(raw, table.offset, table.alignment_start, table.name_hash, table.pair, moved)


@numba.njit(cache=True, nogil=True)
def _find_mates(raw, offset, position, name_hash, pair, moved):
    slots = 64
    while slots < 2 * moved.sum():
        slots *= 2
    names = np.zeros(slots, np.uint64)
    number = 0
    for read in range(pair.size):
        if moved[read] and pair[read] == 0:
            slot = np.int64(name_hash[read] & np.uint64(slots - 1))
            while names[slot] != 0:
                slot = (slot + 1) & (slots - 1)
            names[slot] = max(name_hash[read], np.uint64(1))
            number += 1
    for read in range(pair.size if number else 0):
        if pair[read] != 0:
            continue
        slot = np.int64(name_hash[read] & np.uint64(slots - 1))
        while names[slot] != 0 and names[slot] != name_hash[read]:
            slot = (slot + 1) & (slots - 1)
        if names[slot] != 0 and not is_unnamed(raw, offset[read]):
            pair[read] = pair_number(raw, offset[read], np.int64(position[read]), name_hash[read])


@numba.njit(cache=True, nogil=True)
def _settle(raw, offset, start, alignment_start, file_start, end, fate, pair, mate):
    slots = 64
    while slots < 2 * pair.size:
        slots *= 2
    first_of_slot = np.full(slots, -1, np.int64)
    for read in range(pair.size):
        if pair[read] == 0 or (fate[read] != USED and fate[read] != MATE_OVERLAP):
            continue
        slot = np.int64(pair[read] & np.uint64(slots - 1))
        while first_of_slot[slot] >= 0 and pair[first_of_slot[slot]] != pair[read]:
            slot = (slot + 1) & (slots - 1)
        first, second = first_of_slot[slot], np.int64(read)
        if first < 0:
            first_of_slot[slot] = read
            continue
        if little_endian_32(raw, offset[read] + 24) > file_start[read]:
            # A record that the file holds twice: the mate of both comes later.
            continue
        if fate[first] != USED or mate[first] >= 0:
            continue
        # Either may have been aligned anew since they were described.
        if alignment_start[second] < alignment_start[first]:
            first_of_slot[slot] = second
            first, second = second, first
            start[first] = alignment_start[first]
            fate[first] = USED
        begin = np.int64(alignment_start[second])
        start[second] = min(max(end[first], begin), end[second])
        fate[second] = MATE_OVERLAP if end[first] >= end[second] else USED
        stop = np.int64(min(end[first], end[second]))
        if begin >= stop:
            continue
        if _shared_bases(raw, offset[first], offset[second], begin, stop)[2] >= 0:
            mate[first] = offset[second]
        elif (
            _mean_quality(raw, offset[second], begin, stop)
            >= _mean_quality(raw, offset[first], begin, stop) + CLEARLY_BETTER
        ):
            end[first] = begin
            start[second] = begin
            fate[second] = USED
            if begin <= start[first]:
                fate[first] = MATE_OVERLAP


@numba.njit(cache=True, nogil=True)
def join_mates(raw, record, other_record, codes, phred, other_codes, other_phred):
    """Put the better bases of the overlap into ``codes``; returns the read's qualities, a copy.

    Args:
        raw: Bytes that hold both records.
        record: Byte offset of the first mate's fixed part.
        other_record: Of the second's.
        codes: Base codes of the first.
        phred: Its qualities.
        other_codes: Base codes of the second.
        other_phred: Its qualities.
    """
    joined = np.empty(phred.size, np.uint8)
    for place in range(phred.size):
        joined[place] = MISSING_QUALITY if phred[place] == 255 else phred[place]
    begin = little_endian_32(raw, other_record + 4)
    stop = min(_end(raw, record), _end(raw, other_record))
    here, there, number = _shared_bases(raw, record, other_record, begin, stop)
    for step in range(number):
        code, other = codes[here + step], other_codes[there + step]
        quality = joined[here + step]
        other_quality = other_phred[there + step]
        if other_quality == 255:
            other_quality = np.uint8(MISSING_QUALITY)
        if other >= N_BASE:
            continue
        if code >= N_BASE:
            code, quality = other, other_quality
        elif code == other:
            quality = max(quality, other_quality)
        elif quality == other_quality:
            code, quality = np.uint8(N_BASE), np.uint8(0)
        elif quality < other_quality:
            code, quality = other, np.uint8(4 * np.int64(other_quality) // 5)
        else:
            quality = np.uint8(4 * np.int64(quality) // 5)
        codes[here + step] = code
        joined[here + step] = quality
    return joined


@numba.njit(cache=True, nogil=True)
def _shared_bases(raw, record, other_record, begin, stop):
    """First base of both mates in [begin, stop), and number of bases there; -1 where their indels differ."""
    here, operation, run = _run_at(raw, record, begin)
    there, other_operation, other_run = _run_at(raw, other_record, begin)
    if run <= 0 or other_run <= 0:
        return here, there, np.int64(-1)
    operations = little_endian_16(raw, record + 12)
    other_operations = little_endian_16(raw, other_record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    other_cigar = other_record + 32 + np.int64(raw[other_record + 8])
    kind = other_kind = np.int64(CIGAR_M)
    column = np.int64(begin)
    number = np.int64(0)
    while column < stop:
        if kind != other_kind:
            return here, there, np.int64(-1)
        if kind == CIGAR_M:
            step = min(run, other_run, stop - column)
            column += step
            number += step
            run -= step
            other_run -= step
        elif run != other_run or run == 0:
            return here, there, np.int64(-1)
        else:
            if kind == CIGAR_I:
                number += run
            elif kind == CIGAR_D or kind == CIGAR_N:
                column += run
            else:
                return here, there, np.int64(-1)
            run = other_run = np.int64(0)
        if run == 0:
            kind, run, operation = next_run(raw, cigar, operation, operations)
        if other_run == 0:
            other_kind, other_run, other_operation = next_run(raw, other_cigar, other_operation, other_operations)
    return here, there, number


@numba.njit(cache=True, nogil=True)
def _run_at(raw, record, position):
    """Base of a read at a position, the operation behind its run of matches, and what is left of the run; or 0."""
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    column = little_endian_32(raw, record + 4)
    query = np.int64(0)
    operation = 0
    while operation < operations and column <= position:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        if kind == CIGAR_M and position < column + run:
            return query + position - column, operation, column + run - position
        if kind == CIGAR_M or kind == CIGAR_D or kind == CIGAR_N:
            column += run
        if kind == CIGAR_M or kind == CIGAR_I or kind == CIGAR_S:
            query += run
    return query, operation, np.int64(0)


@numba.njit(cache=True, nogil=True)
def _mean_quality(raw, record, begin, stop):
    """Mean quality of the bases aligned in [begin, stop), N counted as 0."""
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    length = little_endian_32(raw, record + 16)
    sequence = cigar + 4 * operations
    qualities = sequence + (length + 1) // 2
    column = little_endian_32(raw, record + 4)
    query = np.int64(0)
    total = np.int64(0)
    number = np.int64(0)
    operation = 0
    while operation < operations:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        if kind == CIGAR_M:
            for step in range(max(begin - column, 0), min(stop - column, run)):
                place = query + step
                nibble = (raw[sequence + place // 2] >> (4 if place % 2 == 0 else 0)) & 15
                quality = np.int64(raw[qualities + place])
                if nibble != _N_NIBBLE:
                    total += MISSING_QUALITY if quality == 255 else quality
                number += 1
        if kind == CIGAR_M or kind == CIGAR_D or kind == CIGAR_N:
            column += run
        if kind == CIGAR_M or kind == CIGAR_I or kind == CIGAR_S:
            query += run
    return total / max(number, 1)


@numba.njit(cache=True, nogil=True)
def _end(raw, record):
    """One past the last reference position of a read."""
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    column = little_endian_32(raw, record + 4)
    operation = 0
    while operation < operations:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        if kind == CIGAR_M or kind == CIGAR_D or kind == CIGAR_N:
            column += run
    return column
