"""Reads that an aligner clipped at a long insertion or deletion, aligned through it.

A gap costs an aligner more than the bases that it would win in a read that reaches a little past a long indel, so it
clips them, and of the reads that hold the allele hardly one shows it. What reads propose (see ``long_indels``) is tried
on every read that is aligned up to it, as GATK's IndelRealigner tried known indels: one after the other, as long as
one fits a read better than what it has, so that a read may go through several. An aligner writes indels that lie close
together as one, as several, or clips: reads that it wrote with gaps are tried, too, so that all show them in one way.

A read's score is 1 for an aligned base that is the reference's and -4 for another, -5 for each gap, 1 for an inserted
base and -4 for one that is not as most reads have it. It never falls. What becomes of a read depends on the reads
within ``REACH`` of it alone.
"""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import UInt8

from diffbio_core.reads.bases import decode_read
from diffbio_core.reads.long_indels import LONGEST, MOST_INNER, long_indels, same_base
from diffbio_core.reads.mates import find_mates
from diffbio_core.reads.records import (
    CIGAR_D,
    CIGAR_I,
    CIGAR_M,
    CIGAR_N,
    CIGAR_S,
    MATE_OVERLAP,
    USED,
    ReadTable,
    little_endian_16,
    little_endian_32,
    next_run,
)
from diffbio_core.windows.encoding import N_BASE

REACH = 768
"""Positions (bp) past the planes whose reads are looked at."""

MIN_CERTAIN_QUALITY = 20
"""Phred quality under which an inserted base is spelled as most reads spell it."""

_BESIDE = 64  # positions past a read's aligned bases at which an indel is tried on its clipped ones
_MATCH, _MISMATCH, _GAP = 1, -4, -5  # as bwa scores, but a gap that other reads show costs little
_LEAST_BESIDE = 3  # bases of a read on either side of a gap
_MOST_ADDED = 6  # indels that one read is aligned through
_MOST_GAPS = _MOST_ADDED * (MOST_INNER + 1)
_MOST_OPERATIONS = 65000  # a record has room for 65,535


def realign_reads(
    raw: UInt8[np.ndarray, "bytes"],
    table: ReadTable,
    reference: UInt8[np.ndarray, "positions"],
    first: int,
    memory: UInt8[np.ndarray, "room"] | None = None,
) -> UInt8[np.ndarray, "bytes"]:
    """Align reads that are clipped at a long indel through it.

    Args:
        raw: Bytes that the table's offsets point into.
        table: Reads in file order; ``offset``, ``alignment_start``, ``start`` and ``end`` of those that change do, and
            ``pair`` of those that overlap their mates since.
        reference: Base codes under and around the reads; 4 (N) outside the contig.
        first: Position of the first of these.
        memory: What ``raw`` is the beginning of: records that change are written behind it, if there is room.

    Returns:
        The bytes that the table's offsets point into now. Records that changed have no tags, and inserted bases of poor
        quality are spelled as most reads spell them.
    """
    counted = (table.fate == USED) | (table.fate == MATE_OVERLAP)
    indels = long_indels(raw, table, counted, reference, first)
    records, place, position, end = _align_through(
        raw, table.offset, table.alignment_start, table.end, counted, reference, first, tuple(indels)
    )
    changed = place >= 0
    find_mates(raw, table, changed)
    if not changed.any():
        return raw
    size = raw.size + records.size
    if memory is None or memory.size < size:
        memory = np.empty(size, np.uint8)
        memory[: raw.size] = raw
    memory[raw.size : size] = records
    table.offset[changed] = raw.size + place[changed]
    alone = changed & (table.start == table.alignment_start)
    table.alignment_start[changed] = position[changed]
    table.end[changed] = end[changed]
    # One that is used from the end of its mate on may not reach there any more.
    table.start[changed] = np.where(alone, table.alignment_start, np.minimum(table.start, table.end))[changed]
    return memory[:size]


