"""Reads that an aligner clipped at a long insertion or deletion, aligned through it.

A gap costs an aligner more than the bases that it would win in a read that reaches a little past a long indel, so it
clips them, and of the reads that hold the allele hardly one shows it. Here clipped bases that fit the reference behind
a gap propose an insertion or deletion, as indels of reads do; those that two reads propose are tried on every read that
is aligned up to them, as GATK's IndelRealigner tried known ones. What becomes of a read depends on the reads within
``REACH`` of it alone.
"""

from __future__ import annotations

from collections import Counter

import numba
import numpy as np
from jaxtyping import UInt8

from diffbio_core.reads.bases import decode_read
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

REACH = 512
"""Positions (bp) past the planes whose reads are looked at."""

SHORTEST = 6
"""Shortest indel (bp) that is proposed: shorter ones cost an aligner less than the bases behind them."""

LONGEST = 128
"""Longest (bp)."""

MIN_CLIPPED = 6
"""Clipped bases from which a read's end tells that something is there."""

MIN_FITTING = 12
"""Clipped bases that must fit the reference behind a gap."""

MIN_READS = 2
"""Reads that must propose an indel."""

MIN_CERTAIN_QUALITY = 20
"""Phred quality under which an inserted base is spelled as most reads spell it."""

_NEAR = 8  # positions within which clips count as at one place
_DIFFERING = 10  # one of so many bases may differ from the reference behind a gap
_MATCH, _MISMATCH, _GAP = 1, -4, -5  # as bwa scores, but a gap that other reads show costs little
_LEAST_DISTINCT = 6  # words of three bases: what is simpler, such as a tail of A's, fits in many places
_FEWER_DIFFERING = 3  # bases that differ if a clipped end is aligned without a gap, more than with one
_WORD = 8
_MOST_BEFORE = 24  # clipped bases before a gap: changes near it make an aligner clip them, too
_LEAST_BESIDE = 3  # bases of a read on either side of a gap


def realign_reads(
    raw: UInt8[np.ndarray, "bytes"], table: ReadTable, reference: UInt8[np.ndarray, "positions"], first: int
) -> UInt8[np.ndarray, "bytes"]:
    """Align reads that are clipped at a long indel through it.

    Args:
        raw: Bytes that the table's offsets point into.
        table: Reads in file order; ``offset``, ``alignment_start``, ``start`` and ``end`` of those that change do.
        reference: Base codes under and around the reads; 4 (N) outside the contig.
        first: Position of the first of these.

    Returns:
        The bytes that the table's offsets point into now. Records that changed have no tags, and inserted bases of poor
        quality are spelled as most reads spell them.
    """
    counted = (table.fate == USED) | (table.fate == MATE_OVERLAP)
    indels = _agreed(*_propose(raw, table.offset, table.alignment_start, table.end, counted, reference, first))
    records, place, position, end = _align_through(
        raw, table.offset, table.alignment_start, table.end, counted, reference, first, *indels
    )
    changed = place >= 0
    if not changed.any():
        return raw
    table.offset[changed] = raw.size + place[changed]
    alone = changed & (table.start == table.alignment_start)
    table.start[alone] = position[alone]
    table.alignment_start[changed] = position[changed]
    table.end[changed] = end[changed]
    return np.concatenate([raw, records])


