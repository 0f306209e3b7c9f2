"""Candidate views: the reads over one candidate allele, cut from the planes to a fixed width.

A view is all that the classifier sees of a candidate. Its rows are the reads that cover the candidate's column, and of
each the columns nearby that belong to the same alignment without a gap; so what it holds does not depend on how reads
were packed into lanes, on the window's length or on the halo.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numba
import numpy as np
from jaxtyping import Float32, Int8, Int32, UInt8

from diffbio_core.candidates.limits import ViewLimits
from diffbio_core.candidates.view_encoding import (
    DELETION_AFTER,
    DIFFERS,
    FLANK,
    INSERTION_AFTER,
    SUPPORTS,
    UNINFORMATIVE,
    WIDTH,
)
from diffbio_core.windows.encoding import (
    CODE_MASK,
    DELETED,
    DELETION_FOLLOWS,
    INDEL_FOLLOWS,
    INSERTION_FOLLOWS,
    N_BASE,
    NO_READ,
    NUM_RANKS,
    READ_START,
    REVERSE_STRAND,
)
from diffbio_core.windows.grid import MIN_HALO
from diffbio_core.windows.lanes import row_at
from diffbio_core.windows.planes import LANES_PER_BLOCK, ShardPlanes

ROW_BUCKETS = (32, 64, 128, 256)
"""Rows that a batch of views may have; the smallest that holds the deepest candidate is taken."""

NEIGHBOURHOOD = 32
"""Columns to each side within which other candidates are counted."""

NEIGHBOUR_BLOCK = 1024
"""Candidates of different blocks of this many positions of a contig are no neighbours, so that no shard's end shows."""

MIN_ONE_STRAND = 12
"""Reads of a view from which on it counts as of one strand only, as amplicons are, when all but one in
``ONE_STRAND_SHARE`` are. Strands then tell nothing of an allele, but a model that knows libraries of both takes them
for a sign of an artefact; so such reads are put on both strands, by rank."""

ONE_STRAND_SHARE = 16

REALIGNED = 48
"""Columns to each side of an indel over which a read without it is held against reference and allele."""

REALIGNED_GAIN = 20
"""Phred by which a read must fit the allele better than the reference to count as showing it."""


@dataclass
class CandidateViews:
    """Views of a run of candidates, all with the same number of rows.

    Attributes:
        symbol: Base code and bits (``diffbio_core.candidates.view_encoding``).
        base_quality: Phred.
        mapping_quality: Phred, of the row's read.
        group: Role and strand of the row; 0 where there is no read.
        reference: Base codes of the reference around the candidate's column.
        allele: Base codes of the same columns where the allele stands in place of the reference.
        length: 0 for a changed base, +inserted or -deleted bases else.
        tract: Columns by which the indel could be shifted right without a change of sequence; 0 for a changed base.
        crowd: Other candidates within ``NEIGHBOURHOOD`` columns.
        rival: Most reads that show one indel among them.
        lengths: Reads that show another indel at the very column, by how it differs from the candidate in length:
            shorter by more than two bases, by one or two, longer by one or two, by more.
        slippage: Rates at which the library's reads show homopolymers longer, and shorter, than they are.
    """

    symbol: UInt8[np.ndarray, "candidates rows width"]
    base_quality: UInt8[np.ndarray, "candidates rows width"]
    mapping_quality: UInt8[np.ndarray, "candidates rows"]
    group: UInt8[np.ndarray, "candidates rows"]
    reference: UInt8[np.ndarray, "candidates width"]
    allele: UInt8[np.ndarray, "candidates width"]
    length: Int32[np.ndarray, "candidates"]
    tract: Int32[np.ndarray, "candidates"]
    crowd: Int32[np.ndarray, "candidates"]
    rival: Int32[np.ndarray, "candidates"]
    lengths: Int32[np.ndarray, "candidates 4"]
    slippage: Float32[np.ndarray, "candidates 2"]

    def __len__(self) -> int:
        return self.length.size

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, as the call stage takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def seen(self) -> tuple[np.ndarray, ...]:
        """The arrays that follow from the reads over each candidate, in order."""
        return tuple(array for name, array in self.arrays().items() if name != "slippage")

    def roles(self) -> Int8[np.ndarray, "candidates rows"]:
        """What each read says of the allele, as in `view_encoding`; -1 where there is no read."""
        return (self.group.astype(np.int8) - 1) >> 1

    @classmethod
    def empty(cls, candidates: int, rows: int) -> CandidateViews:
        """Views without any read."""
        return cls(
            np.full((candidates, rows, WIDTH), NO_READ, np.uint8),
            np.zeros((candidates, rows, WIDTH), np.uint8),
            np.zeros((candidates, rows), np.uint8),
            np.zeros((candidates, rows), np.uint8),
            np.full((candidates, WIDTH), N_BASE, np.uint8),
            np.full((candidates, WIDTH), N_BASE, np.uint8),
            **{name: np.zeros(candidates, np.int32) for name in ("length", "tract", "crowd", "rival")},
            lengths=np.zeros((candidates, 4), np.int32),
            slippage=np.zeros((candidates, 2), np.float32),
        )


