"""Long insertions and deletions that reads show, by ends that an aligner clipped there or by gaps that it wrote.

Clipped bases that fit the reference behind a gap propose an insertion or deletion, and so does a long gap of a read;
gaps that lie close together in a read are one change. What two reads propose counts. Where a clipped end fits for a
part only, what lies beyond may fit behind a second gap.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Bool, Int64, UInt8

from diffbio_core.reads.bases import decode_read
from diffbio_core.reads.records import (
    CIGAR_D,
    CIGAR_I,
    CIGAR_M,
    CIGAR_N,
    CIGAR_S,
    ReadTable,
    little_endian_16,
    little_endian_32,
    next_run,
)
from diffbio_core.windows.encoding import N_BASE

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

MOST_INNER = 4
"""Stretches between gaps that are one change."""

_NEAR = 8  # positions within which clips count as at one place, and gaps as one change
_DIFFERING = 10  # one of so many bases may differ from the reference behind a gap
_LEAST_DISTINCT = 6  # words of three bases: what is simpler, such as a tail of A's, fits in many places
_FEWER_DIFFERING = 3  # bases that differ if a clipped end is aligned without a gap, more than with one
_WORD = 8
_MOST_BEFORE = 24  # clipped bases before a gap: changes near it make an aligner clip them, too
_LEAST_PART = 20  # bases of a clipped end that must fit alone where the whole does not
_GAPS_OF_END = 2
_MOST_ALIKE = 2  # bases by which an indel may differ from another that reads spell another way


class LongIndels(NamedTuple):
    """Indels in order of anchor, each as far left as it goes; those that lie close together in a read are one.

    Attributes:
        anchor: Position before each.
        skipped: Columns of the reference from its first to its last.
        sequence_start: First base of each in ``sequence``, and the number of all.
        sequence: Base codes of a read from its first to its last: what is inserted, if it is a single one.
        inner_start: First of the blocks between its gaps in ``inner``, and the number of all; none of a single one.
        inner: Base of the sequence and column behind the anchor that each block starts with, and its bases.
    """

    anchor: Int64[np.ndarray, "indels"]
    skipped: Int64[np.ndarray, "indels"]
    sequence_start: Int64[np.ndarray, "bounds"]
    sequence: UInt8[np.ndarray, "bases"]
    inner_start: Int64[np.ndarray, "bounds"]
    inner: Int64[np.ndarray, "blocks 3"]


def long_indels(
    raw: UInt8[np.ndarray, "bytes"],
    table: ReadTable,
    counted: Bool[np.ndarray, "reads"],
    reference: UInt8[np.ndarray, "positions"],
    first: int,
) -> LongIndels:
    """Long indels that enough reads propose.

    Args:
        raw: Bytes that the table's offsets point into.
        table: Reads in file order.
        counted: Which of them are looked at.
        reference: Base codes under and around the reads; 4 (N) outside the contig.
        first: Position of the first of these.
    """
    proposed = _propose(raw, table.offset, table.alignment_start, table.end, counted, reference, first)
    return _agreed(LongIndels(*proposed), reference, first)


def _agreed(proposed: LongIndels, reference: np.ndarray, first: int) -> LongIndels:
    """Indels that enough reads propose.

    Bases of one place and length that single reads spell and that differ in few of them are one indel: that which
    several reads spell alike, if there is one. What several spell alike is an indel of its own. Of single ones of one
    length at two near places that leave nearly the same bases one is kept: beside a change of the reference a gap has
    two places, and a read that ends nearby does not tell which.
    """
    spellings: dict[tuple[int, int, int, bytes], Counter[bytes]] = {}
    for place, (anchor, skipped) in enumerate(zip(proposed.anchor.tolist(), proposed.skipped.tolist(), strict=True)):
        bases = proposed.sequence[proposed.sequence_start[place] : proposed.sequence_start[place + 1]]
        inner = proposed.inner[proposed.inner_start[place] : proposed.inner_start[place + 1]]
        spellings.setdefault((anchor, skipped, bases.size, inner.tobytes()), Counter())[bases.tobytes()] += 1
    found: list[tuple[int, _Indel]] = []
    for (anchor, skipped, _, inner), spelled in sorted(spellings.items()):
        # In an order of their own, so that none depends on the order of the reads.
        left = sorted(spelled, key=lambda bases: (-spelled[bases], bases))
        while left:
            commonest = np.frombuffer(left[0], np.uint8)
            like = [
                each
                for each in left
                if np.sum(np.frombuffer(each, np.uint8) != commonest) <= commonest.size // _DIFFERING
                and (each is left[0] or spelled[each] < MIN_READS)
            ]
            left = [each for each in left if each not in like]
            support = sum(spelled[each] for each in like)
            if support >= MIN_READS:
                blocks = np.frombuffer(inner, np.int64).reshape(-1, 3)
                found.append((support, _Indel(anchor, skipped, _commonest(like, spelled), blocks)))
    kept: list[_Indel] = []
    for _, indel in sorted(found, key=lambda each: -each[0]):
        if not any(_is_respelled(indel, other, reference, first) for other in kept):
            kept.append(indel)
    kept.sort(key=lambda each: each.anchor)
    return LongIndels(
        np.array([each.anchor for each in kept], np.int64),
        np.array([each.skipped for each in kept], np.int64),
        np.cumsum([0, *(each.bases.size for each in kept)]).astype(np.int64),
        np.concatenate([np.empty(0, np.uint8), *(each.bases for each in kept)]),
        np.cumsum([0, *(len(each.inner) for each in kept)]).astype(np.int64),
        np.concatenate([np.empty((0, 3), np.int64), *(each.inner for each in kept)]),
    )


class _Indel(NamedTuple):
    anchor: int
    skipped: int
    bases: np.ndarray
    inner: np.ndarray


def _is_respelled(one: _Indel, other: _Indel, reference: np.ndarray, first: int) -> bool:
    """Whether two single indels of one length at two near places leave nearly the same bases."""
    if len(one.inner) or len(other.inner) or (one.skipped, one.bases.size) != (other.skipped, other.bases.size):
        return False
    if one.anchor == other.anchor or abs(one.anchor - other.anchor) > 2 * _NEAR:
        return False
    low, high = (pick(one.anchor, other.anchor) + 1 - first for pick in (min, max))
    spelled = []
    for indel in (one, other):
        at = indel.anchor + 1 - first
        spelled.append([*reference[low:at], *indel.bases, *reference[at + indel.skipped : high + indel.skipped]])
    return sum(a != b for a, b in zip(*spelled, strict=True)) <= _MOST_ALIKE


def _commonest(like: list[bytes], spelled: Counter[bytes]) -> UInt8[np.ndarray, " bases"]:
    """The commonest base in each place of sequences of one length; of equally common ones that of the first."""
    votes = np.zeros((len(like[0]), N_BASE + 1), np.int64)
    for place, each in enumerate(like):
        votes[np.arange(len(each)), np.frombuffer(each, np.uint8)] += 2 * len(like) * spelled[each] - place
    return votes.argmax(1).astype(np.uint8)


@numba.njit(cache=True, nogil=True)
def _clips(raw, record):
    """Soft-clipped bases at both ends, and the number of insertions and deletions."""
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    left = right = np.int64(0)
    aligned, gaps = False, np.int64(0)
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
            aligned = True
        elif kind == CIGAR_I or kind == CIGAR_D:
            gaps += 1
    return left, right, gaps


@numba.njit(cache=True, nogil=True)
def _base(sequence, at):
    return sequence[at] if 0 <= at < sequence.size else np.uint8(N_BASE)


@numba.njit(cache=True, nogil=True)
def same_base(codes, place, reference, at):
    """Whether a base of a read is known and the reference's in a column."""
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
def _is_near(words, place, word):
    """Whether a word is one of those within reach of a gap; without a branch, so that many are looked at at once."""
    found = False
    for other in words[max(place - LONGEST, 0) : max(place + LONGEST + 1, 0)]:
        found |= other == word
    return found


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
        if not same_base(codes, low + step * place, reference, at + step * (place - inserted + skipped)):
            differ += 1
            if differ >= least:
                return np.int64(0), least
        place -= 1
    split, fewest = np.int64(0), least
    for length in range(most, -1, -1):
        if before[length] + differ < fewest:
            split, fewest = np.int64(length), before[length] + differ
        place = length - 1
        if place >= 0 and not same_base(
            codes, low + step * (place + inserted), reference, at + step * (place + skipped)
        ):
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
        straight += not same_base(codes, low + step * place, reference, at + step * place)
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
    if not (_is_near(words, column, word) or _is_near(words, column + beside, second)):
        return gap, split, copied
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
    """The indels that single reads show."""
    size = reference.size
    clipped = np.zeros(size + 1, np.int64)
    proposing = np.zeros(offset.size, np.bool_)
    longest = np.int64(1)
    room = np.int64(0)
    for read in range(offset.size):
        if not counted[read]:
            continue
        left, right, gaps = _clips(raw, offset[read])
        longest = max(longest, little_endian_32(raw, offset[read] + 16))
        begin, stop = start[read] - first, end[read] - first
        if left >= MIN_CLIPPED and 0 <= begin < size:
            clipped[begin + 1] += 1
            proposing[read] = True
        if right >= MIN_CLIPPED and 0 <= stop < size:
            clipped[stop + 1] += 1
            proposing[read] = True
        proposing[read] |= gaps > 0
        if proposing[read]:
            room += 2 * _GAPS_OF_END + gaps
    for place in range(size):
        clipped[place + 1] += clipped[place]
    words = _words(reference) if room else np.empty(0, np.int32)
    codes = np.empty(longest + 1, np.uint8)
    anchor = np.empty(room, np.int64)
    skipped = np.empty(room, np.int64)
    sequence_start = np.zeros(room + 1, np.int64)
    inner_start = np.zeros(room + 1, np.int64)
    inner = np.empty((room * MOST_INNER, 3), np.int64)
    # Pages are taken from the system only when touched.
    sequence = np.empty(room * LONGEST, np.uint8)
    found = (anchor, skipped, sequence_start, sequence, inner_start, inner)
    number = np.int64(0)
    for read in range(offset.size):
        if not proposing[read]:
            continue
        record = offset[read]
        left, right, gaps = _clips(raw, record)
        at, behind = start[read] - first, end[read] - first
        from_left = left >= MIN_CLIPPED and _clipped_near(clipped, at) >= MIN_READS
        from_right = right >= MIN_CLIPPED and _clipped_near(clipped, behind) >= MIN_READS
        if not (from_left or from_right or gaps):
            continue
        decode_read(raw, record, codes, reference, first)
        if from_left:
            number = _in_end(codes, left - 1, left, -1, reference, words, at - 1, found, number)
        if from_right:
            bases = little_endian_32(raw, record + 16)
            number = _in_end(codes, bases - right, right, 1, reference, words, behind, found, number)
        if gaps:
            number = _in_read(raw, record, codes, at, reference, found, number)
    for place in range(number):
        anchor[place] += first
    return (
        anchor[:number],
        skipped[:number],
        sequence_start[: number + 1],
        sequence[: sequence_start[number]],
        inner_start[: number + 1],
        inner[: inner_start[number]],
    )