def _agreed(
    anchor: np.ndarray, length: np.ndarray, sequence_start: np.ndarray, sequence: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Indels that enough reads propose, in order of anchor.

    Inserted bases of one place and length that single reads spell and that differ in few of them are one insertion:
    that which several reads spell alike, if there is one. What several spell alike is an insertion of its own.
    """
    proposed: dict[tuple[int, int], Counter[bytes]] = {}
    for place, key in enumerate(zip(anchor.tolist(), length.tolist(), strict=True)):
        bases = sequence[sequence_start[place] : sequence_start[place + 1]].tobytes()
        proposed.setdefault(key, Counter())[bases] += 1
    kept: list[tuple[int, int, np.ndarray]] = []
    for key, spelled in sorted(proposed.items()):
        # In an order of their own, so that none depends on the order of the reads.
        left = sorted(spelled, key=lambda bases: (-spelled[bases], bases))
        while left:
            first = np.frombuffer(left[0], np.uint8)
            like = [
                each
                for each in left
                if np.sum(np.frombuffer(each, np.uint8) != first) <= first.size // _DIFFERING
                and (each is left[0] or spelled[each] < MIN_READS)
            ]
            left = [each for each in left if each not in like]
            if sum(spelled[each] for each in like) >= MIN_READS:
                kept.append((*key, _commonest(like, spelled)))
    return (
        np.array([anchor for anchor, _, _ in kept], np.int64),
        np.array([length for _, length, _ in kept], np.int64),
        np.cumsum([0, *(bases.size for _, _, bases in kept)]).astype(np.int64),
        np.concatenate([np.empty(0, np.uint8), *(bases for _, _, bases in kept)]),
    )


def _commonest(like: list[bytes], spelled: Counter[bytes]) -> UInt8[np.ndarray, " bases"]:
    """The commonest base in each place of sequences of one length; of equally common ones that of the first."""
    votes = np.zeros((len(like[0]), N_BASE + 1), np.int64)
    for place, each in enumerate(like):
        votes[np.arange(len(each)), np.frombuffer(each, np.uint8)] += 2 * len(like) * spelled[each] - place
    return votes.argmax(1).astype(np.uint8)


@numba.njit(cache=True, nogil=True)
def _clips(raw, record):
    """Soft-clipped bases at both ends, and whether all others are aligned without a gap."""
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    left = right = np.int64(0)
    gapless, aligned = True, False
    operation = np.int64(0)
    while operation < operations:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        if run == 0:
            break
        if kind == CIGAR_S:
            if aligned:
                right = run
            else:
                left = run
        elif kind == CIGAR_M:
            gapless &= not aligned
            aligned = True
        elif kind == CIGAR_I or kind == CIGAR_D or kind == CIGAR_N:
            gapless = False
    return left, right, gapless


@numba.njit(cache=True, nogil=True)
def _base(sequence, at):
    return sequence[at] if 0 <= at < sequence.size else np.uint8(N_BASE)


@numba.njit(cache=True, nogil=True)
def _same(codes, place, reference, at):
    return codes[place] < N_BASE and codes[place] == _base(reference, at)


@numba.njit(cache=True, nogil=True)
def _word(codes, start):
    """Some bases as one number; those that are none count as others."""
    word = 0
    for step in range(_WORD):
        word = word << 2 | codes[start + step] & 3
    return word


@numba.njit(cache=True, nogil=True)
def _distinct_words(codes, start, number):
    """How many different words of three bases some bases hold."""
    seen = np.int64(0)
    for step in range(number - 2):
        word = (codes[start + step] & 3) << 4 | (codes[start + step + 1] & 3) << 2 | codes[start + step + 2] & 3
        seen |= np.int64(1) << np.int64(word)
    distinct = 0
    while seen:
        seen &= seen - 1
        distinct += 1
    return distinct


@numba.njit(cache=True, nogil=True)
def _words(codes):
    """The number of the bases from each place on."""
    words = np.full(codes.size, -1, np.int32)
    word = 0
    for place in range(codes.size):
        word = (word << 2 | codes[place] & 3) & ((1 << 2 * _WORD) - 1)
        if place >= _WORD - 1:
            words[place - _WORD + 1] = word
    return words


@numba.njit(cache=True, nogil=True)
def _at(words, place):
    return words[place] if 0 <= place < words.size else np.int32(-1)


@numba.njit(cache=True, nogil=True)
def _split(codes, low, high, step, reference, at, inserted, skipped, before, least):
    """How many bases of a clipped end lie before a gap, and how many differ from the reference then.

    Args:
        codes: Base codes of the read.
        low: Its clipped base next to the aligned ones.
        high: Number of its clipped bases.
        step: 1 where they follow the aligned ones, -1 where they stand before them.
        reference: Base codes by column.
        at: Column that the clipped base would have without a gap.
        inserted: Bases of the read in the gap.
        skipped: Columns of the reference in the gap; negative where the read goes back.
        before: Of the bases before the gap how many differ, by how many there are.
        least: Bases that may differ, less one.

    Returns:
        Bases before the gap, and bases that differ: ``least`` where no fewer do.
    """
    most = min(before.size - 1, high - inserted - MIN_FITTING)
    if most < 0:
        return np.int64(0), least
    differ = np.int64(0)
    place = high - 1
    while place >= most + inserted:
        if not _same(codes, low + step * place, reference, at + step * (place - inserted + skipped)):
            differ += 1
            if differ >= least:
                return np.int64(0), least
        place -= 1
    split, fewest = np.int64(0), least
    for length in range(most, -1, -1):
        if before[length] + differ < fewest:
            split, fewest = np.int64(length), before[length] + differ
        place = length - 1
        if place >= 0 and not _same(codes, low + step * (place + inserted), reference, at + step * (place + skipped)):
            differ += 1
            if differ >= least:
                break
    return split, fewest


@numba.njit(cache=True, nogil=True)
def _gap_in_clip(codes, low, high, step, reference, words, at):
    """Length of the gap beyond which a clipped end fits, 0 where none does, and how many bases of it lie before that.

    Of several the one that leaves the fewest bases differing, of these the shortest. Of a tandem duplication the end
    may hold the second copy alone: it is told by what it fits if the read goes back, the last value. See `_split`.
    """
    if high < MIN_FITTING or _distinct_words(codes, low if step == 1 else low - high + 1, high) < _LEAST_DISTINCT:
        return np.int64(0), np.int64(0), False
    before = np.zeros(min(high, _MOST_BEFORE) + 1, np.int64)
    straight = np.int64(0)
    for place in range(high):
        straight += not _same(codes, low + step * place, reference, at + step * place)
        if place + 1 < before.size:
            before[place + 1] = straight
    gap, split, copied = np.int64(0), np.int64(0), False
    # Ends are clipped for other reasons, too: because they overlap the mate's, or come from a primer.
    least = min(high // _DIFFERING, straight - _FEWER_DIFFERING) + 1
    # Either of two words of the outermost bases must fit: so most gaps need no further look.
    outermost = low + high - _WORD if step == 1 else low - high + 1
    word, column = _word(codes, outermost), (at + high - _WORD if step == 1 else at - high + 1)
    second = _word(codes, outermost - step * _WORD) if high >= 2 * _WORD else word
    beside = -step * _WORD if high >= 2 * _WORD else 0
    for length in range(SHORTEST, LONGEST + 1):
        ahead, behind = column + step * length, column - step * length
        if not (
            _at(words, ahead) == word
            or _at(words, behind) == word
            or _at(words, ahead + beside) == second
            or _at(words, behind + beside) == second
        ):
            continue
        found, differ = _split(codes, low, high, step, reference, at, 0, length, before, least)
        if differ < least:
            gap, split, copied, least = -np.int64(length), found, False, differ
        found, differ = _split(codes, low, high, step, reference, at, length, 0, before, least)
        if differ < least:
            gap, split, copied, least = np.int64(length), found, False, differ
        found, differ = _split(codes, low, high, step, reference, at, 0, -length, before, least)
        if differ < least:
            gap, split, copied, least = np.int64(length), found, True, differ
    return gap, split, copied


@numba.njit(cache=True, nogil=True)
def _propose(raw, offset, start, end, counted, reference, first):
    """Anchor, length and inserted bases of the indels that single reads show, as far left as they go."""
    size = reference.size
    clipped = np.zeros(size + 1, np.int64)
    proposing = np.zeros(offset.size, np.bool_)
    longest = np.int64(1)
    for read in range(offset.size):
        if not counted[read]:
            continue
        left, right, gapless = _clips(raw, offset[read])
        longest = max(longest, little_endian_32(raw, offset[read] + 16))
        begin, stop = start[read] - first, end[read] - first
        if left >= MIN_CLIPPED and 0 <= begin < size:
            clipped[begin + 1] += 1
            proposing[read] = True
        if right >= MIN_CLIPPED and 0 <= stop < size:
            clipped[stop + 1] += 1
            proposing[read] = True
        proposing[read] |= not gapless
    for place in range(size):
        clipped[place + 1] += clipped[place]
    room = np.int64(0)
    for read in range(offset.size):
        room += 3 * proposing[read]
    words = _words(reference) if room else np.empty(0, np.int32)
    codes = np.empty(longest + 1, np.uint8)
    anchor = np.empty(room, np.int64)
    length = np.empty(room, np.int64)
    sequence_start = np.zeros(room + 1, np.int64)
    # Pages are taken from the system only when touched.
    sequence = np.empty(room * LONGEST, np.uint8)
    number = 0
    for read in range(offset.size):
        if not proposing[read]:
            continue
        record = offset[read]
        left, right, gapless = _clips(raw, record)
        bases = little_endian_32(raw, record + 16)
        decoded = False
        for side in range(2 + (not gapless)):
            gap, at, inserted, copied = np.int64(0), np.int64(0), np.int64(0), False
            if side == 0 and left >= MIN_CLIPPED:
                at = start[read] - first
                if 0 <= at < size and clipped[min(at + _NEAR, size)] - clipped[max(at - _NEAR, 0)] >= MIN_READS:
                    if not decoded:
                        decode_read(raw, record, codes, reference, first)
                        decoded = True
                    gap, split, copied = _gap_in_clip(codes, left - 1, left, -1, reference, words, at - 1)
                    at -= split
                    inserted = at if copied else left - split - gap
                    at += min(gap, 0)
            elif side == 1 and right >= MIN_CLIPPED:
                at = end[read] - first
                if 0 <= at < size and clipped[min(at + _NEAR, size)] - clipped[max(at - _NEAR, 0)] >= MIN_READS:
                    if not decoded:
                        decode_read(raw, record, codes, reference, first)
                        decoded = True
                    gap, split, copied = _gap_in_clip(codes, bases - right, right, 1, reference, words, at)
                    at += split
                    inserted = at - gap if copied else bases - right + split
            elif side == 2:
                gap, at, inserted = _only_gap(raw, record)
                at = at + start[read] - first
                if abs(gap) < SHORTEST or abs(gap) > LONGEST:
                    gap = np.int64(0)
                if gap > 0 and not decoded:
                    decode_read(raw, record, codes, reference, first)
                    decoded = True
            if gap == 0 or at < 1 or at + max(-gap, 0) > size or (copied and not 0 <= inserted <= size - gap):
                continue
            used = sequence_start[number]
            for step in range(gap):
                sequence[used + step] = reference[inserted + step] if copied else codes[inserted + step]
            anchor[number] = _leftmost(reference, at - 1, gap, sequence[used : used + max(gap, 0)]) + first
            length[number] = gap
            sequence_start[number + 1] = used + max(gap, 0)
            number += 1
    return anchor[:number], length[:number], sequence_start[: number + 1], sequence[: sequence_start[number]]


@numba.njit(cache=True, nogil=True)
def _only_gap(raw, record):
    """Length of a read's one gap, the column behind its anchor and the query's base there; 0 where it has none or more.

    Columns are counted from the read's first.
    """
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    column = query = np.int64(0)
    gap, at, inserted = np.int64(0), np.int64(0), np.int64(0)
    operation = np.int64(0)
    while operation < operations:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        if run == 0:
            break
        if kind == CIGAR_I or kind == CIGAR_D:
            if gap != 0:
                return np.int64(0), at, inserted
            gap, at, inserted = (run if kind == CIGAR_I else -run), column, query
        if kind == CIGAR_M or kind == CIGAR_D or kind == CIGAR_N:
            column += run
        if kind == CIGAR_M or kind == CIGAR_I or kind == CIGAR_S:
            query += run
    return gap, at, inserted


@numba.njit(cache=True, nogil=True)
def _leftmost(reference, anchor, gap, inserted):
    """Anchor of an indel as far left as it goes; turns inserted bases to what is inserted there."""
    while anchor > 0 and reference[anchor] < N_BASE:
        if gap < 0:
            if reference[anchor] != reference[anchor - gap]:
                break
        elif inserted[gap - 1] != reference[anchor]:
            break
        else:
            for step in range(gap - 1, 0, -1):
                inserted[step] = inserted[step - 1]
            inserted[0] = reference[anchor]
        anchor -= 1
    return anchor


@numba.njit(cache=True, nogil=True)
def _align_through(raw, offset, start, end, counted, reference, first, anchor, length, sequence_start, sequence):
    """Records of the reads that an indel fits better, where each of them starts, and its first and last position."""
    place = np.full(offset.size, -1, np.int64)
    position = np.zeros(offset.size, np.int64)
    stop = np.zeros(offset.size, np.int64)
    room = np.int64(0)
    for read in range(offset.size if anchor.size else 0):
        room += _size_with(raw, offset[read], 5)
    # Pages are taken from the system only when touched.
    records = np.empty(room, np.uint8)
    used = np.int64(0)
    codes = np.empty(1024, np.uint8)
    operations = np.empty(5, np.int64)
    first_near = np.int64(0)
    for read in range(offset.size):
        if not counted[read]:
            continue
        record = offset[read]
        while first_near < anchor.size and anchor[first_near] < start[read] - LONGEST - 64:
            first_near += 1
        low = first_near
        if low == anchor.size or anchor[low] > end[read] + 64:
            continue
        left, right, gapless = _clips(raw, record)
        if not gapless:
            continue
        size = little_endian_32(raw, record + 16)
        if size + 1 > codes.size:
            codes = np.empty(2 * size, np.uint8)
        phred = decode_read(raw, record, codes, reference, first)
        # Where its first base would lie if the clipped ones were aligned like the others.
        begin = start[read] - first - left
        best = np.int64(0)
        for step in range(left, size - right):
            best += _MATCH if _same(codes, step, reference, begin + step) else _MISMATCH
        # Clipped ends that fit without a gap need none.
        total, most = np.int64(0), np.int64(0)
        for step in range(left - 1, -1, -1):
            total += _MATCH if _same(codes, step, reference, begin + step) else _MISMATCH
            most = max(most, total)
        best += most
        total, most = np.int64(0), np.int64(0)
        for step in range(size - right, size):
            total += _MATCH if _same(codes, step, reference, begin + step) else _MISMATCH
            most = max(most, total)
        best += most
        chosen = np.int64(-1)
        from_left = True
        clip_low = clip_high = np.int64(0)
        while low < anchor.size and anchor[low] <= end[read] + 64:
            inserted = sequence[sequence_start[low] : sequence_start[low + 1]]
            for side in range(2):
                score, a, b = _try(
                    codes,
                    left,
                    size - right,
                    size,
                    begin,
                    reference,
                    anchor[low] - first,
                    length[low],
                    inserted,
                    side == 0,
                )
                if score > best:
                    best, chosen, from_left, clip_low, clip_high = score, low, side == 0, a, b
            low += 1
        if chosen < 0:
            continue
        gap = length[chosen]
        # Bases before the gap, and where the first of all would lie.
        if from_left:
            before, shift = anchor[chosen] - first + 1 - begin, np.int64(0)
        elif gap > 0:
            before, shift = anchor[chosen] - first + 1 - begin - gap, gap
        else:
            before, shift = anchor[chosen] - first + 1 - gap - begin, gap
        behind = clip_high - before - max(gap, 0)
        position[read] = first + begin + shift + clip_low
        stop[read] = position[read] + before - clip_low + max(-gap, 0) + behind
        operations[0] = clip_low << 4 | CIGAR_S
        operations[1] = (before - clip_low) << 4 | CIGAR_M
        operations[2] = abs(gap) << 4 | (CIGAR_I if gap > 0 else CIGAR_D)
        operations[3] = behind << 4 | CIGAR_M
        operations[4] = (size - clip_high) << 4 | CIGAR_S
        place[read] = used + 4
        for step in range(max(gap, 0)):
            if phred[before + step] < MIN_CERTAIN_QUALITY:
                codes[before + step] = sequence[sequence_start[chosen] + step]
        used += _write_with(raw, record, position[read], operations, codes, records[used:])
    return records[:used], place, position, stop


@numba.njit(cache=True, nogil=True)
def _try(codes, left, right, size, begin, reference, anchor, gap, inserted, from_left):
    """Score of a read with a gap, and the bases [a, b) of it that are aligned then.

    Args:
        codes: Base codes of the read.
        left: Its first aligned base.
        right: One past its last aligned base.
        size: Number of its bases.
        begin: Column under which its first base lies if it is aligned without a gap.
        reference: Base codes by column.
        anchor: Column before the gap.
        gap: +inserted or -deleted bases.
        inserted: Inserted bases.
        from_left: Whether what lies left of the gap stays as it is aligned, or what lies right of it.
    """
    none = -np.int64(1 << 30)
    if from_left:
        before, shift = anchor + 1 - begin, np.int64(0)
    elif gap > 0:
        before, shift = anchor + 1 - begin - gap, gap
    else:
        before, shift = anchor + 1 - gap - begin, gap
    behind = before + max(gap, 0)
    if before < _LEAST_BESIDE or size - behind < _LEAST_BESIDE:
        return none, left, right
    # What stays must be aligned there now.
    if (from_left and before <= left) or (not from_left and behind >= right):
        return none, left, right
    score = np.int64(_GAP)
    for step in range(max(gap, 0)):
        score += _MATCH if codes[before + step] == inserted[step] else _MISMATCH
    low, high = before, behind
    total, most = np.int64(0), np.int64(0)
    for step in range(before - 1, -1, -1):
        if from_left and step < left:
            break
        total += _MATCH if _same(codes, step, reference, begin + shift + step) else _MISMATCH
        if total >= most:
            most, low = total, step
    score += most
    # Behind the gap the reference goes on after its anchor or the deleted bases.
    ahead = begin + shift - gap
    total, most = np.int64(0), np.int64(0)
    for step in range(behind, size):
        if not from_left and step >= right:
            break
        total += _MATCH if _same(codes, step, reference, ahead + step) else _MISMATCH
        if total >= most:
            most, high = total, step + 1
    score += most
    if before - low < _LEAST_BESIDE or high - behind < _LEAST_BESIDE:
        return none, left, right
    return score, low, high


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
    target[4 + 12] = number
    target[4 + 13] = 0
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