@numba.njit(cache=True, nogil=True)
def _align_through(raw, offset, start, end, counted, reference, first, indels):
    """Records of the reads that indels fit better, where each of them starts, and its first and last position."""
    anchor = indels[0]
    place = np.full(offset.size, -1, np.int64)
    position = np.zeros(offset.size, np.int64)
    stop = np.zeros(offset.size, np.int64)
    room = np.int64(0)
    for read in range(offset.size if anchor.size else 0):
        room += _size_with(raw, offset[read], little_endian_16(raw, offset[read] + 12) + 2 * _MOST_GAPS + 2)
    # Pages are taken from the system only when touched.
    records = np.empty(room, np.uint8)
    used = np.int64(0)
    codes = np.empty(1024, np.uint8)
    first_near = np.int64(0)
    for read in range(offset.size if anchor.size else 0):
        if not counted[read]:
            continue
        record = offset[read]
        while first_near < anchor.size and anchor[first_near] < start[read] - LONGEST - _BESIDE:
            first_near += 1
        low = first_near
        if low == anchor.size or anchor[low] > end[read] + _BESIDE:
            continue
        high = low
        while high < anchor.size and anchor[high] <= end[read] + _BESIDE:
            high += 1
        size = little_endian_32(raw, record + 16)
        if size + 1 > codes.size:
            codes = np.empty(2 * size, np.uint8)
        phred = decode_read(raw, record, codes, reference, first)
        blocks, number = _blocks(raw, record, start[read] - first)
        if number == 0:
            continue
        added = 0
        while added < _MOST_ADDED:
            chosen, before, number = _best_gap(codes, size, blocks, number, reference, first, indels, low, high)
            if chosen < 0:
                break
            added += 1
            _spell_inserted(codes, phred, before, chosen, indels)
        if added == 0:
            continue
        position[read] = first + blocks[0, _COLUMN]
        stop[read] = first + blocks[number - 1, _COLUMN] + blocks[number - 1, _SIZE]
        place[read] = used + 4
        used += _write_with(raw, record, position[read], _operations(blocks[:number], size), codes, records[used:])
    return records[:used], place, position, stop


# An alignment is its blocks of aligned bases: query and column of the first, their number, their score, and the score
# of the gap before them.
_QUERY, _COLUMN, _SIZE, _SCORE, _BEFORE = range(5)


@numba.njit(cache=True, nogil=True)
def _blocks(raw, record, column):
    """A read's aligned blocks and their number; none for reads that skip columns or begin or end with a gap."""
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    blocks = np.zeros((operations + _MOST_GAPS, 5), np.int64)
    number, query = 0, np.int64(0)
    if operations > _MOST_OPERATIONS:
        return blocks, 0
    was_gap = False
    operation = np.int64(0)
    while operation < operations:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        if run == 0:
            break
        if kind == CIGAR_N:
            return blocks, 0
        if kind == CIGAR_M:
            blocks[number, _QUERY], blocks[number, _COLUMN], blocks[number, _SIZE] = query, column, run
            number += 1
            was_gap = False
        elif kind == CIGAR_I or kind == CIGAR_D:
            if number == 0:
                return blocks, 0
            was_gap = True
            blocks[number, _BEFORE] += _GAP + (run * _MATCH if kind == CIGAR_I else 0)
        if kind == CIGAR_M or kind == CIGAR_D:
            column += run
        if kind == CIGAR_M or kind == CIGAR_I or kind == CIGAR_S:
            query += run
    return blocks, 0 if was_gap else number


@numba.njit(cache=True, nogil=True)
def _operations(blocks, size):
    """The CIGAR of blocks; some operations may be of length 0."""
    operations = np.empty(3 * blocks.shape[0] + 1, np.int64)
    operations[0] = blocks[0, _QUERY] << 4 | CIGAR_S
    query, column = blocks[0, _QUERY], blocks[0, _COLUMN]
    for number in range(blocks.shape[0]):
        if number:
            operations[3 * number - 1] = (blocks[number, _QUERY] - query) << 4 | CIGAR_I
            operations[3 * number] = (blocks[number, _COLUMN] - column) << 4 | CIGAR_D
        operations[3 * number + 1] = blocks[number, _SIZE] << 4 | CIGAR_M
        query, column = blocks[number, _QUERY] + blocks[number, _SIZE], blocks[number, _COLUMN] + blocks[number, _SIZE]
    operations[3 * blocks.shape[0] - 1] = (size - query) << 4 | CIGAR_S
    return operations[: 3 * blocks.shape[0]]


@numba.njit(cache=True, nogil=True)
def _score(codes, low, high, reference, shift):
    """Score of the bases [low, high) where the first of all lies under a column."""
    total = np.int64(0)
    for step in range(low, high):
        total += _MATCH if same_base(codes, step, reference, shift + step) else _MISMATCH
    return total


@numba.njit(cache=True, nogil=True)
def _reach(codes, low, high, step, reference, shift):
    """Best score of the bases from ``low`` on towards ``high``, and where it ends; both are places between bases."""
    total, most, best = np.int64(0), np.int64(0), np.int64(low)
    place = low
    while place != high:
        base = place if step == 1 else place - 1
        total += _MATCH if same_base(codes, base, reference, shift + base) else _MISMATCH
        place += step
        if total >= most:
            most, best = total, place
    return most, best