@numba.njit(cache=True, nogil=True)
def _clipped_near(clipped, at):
    size = clipped.size - 1
    return clipped[min(at + _NEAR, size)] - clipped[max(at - _NEAR, 0)] if 0 <= at < size else np.int64(0)


@numba.njit(cache=True, nogil=True)
def _in_end(codes, low, high, step, reference, words, at, found, number):
    """Add what a clipped end shows to the first ``number`` indels; returns how many there are. See `_split`."""
    for _ in range(_GAPS_OF_END):
        part = high
        gap, split, copied = _gap_in_clip(codes, low, part, step, reference, words, at)
        while gap == 0 and part >= 2 * _LEAST_PART:
            part //= 2
            gap, split, copied = _gap_in_clip(codes, low, part, step, reference, words, at)
        if gap == 0:
            break
        if step == 1:
            column = at + split
            inserted = column - gap if copied else low + split
        else:
            column = at + 1 - split
            inserted = column if copied else low + 1 - split - gap
            column += min(gap, 0)
        number = _add(reference if copied else codes, inserted, gap, column, reference, found, number)
        if part == high:
            break
        # From where on the bases behind the gap do not fit, there may be another.
        taken = np.int64(0) if copied else max(gap, 0)
        skipped = -gap if copied else max(-gap, 0)
        total, most, last = np.int64(0), np.int64(0), split + taken
        for place in range(split + taken, high):
            total += 1 if same_base(codes, low + step * place, reference, at + step * (place - taken + skipped)) else -4
            if total >= most:
                most, last = total, np.int64(place + 1)
        low, high, at = low + step * last, high - last, at + step * (last - taken + skipped)
    return number


