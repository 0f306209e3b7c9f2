"""Projects each read through its CIGAR onto a free lane of every window that it touches; the hot loop of ingest."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from diffbio_core.candidates.discovery import (
    MAX_DELETION,
    MAX_SHIFT,
    MIN_BASE_QUALITY,
    MIN_MAPPING_QUALITY,
    IndelEvents,
)
from diffbio_core.reads.bases import decode_read
from diffbio_core.reads.mates import join_mates
from diffbio_core.reads.records import (
    CIGAR_D,
    CIGAR_I,
    CIGAR_M,
    CIGAR_N,
    CIGAR_S,
    little_endian_16,
    little_endian_32,
    next_run,
)
from diffbio_core.windows.encoding import (
    CODE_MASK,
    DELETED,
    DELETION_FOLLOWS,
    INDEL_FOLLOWS,
    INSERTION_FOLLOWS,
    MISSING_QUALITY,
    N_BASE,
    NO_READ,
    READ_START,
    REVERSE_STRAND,
    UNKNOWN_MAPPING_QUALITY,
)
from diffbio_core.windows.lanes import LaneRows
from diffbio_core.windows.planes import LANES_PER_BLOCK

MIN_CERTAIN_QUALITY = 20
"""Phred quality from which a base in a repeat keeps an indel of its read apart from others of that length there."""

MIN_REPEATED = 5
"""Columns by which a repeat must be longer than an insertion that counts as another copy of it."""

MIN_UNMASKED = 10
"""Columns by which a homopolymer must be longer than an insertion that counts as more of it and a changed base: in
shorter ones an insertion of other bases is as likely."""

MAX_REPEATED = 64
"""Longest insertion (bp) that is held against a repeat, so that all that is looked at lies within a window's halo."""


class Planes(NamedTuple):
    """The planes of a shard, each (blocks, windows, lanes of a block, positions)."""

    base: np.ndarray
    base_quality: np.ndarray


class Tally(NamedTuple):
    """What the reads of a shard show, by column of the shard.

    Attributes:
        mismatches: (columns, 4) reads that show each base where it differs from the reference.
        coverage_change: Reads that may propose an allele: those that start at a column less those that end there.
        events: Room for the indels of single reads.
        inserted: Room for their inserted bases.
        without_lane: Per read, whether a window had no lane for it.
        rows: Room for the reads and indels of each lane.
    """

    mismatches: np.ndarray
    coverage_change: np.ndarray
    events: IndelEvents
    inserted: np.ndarray
    without_lane: np.ndarray
    rows: LaneRows