@numba.njit(cache=True, nogil=True)
def _best_gap(codes, size, blocks, number, reference, first, indels, low, high):
    """Put that of some indels into an alignment that makes its score highest, if one makes it higher.

    Left or right of the indel the alignment stays as it is. On the other side the read is aligned on without a gap: up
    to a block that it meets, which stays with all behind it, or as far as it fits.

    Returns:
        The indel, -1 for none; the place of its inserted bases in the read; and the number of blocks.
    """
    anchor, skipped, sequence_start, sequence, inner_start, inner = indels
    total = np.int64(0)
    for block in range(number):
        query, run = blocks[block, _QUERY], blocks[block, _SIZE]
        blocks[block, _SCORE] = _score(codes, query, query + run, reference, blocks[block, _COLUMN] - query)
        total += blocks[block, _SCORE] + blocks[block, _BEFORE]
    # Clipped ends that fit without a gap need none, nor do ends that are better clipped.
    last = number - 1
    stop, shift = blocks[0, _QUERY] + blocks[0, _SIZE], blocks[0, _COLUMN] - blocks[0, _QUERY]
    left_end = _reach(codes, stop, 0, -1, reference, shift)[0] - blocks[0, _SCORE]
    begin, shift = blocks[last, _QUERY], blocks[last, _COLUMN] - blocks[last, _QUERY]
    right_end = _reach(codes, begin, size, 1, reference, shift)[0] - blocks[last, _SCORE]
    best = total + left_end + right_end
    chosen, from_left, kept, met = np.int64(-1), True, 0, 0
    if best >= size * _MATCH + _GAP:
        return chosen, np.int64(0), number
    best_before, best_behind, best_edge, best_gap = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for indel in range(low, high):
        at, columns = anchor[indel] - first + 1, skipped[indel]
        bases = sequence[sequence_start[indel] : sequence_start[indel + 1]]
        between = inner[inner_start[indel] : inner_start[indel + 1]]
        gap = bases.size - columns
        score_left = left_end
        for block in range(number):
            begin, stop = blocks[block, _QUERY], blocks[block, _QUERY] + blocks[block, _SIZE]
            shift = blocks[block, _COLUMN] - begin
            score_right = total + left_end + right_end - score_left - blocks[block, _BEFORE] - blocks[block, _SCORE]
            # What lies left of the gap stays.
            before = at - shift
            behind = before + bases.size
            if before - begin >= _LEAST_BESIDE and size - behind >= _LEAST_BESIDE:
                gap_score = _gap_score(codes, before, bases, reference, at, between)
                here = score_left + blocks[block, _BEFORE] + gap_score + _score(codes, begin, before, reference, shift)
                other, rest = block + 1, score_right - (blocks[block + 1, _BEFORE] if block < last else 0)
                while other < number and not (
                    blocks[other, _COLUMN] - blocks[other, _QUERY] == shift - gap
                    and blocks[other, _QUERY] + blocks[other, _SIZE] - behind >= _LEAST_BESIDE
                ):
                    rest -= blocks[other, _SCORE] + (blocks[other + 1, _BEFORE] if other < last else 0)
                    other += 1
                if other < number:
                    query = blocks[other, _QUERY]
                    here += rest - blocks[other, _SCORE]
                    edge = query + blocks[other, _SIZE]
                    here += _score(codes, behind, edge, reference, shift - gap)
                else:
                    most, edge = _reach(codes, behind, size, 1, reference, shift - gap)
                    here += most
                if edge - behind >= _LEAST_BESIDE and here > best:
                    best, chosen, from_left, kept, met = here, np.int64(indel), True, block, other
                    best_before, best_behind, best_edge, best_gap = before, behind, edge, gap_score
            # What lies right of it stays.
            behind = at + columns - shift
            before = behind - bases.size
            if stop - behind >= _LEAST_BESIDE and before >= _LEAST_BESIDE:
                gap_score = _gap_score(codes, before, bases, reference, at, between)
                here = score_right + gap_score + _score(codes, behind, stop, reference, shift)
                most, edge = _reach(codes, before, 0, -1, reference, shift + gap)
                here += most
                if before - edge >= _LEAST_BESIDE and here > best:
                    best, chosen, from_left, kept, met = here, np.int64(indel), False, block, number
                    best_before, best_behind, best_edge, best_gap = before, behind, edge, gap_score
            score_left += blocks[block, _BEFORE] + blocks[block, _SCORE]
    if chosen < 0:
        return chosen, best_before, number
    shift = blocks[kept, _COLUMN] - blocks[kept, _QUERY]
    at = anchor[chosen] - first + 1
    between = inner[inner_start[chosen] : inner_start[chosen + 1]]
    gap = sequence_start[chosen + 1] - sequence_start[chosen] - skipped[chosen]
    gaps = between.shape[0] + 1
    # The score of all gaps stands before the block behind them, less what is told by the blocks between.
    for block in between:
        best_gap -= _score(
            codes,
            best_before + block[0],
            best_before + block[0] + block[2],
            reference,
            at + block[1] - best_before - block[0],
        )
    if from_left:
        blocks[kept, _SIZE] = best_before - blocks[kept, _QUERY]
        later = max(number - met - 1, 0)
        _move(blocks, met + 1, kept + gaps + 1, later)
        _set(blocks[kept + gaps], best_behind, best_behind + shift - gap, best_edge - best_behind, best_gap)
        number = kept + gaps + 1 + later
    else:
        later = number - kept - 1
        edge = blocks[kept, _QUERY] + blocks[kept, _SIZE]
        _move(blocks, kept + 1, gaps + 1, later)
        _set(blocks[0], best_edge, best_edge + shift + gap, best_before - best_edge, 0)
        _set(blocks[gaps], best_behind, best_behind + shift, edge - best_behind, best_gap)
        number = gaps + 1 + later
        kept = 0
    for place in range(between.shape[0]):
        query, column, run = between[place]
        _set(blocks[kept + 1 + place], best_before + query, at + column, run, 0)
    return chosen, best_before, number