@numba.njit(cache=True, nogil=True)
def _add(bases, inserted, gap, column, reference, found, number):
    """Add an indel in front of a column, its inserted bases taken from some place of others, if it lies inside."""
    if column < 1 or column + max(-gap, 0) > reference.size or not 0 <= inserted <= bases.size - max(gap, 0):
        return number
    anchor, skipped, sequence_start, sequence, inner_start, _ = found
    used = sequence_start[number]
    for step in range(gap):
        sequence[used + step] = bases[inserted + step]
    anchor[number] = _leftmost(reference, column - 1, gap, sequence[used : used + max(gap, 0)])
    skipped[number] = max(-gap, 0)
    sequence_start[number + 1] = used + max(gap, 0)
    inner_start[number + 1] = inner_start[number]
    return number + 1


@numba.njit(cache=True, nogil=True)
def _in_read(raw, record, codes, start, reference, found, number):
    """Add the long gaps of a read, with those close to them; ``start`` is the column of its first aligned base."""
    anchor, skipped, sequence_start, sequence, inner_start, inner = found
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    query, column = np.int64(0), start
    # Of the gaps seen last that are one change: where they begin and end, their blocks and gapped bases, and the last.
    first_query = first_column = stop_query = stop_column = gapped = gap = np.int64(0)
    blocks, fits, aligned = 0, False, False
    operation = np.int64(0)
    while True:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        is_gap = run > 0 and (kind == CIGAR_I or kind == CIGAR_D)
        if gapped and (run == 0 or (is_gap and query - stop_query >= _NEAR) or kind == CIGAR_N):
            if fits and blocks == 0 and gapped >= SHORTEST:
                number = _add(codes, first_query, gap, first_column, reference, found, number)
            elif fits and gapped >= SHORTEST and _is_inside(first_column, stop_column, reference):
                anchor[number] = first_column - 1
                skipped[number] = stop_column - first_column
                used = sequence_start[number]
                for step in range(stop_query - first_query):
                    sequence[used + step] = codes[first_query + step]
                sequence_start[number + 1] = used + stop_query - first_query
                inner_start[number + 1] = inner_start[number] + blocks
                number += 1
            gapped = np.int64(0)
        if run == 0:
            return number
        if is_gap:
            if gapped == 0:
                first_query, first_column, blocks, fits = query, column, 0, aligned
            elif query == stop_query or column == stop_column or blocks == MOST_INNER:
                # An insertion beside a deletion is no gap that is tried.
                fits = False
            else:
                block = inner[inner_start[number] + blocks]
                block[0], block[1], block[2] = stop_query - first_query, stop_column - first_column, query - stop_query
                blocks += 1
            gapped += run
            gap = run if kind == CIGAR_I else -run
        if kind == CIGAR_M or kind == CIGAR_D or kind == CIGAR_N:
            column += run
        if kind == CIGAR_M or kind == CIGAR_I or kind == CIGAR_S:
            query += run
        if is_gap:
            stop_query, stop_column = query, column
            fits &= max(stop_query - first_query, stop_column - first_column) <= LONGEST
        aligned |= kind == CIGAR_M


@numba.njit(cache=True, nogil=True)
def _is_inside(low, high, reference):
    return low >= 1 and high <= reference.size


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
