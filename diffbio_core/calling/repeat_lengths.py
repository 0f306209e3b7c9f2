"""How long a tandem repeat is on each haplotype, by the reads that reach past both of its ends.

The classifier looks at one allele at a time. Of a repeat's lengths the reads tell together: which of them a pair of
haplotypes explains, if reads show a repeat longer or shorter than it is as often as the library's do in shorter ones
(as HipSTR weighs them: Willems 2017, doi:10.1038/nmeth.4267). Only reads that align past both ends are counted; of the
others, those that a longer allele would not fit seem to show the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Float64, Int64

from diffbio_core.candidates.view_encoding import SUPPORTS, UNINFORMATIVE
from diffbio_core.candidates.views import role_of_gapless, shift_room
from diffbio_core.reads.slippage import Slippage
from diffbio_core.simulation.repeats import MAX_UNIT
from diffbio_core.windows.encoding import CODE_MASK, INDEL_FOLLOWS, N_BASE, NO_READ, READ_START
from diffbio_core.windows.grid import MIN_HALO
from diffbio_core.windows.lanes import row_at
from diffbio_core.windows.planes import LANES_PER_BLOCK, ShardPlanes

SHORTEST = 5
"""Shortest repeat (bp) that is weighed; of units of three bases and more, two copies."""

BESIDE = 5
"""Aligned bases (bp) that a read must have beyond either end of a repeat, if it shows its longest allele."""

MIN_MAPPING_QUALITY = 10

MOST_READS = 55
"""Reads that a repeat is weighed by at most, as many as the classifier is shown: more count as so many of the same
shares, since what slips before sequencing is in several reads."""


@dataclass(frozen=True)
class LengthWeights:
    """What a repeat's reads weigh beside the classifier, and how rates grow with a repeat's length.

    Fitted by ``benchmarks/repeat_lengths.py``, which maximises the probability of the true pair of lengths.

    Attributes:
        classifier: Exponent of the classifier's probabilities of the repeat's alleles.
        reads: Exponent of the likelihood of the reads' lengths.
        two_changed: Logarithm of the prior odds of two lengths of which neither is the reference's.
        level: Rate of homopolymers of 10.5 bp, as a multiple of what was measured of the library.
        growth: Logarithm by which rates of homopolymers grow with each base (1/bp).
        other_level: Rate of other repeats of 20 bp, were all of the library's homopolymers wrong.
        other_power: Power of the measured rate that it is multiplied with.
        other_growth: Logarithm by which rates of other repeats grow with each base (1/bp).
        ceiling: Rate that the longest come near.
        further: Probability that a slip goes one unit further.
        stray: Probability that a read shows any length, for whatever cause.
    """

    classifier: float = 0.475
    reads: float = 0.596
    two_changed: float = -0.463
    level: float = 2.98
    growth: float = 0.383
    other_level: float = 0.0356
    other_power: float = 0.927
    other_growth: float = 0.281
    ceiling: float = 0.655
    further: float = 0.104
    stray: float = 0.0176


FITTED = LengthWeights()


@dataclass(frozen=True)
class RepeatLengths:
    """A repeat in which indels are likely, and the lengths that reads show of it.

    Attributes:
        members: Places in the cluster of the alleles that change its length.
        change: Base pairs by which each of them does.
        tract: Its length in the reference (bp).
        unit: Length of what is repeated (bp).
        shown: Changes of length that reads show.
        reads: Number of reads that show each.
        slippage: Of the library.
    """

    members: tuple[int, ...]
    change: Int64[np.ndarray, " members"]
    tract: int
    unit: int
    shown: Int64[np.ndarray, " lengths"]
    reads: Float64[np.ndarray, " lengths"]
    slippage: Slippage

    def log_weights(
        self, changes: Int64[np.ndarray, "genotypes ploidy"], weights: LengthWeights = FITTED
    ) -> Float64[np.ndarray, " genotypes"]:
        """Logarithm of the weight of each genotype, up to a constant.

        Args:
            changes: By how much each haplotype of a genotype changes the repeat's length (bp).
            weights: See `LengthWeights`.
        """
        lengths, place = np.unique(changes, return_inverse=True)
        shares = self._shares(lengths, weights)[place.reshape(changes.shape)].mean(1)
        different = (changes != 0).all(1) & (changes != changes[:, :1]).any(1)
        return weights.reads * (np.log(shares) * self.reads).sum(1) + weights.two_changed * different

    def _shares(self, changes: np.ndarray, weights: LengthWeights) -> Float64[np.ndarray, "changes lengths"]:
        """Share of the reads of an allele that show each length."""
        rates = slip_rates(np.maximum(self.tract + changes, 0), self.unit, self.slippage, weights)
        gains = share_of_gains(self.slippage)
        slipped = self.shown - changes[:, None]
        units = np.abs(slipped) // self.unit
        direction = np.where(slipped > 0, gains, 1 - gains)
        by_so_many = direction * (1 - weights.further) * weights.further ** np.maximum(units - 1, 0)
        shares = np.where(slipped == 0, 1 - rates[:, None], rates[:, None] * by_so_many)
        return shares + weights.stray


def slip_rates(
    lengths: Int64[np.ndarray, " lengths"] | int, unit: int, slippage: Slippage, weights: LengthWeights = FITTED
) -> Float64[np.ndarray, " lengths"]:
    """Share of a library's reads that show a repeat longer or shorter than it is.

    Args:
        lengths: Of the repeat (bp).
        unit: Length of what is repeated (bp).
        slippage: Of the library.
        weights: See `LengthWeights`.
    """
    rate = max(slippage.longer + slippage.shorter, 0.002)
    if unit == 1:
        rates = rate * weights.level * np.exp(weights.growth * (np.asarray(lengths) - 10.5))
    else:
        grown = np.exp(weights.other_growth * (np.asarray(lengths) - 20.0))
        rates = rate**weights.other_power * weights.other_level * grown
    return rates * weights.ceiling / (rates + weights.ceiling)


def share_of_gains(slippage: Slippage) -> float:
    """Share of the reads with a wrong length that show a longer repeat."""
    return (slippage.longer + 0.003) / (slippage.longer + slippage.shorter + 0.006)


def repeat_lengths(planes: ShardPlanes, candidates: list[int]) -> list[RepeatLengths]:
    """Repeats whose length some of a cluster's candidates change.

    A repeat is left out where one of them puts in or takes out other than whole copies, and where no read reaches past
    both of its ends.

    Args:
        planes: The shard.
        candidates: Indices into its candidates, in order.
    """
    table, found = planes.candidates, []
    by_column: dict[tuple[int, int], list[int]] = {}
    for place, candidate in enumerate(candidates):
        if table.length[candidate] != 0:
            by_column.setdefault((int(table.window[candidate]), int(table.column[candidate])), []).append(place)
    for (window, column), members in by_column.items():
        unit, tract = _tract(planes.reference[window], column)
        if unit == 0 or not all(_whole_copies(planes, candidates[place], unit) for place in members):
            continue
        low = high = candidates[members[0]]
        while low > 0 and table.window[low - 1] == window and table.column[low - 1] == column:
            low -= 1
        while high < len(table) and table.window[high] == window and table.column[high] == column:
            high += 1
        shown = np.array(
            [each for each in range(low, high) if table.length[each] != 0 and _whole_copies(planes, each, unit)]
        )
        start = -((planes.shard.first_window + window) * planes.grid.reference_length - planes.grid.halo)
        reads = _spanning_reads(
            planes.base,
            planes.base_quality,
            planes.reads.first,
            planes.reads.column,
            planes.reads.mapping_quality,
            planes.reference[window],
            (start, start + planes.contig_length),
            window,
            column,
            tract,
            shown,
            table.length,
            table.sequence_start,
            table.sequence,
            table.support_start,
            table.support_lane,
        ).astype(np.float64)
        if not reads.any():
            continue
        found.append(
            RepeatLengths(
                tuple(members),
                table.length[[candidates[place] for place in members]].astype(np.int64),
                tract,
                unit,
                np.concatenate([[0], table.length[shown]]).astype(np.int64),
                reads * min(1.0, MOST_READS / max(reads.sum(), 1.0)),
                planes.slippage,
            )
        )
    return found


def _whole_copies(planes: ShardPlanes, candidate: int, unit: int) -> bool:
    """Whether an indel puts in or takes out whole copies of what the reference repeats behind its column."""
    table = planes.candidates
    length = int(table.length[candidate])
    if length % unit:
        return False
    start = int(table.column[candidate]) + 1
    reference = planes.reference[table.window[candidate]]
    changed = (
        table.sequence[slice(*table.sequence_start[candidate : candidate + 2])]
        if length > 0
        else reference[start : start - length]
    )
    return bool((changed == np.tile(reference[start : start + unit], abs(length) // unit)).all())


@numba.njit(cache=True, nogil=True)
def _tract(reference, column):
    """Unit and length of the repeat behind a column; zeros where there is none, or its end lies too far away."""
    limit = column + MIN_HALO - BESIDE
    for unit in range(1, MAX_UNIT + 1):
        stop = column + 1 + unit
        while stop < limit and reference[stop] == reference[stop - unit] and reference[stop] != N_BASE:
            stop += 1
        tract = stop - column - 1
        if tract >= max(SHORTEST, 2 * unit):
            return (unit, tract) if stop < limit else (0, 0)
    return 0, 0


@numba.njit(cache=True, nogil=True)
def _spanning_reads(
    base,
    base_quality,
    read_first,
    read_column,
    read_mapping,
    bases,
    ends,
    window,
    column,
    tract,
    shown,
    length,
    sequence_start,
    sequence,
    support_start,
    support_lane,
):
    """Reads that reach past both ends of a repeat: those that show its length in the reference, and each indel's.

    One without an indel counts for what its bases fit best, as in a candidate's view, and not at all if that is two.
    Where reads begin at one place, those of a short allele reach further: so a read must reach past the ends by as much
    as it would have to if it showed the longest.
    """
    lanes = base.shape[0] * LANES_PER_BLOCK
    shows = np.zeros(lanes, np.int64)
    for place in range(shown.size):
        for entry in range(support_start[shown[place]], support_start[shown[place] + 1]):
            shows[support_lane[entry]] = place + 1
    reads = np.zeros(shown.size + 1, np.int64)
    longest = np.int64(0)
    for place in range(shown.size):
        longest = max(longest, np.int64(length[shown[place]]))
    for lane in range(lanes):
        cells = base[lane // LANES_PER_BLOCK, window, lane % LANES_PER_BLOCK]
        beside = BESIDE + longest - (np.int64(length[shown[shows[lane] - 1]]) if shows[lane] else np.int64(0))
        first, last = column - beside, column + tract + beside
        if tract + beside >= MIN_HALO:
            continue
        reaches = cells[first] & CODE_MASK != NO_READ
        plain = True
        for here in range(first + 1, last + 1):
            if cells[here] & CODE_MASK == NO_READ or cells[here] & READ_START:
                reaches = False
                break
            if column <= here <= column + tract and cells[here] & INDEL_FOLLOWS:
                plain = False
        if not reaches or (shows[lane] == 0 and not plain):
            continue
        if shows[lane] == 0:
            qualities = base_quality[lane // LANES_PER_BLOCK, window, lane % LANES_PER_BLOCK]
            for place in range(shown.size):
                indel = shown[place]
                change = np.int64(length[indel])
                inserted = sequence[sequence_start[indel] : sequence_start[indel + 1]]
                room = shift_room(bases, column, change, inserted)
                role = role_of_gapless(
                    cells, qualities, bases, column, change, inserted, column + room + abs(change), ends
                )
                if role == UNINFORMATIVE or (role == SUPPORTS and shows[lane] != 0):
                    reaches = False
                    break
                if role == SUPPORTS:
                    shows[lane] = place + 1
        if reaches and read_mapping[row_at(read_first, read_column, window * lanes + lane, column)] >= (
            MIN_MAPPING_QUALITY
        ):
            reads[shows[lane]] += 1
    return reads