@dataclass(frozen=True)
class CandidateDepth:
    """How many reads cover each candidate's column, and which of them its view shows.

    Attributes:
        covering: Reads in the planes that cover the column.
        shown: Those of a rank below ``cut``.
        cut: ``NUM_RANKS``; where more reads cover the column than may, the highest with which no more are shown than
            should, but at least 1.
    """

    covering: Int32[np.ndarray, "candidates"]
    shown: Int32[np.ndarray, "candidates"]
    cut: UInt8[np.ndarray, "candidates"]


def candidate_depth(planes: ShardPlanes, max_reads: int, thinned_reads: int | None = None) -> CandidateDepth:
    """Depth of each candidate; above ``max_reads`` thinned to ``thinned_reads``, or to ``max_reads`` if not given."""
    table = planes.candidates
    thinned_reads = max_reads if thinned_reads is None else thinned_reads
    read = planes.reads.first, planes.reads.column, planes.reads.rank
    return CandidateDepth(*_depth(planes.base, *read, table.window, table.column, max_reads, thinned_reads))


def cut_views(
    planes: ShardPlanes,
    which: Int32[np.ndarray, "chosen"],
    rows: int,
    candidates: int | None = None,
    *,
    depth: CandidateDepth | None = None,
    limits: ViewLimits | None = None,
) -> CandidateViews:
    """Views of some candidates of a shard.

    Args:
        planes: The shard.
        which: Indices into its candidates.
        rows: Rows of each view; reads past them are left out.
        candidates: Length of the result, the end of it without reads; that of ``which`` if not given.
        depth: Depth of the shard's candidates; thinned to ``rows`` if not given.
        limits: What numbers of a view are cut to.
    """
    depth = depth or candidate_depth(planes, rows)
    limits = limits or ViewLimits()
    views = CandidateViews.empty(which.size if candidates is None else candidates, rows)
    table = planes.candidates
    _cut(
        planes.base,
        planes.base_quality,
        planes.reads.first,
        planes.reads.column,
        planes.reads.mapping_quality,
        planes.reads.rank,
        planes.reference,
        planes.grid.reference_length,
        planes.shard.first_window * planes.grid.reference_length - planes.grid.halo,
        planes.contig_length,
        which,
        depth.covering,
        depth.shown,
        depth.cut,
        limits.max_tract,
        limits.max_crowd,
        table.window,
        table.column,
        table.length,
        table.code,
        table.support_start,
        table.sequence_start,
        table.support_lane,
        table.sequence,
        *views.seen(),
    )
    views.slippage[:] = [max(rate, limits.min_slippage) for rate in (planes.slippage.longer, planes.slippage.shorter)]
    return views