@numba.njit(cache=True, nogil=True)
def project_reads(raw, offset, start, end, mate, rank, reference, first, reference_length, halo, planes, tally):
    """Fill planes and tally from reads in order of start; returns the number of indel events.

    Args:
        raw: Bytes that hold the records.
        offset: Byte offset of each record's fixed part.
        start: Position that each read is used from.
        end: One past the last position that it is used to.
        mate: Byte offset of the record whose bases it is joined with where they overlap; -1 where there is none.
        rank: Its rank, from its name.
        reference: Base codes of the shard's columns.
        first: Position of the shard's first column.
        reference_length: Core positions of a window.
        halo: Positions on both sides of it.
        planes: ``Planes``, cleared.
        tally: ``Tally``, cleared.
    """
    windows = planes.base.shape[1]
    positions = planes.base.shape[3]
    lanes = planes.base.shape[0] * LANES_PER_BLOCK
    columns = tally.coverage_change.size - 1
    lane_end = np.full((windows, lanes), -(2**31), np.int64)
    codes, other = np.empty(1024, np.uint8), np.empty(1024, np.uint8)
    found = (np.int64(0), np.int64(0))
    for read in range(offset.size):
        record = offset[read]
        begin = np.int64(start[read]) - first
        stop = np.int64(end[read]) - first
        if little_endian_32(raw, record + 16) + 1 > codes.size:
            codes = np.empty(2 * little_endian_32(raw, record + 16), np.uint8)
        phred = decode_read(raw, record, codes, reference, first)
        if mate[read] >= 0:
            if little_endian_32(raw, mate[read] + 16) + 1 > other.size:
                other = np.empty(2 * little_endian_32(raw, mate[read] + 16), np.uint8)
            other_phred = decode_read(raw, mate[read], other, reference, first)
            phred = join_mates(raw, record, mate[read], codes, phred, other, other_phred)
        if raw[record + 9] >= MIN_MAPPING_QUALITY:
            tally.coverage_change[min(max(begin, 0), columns)] += 1
            tally.coverage_change[min(stop, columns)] -= 1
        lowest = max((begin - 2 * halo) // reference_length, 0)
        highest = min((stop - 1) // reference_length, windows - 1)
        for window in range(lowest, highest + 1):
            origin = window * reference_length
            if begin >= origin + positions:
                continue
            lane = 0
            while lane < lanes and lane_end[window, lane] > begin:
                lane += 1
            if lane == lanes:
                tally.without_lane[read] = True
                continue
            lane_end[window, lane] = stop
            found = _project_read(
                raw,
                record,
                codes,
                phred,
                rank[read],
                first + origin,
                max(begin - origin, 0),
                stop - origin,
                reference,
                halo,
                planes,
                window,
                lane,
                tally,
                found,
            )
    return found[0]


@numba.njit(cache=True, nogil=True)
def _project_read(
    raw, record, codes, phred, rank, window_start, clip, stop, reference, halo, planes, window, lane, tally, found
):
    """Write one read to its lane of one window, from column ``clip`` to ``stop``; columns here are the window's own.

    Nothing is written where the read has no cell in the window.

    ``found`` is the number of events and of inserted bases so far, and what is returned is the new one.
    """
    bases = planes.base[lane // LANES_PER_BLOCK, window, lane % LANES_PER_BLOCK]
    qualities = planes.base_quality[lane // LANES_PER_BLOCK, window, lane % LANES_PER_BLOCK]
    lane_of_all = window * planes.base.shape[0] * LANES_PER_BLOCK + lane
    positions = bases.size
    reference_length = positions - 2 * halo
    origin = window * reference_length
    column = little_endian_32(raw, record + 4) - window_start
    mapped = raw[record + 9]
    counts = mapped >= MIN_MAPPING_QUALITY
    if mapped == 255:
        mapped = np.uint8(UNKNOWN_MAPPING_QUALITY)
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    # SAM specification 4.2: 0xFF in every place where qualities are missing.
    no_quality = phred[0] == 255
    strand = np.uint8(REVERSE_STRAND if little_endian_16(raw, record + 14) & 16 else 0)
    first_cell = np.int64(positions)
    query = np.int64(0)
    aligned = False
    before = np.int64(CIGAR_M)
    operation = 0
    while operation < operations:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        if kind == CIGAR_M:
            aligned = True
            low = max(column, clip)
            high = min(column + run, stop, positions)
            if low < high:
                first_cell = min(first_cell, low)
                shown = codes[query + low - column : query + high - column]
                _paint(bases[low:high], shown, strand)
                if no_quality:
                    qualities[low:high] = MISSING_QUALITY
                else:
                    _copy(qualities[low:high], phred[query + low - column : query + high - column])
                core_low = max(low, halo)
                core_high = min(high, halo + reference_length)
                if counts and core_low < core_high:
                    _count_mismatches(
                        shown[core_low - low : core_high - low],
                        qualities[core_low:core_high],
                        reference[origin + core_low : origin + core_high],
                        tally.mismatches[origin + core_low : origin + core_high],
                    )
        elif kind == CIGAR_I or kind == CIGAR_D:
            anchor = column - 1
            # Where a read is cut, what would be deleted next is its mate's.
            last = stop if kind == CIGAR_I else stop - 1
            if clip <= anchor < min(last, positions) and bases[anchor] & CODE_MASK != NO_READ:
                signed = run if kind == CIGAR_I else -run
                here = reference[origin:]
                shown = codes[query : query + max(signed, 0)]
                inserted = shown.copy()
                if 0 < signed <= MAX_REPEATED and not no_quality:
                    _as_repeated(inserted, phred[query : query + signed], here, anchor)
                    changed = _masked_change(bases, here, clip, anchor, inserted)
                    if changed >= 0:
                        _unmask(bases, qualities, changed, anchor, inserted, phred[query : query + signed], strand)
                        if counts and halo <= changed < halo + reference_length:
                            _count_mismatches(
                                bases[changed : changed + 1] & np.uint8(CODE_MASK),
                                qualities[changed : changed + 1],
                                here[changed : changed + 1],
                                tally.mismatches[origin + changed : origin + changed + 1],
                            )
                        anchor = changed - 1
                        shown = inserted
                if not bases[anchor] & INDEL_FOLLOWS:
                    bases[anchor] |= np.uint8(INSERTION_FOLLOWS if kind == CIGAR_I else DELETION_FOLLOWS)
                _note_indel(tally.rows, lane_of_all, anchor, signed, shown)
                left = anchor
                # An indel that stands against another one cannot pass it.
                if before != CIGAR_I and before != CIGAR_D:
                    left = _leftmost(bases, qualities, here, clip, anchor, signed, inserted)
                if signed >= -MAX_DELETION and halo <= left < halo + reference_length:
                    found = _note_event(tally, found, window, lane, left, signed, inserted, counts)
            if kind == CIGAR_D and aligned:
                low = max(column, clip)
                high = min(column + run, stop, positions)
                if low < high:
                    first_cell = min(first_cell, low)
                    bases[low:high] = DELETED | strand
                    qualities[low:high] = MISSING_QUALITY if no_quality else phred[query - 1]
        if kind == CIGAR_M or kind == CIGAR_D or kind == CIGAR_N:
            column += run
        if kind == CIGAR_M or kind == CIGAR_I or kind == CIGAR_S:
            query += run
        before = kind
    if first_cell < positions:
        bases[first_cell] |= READ_START
        rows = tally.rows
        rows.read_lane[rows.used[0]] = lane_of_all
        rows.read_column[rows.used[0]] = first_cell
        rows.read_mapping[rows.used[0]] = mapped
        rows.read_rank[rows.used[0]] = rank
        rows.used[0] += 1
    return found


@numba.njit(cache=True, nogil=True)
def _copy(target, source):
    # Numba spends two seconds on compiling the message with which a slice refuses values of another shape.
    for place in range(target.size):
        target[place] = source[place]


@numba.njit(cache=True, nogil=True)
def _paint(bases, codes, strand):
    for cell in range(bases.size):
        bases[cell] = codes[cell] | strand


@numba.njit(cache=True, nogil=True)
def _count_mismatches(codes, qualities, reference, mismatches):
    for cell in range(codes.size):
        if codes[cell] != reference[cell] and codes[cell] < N_BASE and qualities[cell] >= MIN_BASE_QUALITY:
            mismatches[cell, codes[cell]] += np.uint16(1)


@numba.njit(cache=True, nogil=True)
def _as_repeated(inserted, phred, reference, anchor):
    """Spell an insertion into a repeat as another copy of it, where it differs in bases of poor quality only.

    An aligner that meets a longer repeat with a wrong base in it takes that base for the inserted one: a gap, which it
    needs anyway, and no mismatch.
    """
    size = inserted.size
    for copy in (anchor + 1, anchor + 1 - size):
        if copy < 0 or copy + size > reference.size or not _repeats(reference, copy, size, MIN_REPEATED):
            continue
        certain = False
        for step in range(size):
            certain |= inserted[step] != reference[copy + step] and phred[step] >= MIN_CERTAIN_QUALITY
        if not certain:
            _copy(inserted, reference[copy : copy + size])
            return


@numba.njit(cache=True, nogil=True)
def _repeats(reference, copy, size, longer):
    """Whether bases of the reference are a copy in a repeat that is longer by so many columns at least."""
    repeated = np.int64(0)
    right = copy
    while repeated < longer and right + size < reference.size and reference[right] == reference[right + size]:
        right += 1
        repeated += 1
    left = copy - 1
    while repeated < longer and left >= 0 and reference[left] == reference[left + size]:
        left -= 1
        repeated += 1
    return repeated >= longer


@numba.njit(cache=True, nogil=True)
def _masked_change(bases, reference, clip, anchor, inserted):
    """Column of the changed base that an insertion into a homopolymer hides; -1 where it hides none.

    Of a haplotype with a longer homopolymer and a changed base in it an aligner takes that base, and what follows, for
    the inserted ones: a gap, which it needs anyway, and no mismatch. Up to that base the read shows the homopolymer as
    it is, so what is inserted can stand to the left of it. Of other repeats two often adjoin that differ by one base.
    """
    size = inserted.size
    copy = anchor + 1 - size
    if copy <= clip or not _repeats(reference, copy, size, MIN_UNMASKED):
        return -1
    changed = -1
    for step in range(size):
        if reference[copy + step] != reference[anchor]:
            return -1
        if inserted[step] != reference[anchor]:
            if changed >= 0 or inserted[step] >= N_BASE:
                return -1
            changed = copy + step
    if changed < 0:
        return -1
    for column in range(changed - 1, anchor + 1):
        if bases[column] & CODE_MASK != reference[column] or (column < anchor and bases[column] & INDEL_FOLLOWS):
            return -1
    return changed


@numba.njit(cache=True, nogil=True)
def _unmask(bases, qualities, changed, anchor, inserted, phred, strand):
    """Move an insertion to the left of the changed base that it hides; turns ``inserted`` to what is inserted there."""
    moved = anchor + 1 - changed
    kept = inserted.size - moved
    hidden = inserted[kept:].copy()
    for step in range(inserted.size - 1, moved - 1, -1):
        inserted[step] = inserted[step - moved]
    for step in range(moved):
        inserted[step] = bases[changed + step] & CODE_MASK
        bases[changed + step] = hidden[step] | strand
        qualities[changed + step] = phred[kept + step]


@numba.njit(cache=True, nogil=True)
def _leftmost(bases, qualities, reference, clip, anchor, signed, inserted):
    """Column where an indel stands if it is written as far left as it goes, as VCF does; turns ``inserted`` to that.

    Bases of the read that differ from the reference stop it, but for those of poor quality: errors are no part of the
    allele.
    """
    left = anchor
    while anchor - left < MAX_SHIFT and left > clip:
        code = reference[left]
        if code >= N_BASE or bases[left - 1] & INDEL_FOLLOWS:
            break
        if bases[left] & CODE_MASK != code and qualities[left] >= MIN_CERTAIN_QUALITY:
            break
        # Behind a skipped region no further than the read's own first column, where its row of a view is.
        if bases[left - 1] & CODE_MASK == NO_READ:
            break
        if signed < 0:
            if left - signed >= reference.size or reference[left - signed] != code:
                break
        elif inserted[signed - 1] != code:
            break
        else:
            for step in range(signed - 1, 0, -1):
                inserted[step] = inserted[step - 1]
            inserted[0] = code
        left -= 1
    return left


@numba.njit(cache=True, nogil=True)
def _note_indel(rows, lane, column, signed, inserted):
    number, size = rows.used[1], rows.used[2]
    rows.indel_lane[number] = lane
    rows.indel_column[number] = column
    rows.indel_length[number] = signed
    _copy(rows.inserted[size : size + inserted.size], inserted)
    rows.used[1] += 1
    rows.used[2] += inserted.size


@numba.njit(cache=True, nogil=True)
def _note_event(tally, found, window, lane, column, signed, inserted, counts):
    events = tally.events
    number, size = found
    hashed = np.uint64(14695981039346656037)
    for step in range(inserted.size):
        tally.inserted[size + step] = inserted[step]
        hashed = (hashed ^ np.uint64(inserted[step])) * np.uint64(1099511628211)
    events.window[number] = window
    events.lane[number] = lane
    events.column[number] = column
    events.length[number] = signed
    events.sequence_hash[number] = hashed
    events.sequence_offset[number] = size
    events.counts[number] = counts
    return number + 1, size + inserted.size