@numba.njit(cache=True, nogil=True)
def _gap_score(codes, before, bases, reference, at, between):
    """Score of an indel's gaps, and of what lies between them, in front of a column."""
    score, place = np.int64(0), np.int64(0)
    for number in range(between.shape[0] + 1):
        stop = between[number, 0] if number < between.shape[0] else np.int64(bases.size)
        score += _GAP
        while place < stop:
            score += _MATCH if codes[before + place] == bases[place] else _MISMATCH
            place += 1
        if number < between.shape[0]:
            query, column, run = between[number]
            score += _score(codes, before + query, before + query + run, reference, at + column - before - query)
            place += run
    return score


@numba.njit(cache=True, nogil=True)
def _spell_inserted(codes, phred, before, indel, indels):
    """Spell inserted bases of poor quality as most reads do, and none between gaps."""
    _, _, sequence_start, sequence, inner_start, inner = indels
    low, stop = sequence_start[indel], sequence_start[indel + 1] - sequence_start[indel]
    block, step = inner_start[indel], np.int64(0)
    while step < stop:
        if block < inner_start[indel + 1] and inner[block, 0] == step:
            step += inner[block, 2]
            block += 1
            continue
        if phred[before + step] < MIN_CERTAIN_QUALITY:
            codes[before + step] = sequence[low + step]
        step += 1


@numba.njit(cache=True, nogil=True)
def _set(block, query, column, size, before):
    block[_QUERY], block[_COLUMN], block[_SIZE], block[_BEFORE] = query, column, size, before


@numba.njit(cache=True, nogil=True)
def _move(blocks, source, target, number):
    """Move some blocks within the table."""
    moved = blocks[source : source + number].copy()
    blocks[target : target + number] = moved


@numba.njit(cache=True, nogil=True)
def _size_with(raw, record, operations):
    """Bytes of a record with so many operations and without tags, its size in front of it counted."""
    length = little_endian_32(raw, record + 16)
    return 36 + np.int64(raw[record + 8]) + 4 * operations + (length + 1) // 2 + length


@numba.njit(cache=True, nogil=True)
def _write_with(raw, record, position, operations, codes, target):
    """Write a record with another position, operations, those of length 0 left out, and bases; returns its bytes."""
    name = np.int64(raw[record + 8])
    length = little_endian_32(raw, record + 16)
    number = 0
    for operation in operations:
        if operation >> 4:
            number += 1
    size = _size_with(raw, record, number)
    _write_32(target, 0, size - 4)
    for byte in range(32 + name):
        target[4 + byte] = raw[record + byte]
    _write_32(target, 4 + 4, position)
    target[4 + 12] = number & 255
    target[4 + 13] = number >> 8
    at = 36 + name
    for operation in operations:
        if operation >> 4:
            _write_32(target, at, operation)
            at += 4
    qualities = record + 32 + name + 4 * little_endian_16(raw, record + 12) + (length + 1) // 2
    for place in range(0, length, 2):
        low = _nibble(codes[place + 1]) if place + 1 < length else 0
        target[at] = _nibble(codes[place]) << 4 | low
        at += 1
    for place in range(length):
        target[at + place] = raw[qualities + place]
    return at + length


@numba.njit(cache=True, nogil=True)
def _nibble(code):
    return 15 if code >= N_BASE else 1 << np.int64(code)


@numba.njit(cache=True, nogil=True)
def _write_32(target, at, value):
    for byte in range(4):
        target[at + byte] = (value >> (8 * byte)) & 255