@numba.njit(cache=True, nogil=True)
def _depth(base, read_first, read_column, read_rank, window, column, max_reads, thinned_reads):
    lanes = base.shape[0] * LANES_PER_BLOCK
    covering = np.zeros(window.size, np.int32)
    shown = np.zeros(window.size, np.int32)
    cut = np.full(window.size, NUM_RANKS, np.uint8)
    reads_of_rank = np.zeros(NUM_RANKS, np.int32)
    for candidate in range(window.size):
        for block in range(base.shape[0]):
            for row in range(LANES_PER_BLOCK):
                if base[block, window[candidate], row, column[candidate]] & CODE_MASK != NO_READ:
                    covering[candidate] += 1
        shown[candidate] = covering[candidate]
        if covering[candidate] <= max_reads:
            continue
        reads_of_rank[:] = 0
        for lane in range(lanes):
            cells = base[lane // LANES_PER_BLOCK, window[candidate], lane % LANES_PER_BLOCK]
            if cells[column[candidate]] & CODE_MASK != NO_READ:
                read = row_at(read_first, read_column, window[candidate] * lanes + lane, column[candidate])
                reads_of_rank[read_rank[read]] += 1
        shown[candidate] = reads_of_rank[0]
        cut[candidate] = 1
        while shown[candidate] + reads_of_rank[cut[candidate]] <= thinned_reads:
            shown[candidate] += reads_of_rank[cut[candidate]]
            cut[candidate] += 1
    return covering, shown, cut


@numba.njit(cache=True, nogil=True)
def _cut(
    base,
    base_quality,
    read_first,
    read_column,
    read_mapping,
    read_rank,
    reference,
    reference_length,
    first,
    contig_length,
    which,
    covering,
    shown,
    cut,
    max_tract,
    max_crowd,
    window,
    column,
    length,
    code,
    support_start,
    sequence_start,
    support_lane,
    sequence,
    view_symbol,
    view_quality,
    view_mapping,
    view_group,
    view_reference,
    view_allele,
    view_length,
    view_tract,
    view_crowd,
    view_rival,
    view_lengths,
):
    lanes = base.shape[0] * LANES_PER_BLOCK
    supports = np.zeros(lanes, np.bool_)
    read_of_row = np.empty(lanes, np.int64)
    for view in range(which.size):
        candidate = which[view]
        center = np.int64(column[candidate])
        bases = reference[window[candidate]]
        change = np.int64(length[candidate])
        inserted = sequence[sequence_start[candidate] : sequence_start[candidate + 1]]
        view_length[view] = change
        _spell(bases, center, change, code[candidate], inserted, view_reference[view], view_allele[view])
        tract = shift_room(bases, center, change, inserted)
        view_tract[view] = min(tract, max_tract)
        crowd, rival = _neighbours(
            candidate, reference_length, first, window, column, length, support_start, view_lengths[view]
        )
        view_crowd[view] = min(crowd, max_crowd)
        thinned = shown[candidate] < covering[candidate]
        view_rival[view] = rival
        if thinned:
            view_rival[view] = rival * shown[candidate] // covering[candidate]
            for kind in range(view_lengths.shape[1]):
                view_lengths[view, kind] = view_lengths[view, kind] * shown[candidate] // covering[candidate]
        supports[:] = False
        for entry in range(support_start[candidate], support_start[candidate + 1]):
            supports[support_lane[entry]] = True
        contig_start = -(first + window[candidate] * reference_length)
        ends = contig_start, contig_start + contig_length
        row = 0
        reverse = 0
        for lane in range(lanes):
            block = lane // LANES_PER_BLOCK
            cells = base[block, window[candidate], lane % LANES_PER_BLOCK]
            middle = cells[center]
            if middle & CODE_MASK == NO_READ:
                continue
            if row == view_group.shape[1]:
                break
            read = row_at(read_first, read_column, window[candidate] * lanes + lane, center)
            if thinned and read_rank[read] >= cut[candidate]:
                continue
            qualities = base_quality[block, window[candidate], lane % LANES_PER_BLOCK]
            low = center
            while low > center - FLANK and not cells[low] & READ_START and cells[low - 1] & CODE_MASK != NO_READ:
                low -= 1
            high = center + 1
            while high <= center + FLANK and cells[high] & CODE_MASK != NO_READ and not cells[high] & READ_START:
                high += 1
            for here in range(low, high):
                symbol = cells[here] & np.uint8(CODE_MASK)
                if cells[here] & INSERTION_FOLLOWS:
                    symbol |= np.uint8(INSERTION_AFTER)
                elif cells[here] & DELETION_FOLLOWS:
                    symbol |= np.uint8(DELETION_AFTER)
                view_symbol[view, row, here - center + FLANK] = symbol
                view_quality[view, row, here - center + FLANK] = qualities[here]
            view_mapping[view, row] = read_mapping[read]
            if change == 0:
                role = SUPPORTS if middle & CODE_MASK == code[candidate] else DIFFERS
            elif supports[lane]:
                role = SUPPORTS
            else:
                role = role_of_gapless(
                    cells, qualities, bases, center, change, inserted, center + tract + abs(change), ends
                )
            view_group[view, row] = 1 + 2 * role + (1 if middle & REVERSE_STRAND else 0)
            reverse += 1 if middle & REVERSE_STRAND else 0
            read_of_row[row] = read
            row += 1
        if row >= MIN_ONE_STRAND and min(reverse, row - reverse) * ONE_STRAND_SHARE <= row:
            for place in range(row):
                role = (view_group[view, place] - 1) // 2
                view_group[view, place] = 1 + 2 * role + read_rank[read_of_row[place]] % 2


@numba.njit(cache=True, nogil=True)
def _neighbours(candidate, reference_length, first, window, column, length, support_start, lengths):
    """Number of other candidates nearby, and the most reads that show one indel among them; fills ``lengths``."""
    crowd = 0
    rival = 0
    here = first + window[candidate] * reference_length + column[candidate]
    for step in (-1, 1):
        other = candidate + step
        while 0 <= other < window.size:
            there = first + window[other] * reference_length + column[other]
            if abs(there - here) > NEIGHBOURHOOD or there // NEIGHBOUR_BLOCK != here // NEIGHBOUR_BLOCK:
                break
            crowd += 1
            if length[other] != 0:
                reads = support_start[other + 1] - support_start[other]
                rival = max(rival, reads)
                longer = length[other] - length[candidate]
                if there == here and longer != 0:
                    lengths[(2 if longer > 0 else 0) + (1 if (longer > 2 or -2 <= longer < 0) else 0)] += reads
            other += step
    return crowd, rival


@numba.njit(cache=True, nogil=True)
def role_of_gapless(cells, qualities, bases, center, change, inserted, last, ends):
    """Role of a read that was aligned without an indel, by which sequence its bases fit better.

    Aligners write an indel near a read's end as mismatches, since those cost less than a gap. So the read is held
    against the reference, and against the allele with either its left or its right part in place; a read that does not
    leave the repeat that the indel can be shifted in fits both alike. One that reaches the contig's start or end
    (``ends``, columns) does not stop within the repeat, but where the sequence does: it is not moved over that end.
    """
    # Past an indel of its own the read's bases are in other places, so it is looked at up to there; one where the
    # candidate lies is another allele.
    low = center
    while (
        low > center - REALIGNED
        and not cells[low] & READ_START
        and cells[low - 1] & CODE_MASK < DELETED
        and not cells[low - 1] & INDEL_FOLLOWS
    ):
        low -= 1
    high = center + 1
    limit = min(last + REALIGNED, center + MIN_HALO)
    while (
        not cells[high - 1] & INDEL_FOLLOWS
        and high < limit
        and cells[high] & CODE_MASK < DELETED
        and not cells[high] & READ_START
    ):
        high += 1
    if cells[high - 1] & INDEL_FOLLOWS and high - 1 <= last:
        return DIFFERS
    as_reference = np.int64(0)
    left_in_place = np.int64(0)
    right_in_place = np.int64(0)
    for here in range(low, high):
        code = cells[here] & CODE_MASK
        if code == N_BASE:
            continue
        cost = np.int64(qualities[here])
        if code != bases[here]:
            as_reference += cost
        beyond = here - center
        # The allele with its left part where the reference has it: bases move right of the candidate's column.
        if beyond <= 0:
            expected = bases[here]
        elif beyond <= change:
            expected = inserted[beyond - 1]
        else:
            expected = bases[here - change] if beyond - change < MIN_HALO else np.uint8(N_BASE)
        if expected != code and expected != N_BASE:
            left_in_place += cost
        # And with its right part there: bases move left of the last column that the indel replaces.
        if beyond > max(-change, 0):
            expected = bases[here]
        elif change > 0 and beyond > -change:
            expected = inserted[beyond + change - 1]
        else:
            expected = bases[here + change] if beyond + change >= -MIN_HALO else np.uint8(N_BASE)
        if expected != code and expected != N_BASE:
            right_in_place += cost
    at_start, at_end = low == ends[0], high == ends[1]
    as_allele = min(left_in_place, right_in_place)
    if at_start and not at_end:
        as_allele = left_in_place
    elif at_end and not at_start:
        as_allele = right_in_place
    if as_allele + REALIGNED_GAIN <= as_reference:
        return SUPPORTS
    if as_reference < as_allele or (as_reference == as_allele and (at_start or at_end)):
        return DIFFERS
    return UNINFORMATIVE


@numba.njit(cache=True, nogil=True)
def _spell(bases, center, change, code, inserted, view_reference, view_allele):
    """Reference and allele around the candidate; N from MIN_HALO to the right on, which some windows may not hold."""
    limit = center + MIN_HALO
    for place in range(WIDTH):
        here = center - FLANK + place
        view_reference[place] = bases[here]
        if here <= center:
            view_allele[place] = code if change == 0 and here == center else bases[here]
            continue
        source = here
        if change > 0:
            if here - center <= change:
                view_allele[place] = inserted[here - center - 1]
                continue
            source = here - change
        elif change < 0:
            source = here - change
        view_allele[place] = bases[source] if source < limit else N_BASE


@numba.njit(cache=True, nogil=True)
def shift_room(bases, center, change, inserted):
    """Columns by which an indel can be shifted right, seen no further than MIN_HALO past the candidate."""
    tract = 0
    if change < 0:
        while (
            center + 1 + tract - change < center + MIN_HALO
            and bases[center + 1 + tract] == bases[center + 1 + tract - change]
        ):
            tract += 1
    elif change > 0:
        # Past one copy, a shifted insertion repeats what lay before it.
        while center + 1 + tract < center + MIN_HALO and bases[center + 1 + tract] == (
            inserted[tract] if tract < change else bases[center + 1 + tract - change]
        ):
            tract += 1
    return tract
