"""Alleles that overlap or adjoin are judged together: which haplotypes they make, and which pair of them reads show.

A haplotype carries any candidates that leave each other's bases alone. The likelihood of a pair of haplotypes is the
product, over the candidates, of the probability of as many copies as both hold. Where a deletion leaves room for one
copy only, two copies count as that one: no read shows the reference then. Which combinations of two candidates that
could share a haplotype are there, the reads that show them tell.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from diffbio_core.calling.repeat_lengths import FITTED, repeat_lengths
from diffbio_core.windows.encoding import BASES, CODE_MASK, DELETED, NO_READ, READ_START
from diffbio_core.windows.planes import ShardPlanes

MAX_HAPLOTYPES = 300
"""Haplotypes of a cluster that are compared; the least likely candidates are dropped until there are no more."""

_MISLEADS = math.log(50)  # a read in fifty shows a combination of alleles that its haplotype does not carry

_RARELY_SHOWN = 20  # a combination that fewer than one in so many reads show counts as shown by none

_MOST_UNSHOWN = 12  # reads; beyond them what else keeps a combination from being seen is likelier than chance


@dataclass(frozen=True)
class Allele:
    """One candidate as a change of the reference.

    Attributes:
        candidate: Its index in the shard's table.
        position: 0-based position of the changed base, or of the base before an indel.
        length: 0 for a changed base, +inserted or -deleted bases else.
        new: The new base, or the inserted ones.
    """

    candidate: int
    position: int
    length: int
    new: str

    @property
    def stop(self) -> int:
        """One past the last base that a record of it spans."""
        return self.position + 1 + max(0, -self.length)

    def leaves_room_for(self, other: Allele) -> bool:
        """Whether one haplotype can carry both; ``other`` is not left of this one."""
        if self.position == other.position:
            return np.sign(self.length) != np.sign(other.length)
        # What stands right behind the deleted bases, an insertion there included, is not theirs.
        return other.position >= self.stop - (other.length != 0)


Piece = tuple[int, ...]
"""Alleles of one haplotype that make one allele of a record, by their place in the cluster."""


@dataclass(frozen=True)
class Haplotypes:
    """The haplotypes of a cluster, and how likely each pair of them is.

    Attributes:
        alleles: The cluster's alleles, by position.
        pieces: What each haplotype writes into records, by position.
        pairs: Haplotypes of each genotype; one column on a haploid contig.
        copies: Copies of each allele in each genotype.
        logs: Natural logarithm of the genotypes' probabilities, normalised.
    """

    alleles: tuple[Allele, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    pairs: Int64[np.ndarray, "genotypes ploidy"]
    copies: Int64[np.ndarray, "genotypes alleles"]
    logs: Float64[np.ndarray, " genotypes"]

    def start(self, piece: Piece) -> int:
        """First position of a piece."""
        return self.alleles[piece[0]].position

    def stop(self, piece: Piece) -> int:
        """One past the last position that a piece spans."""
        return max(self.alleles[place].stop for place in piece)


def pair_haplotypes(planes: ShardPlanes, alleles: list[Allele], logs: np.ndarray, ploidy: int) -> Haplotypes:
    """Weigh the genotypes of a cluster.

    Args:
        planes: The shard.
        alleles: The cluster's alleles, by position.
        logs: (candidates, 3) natural logarithms of the probabilities of 0, 1 and 2 copies.
        ploidy: Copies of the contig: 2, or 1.
    """
    carried = _combinations(alleles)
    while len(carried) > MAX_HAPLOTYPES:
        least = max(alleles, key=lambda allele: logs[allele.candidate, 0])
        alleles = [allele for allele in alleles if allele is not least]
        carried = _combinations(alleles)
    holds = np.zeros((len(carried), len(alleles)), np.int64)
    for number, places in enumerate(carried):
        holds[number, list(places)] = 1
    pairs = np.array(list(itertools.combinations_with_replacement(range(len(carried)), ploidy)))
    copies = holds[pairs].sum(1)
    # On a haploid contig the one copy is what the classifier calls two.
    table = logs[[allele.candidate for allele in alleles]]
    each = table[np.arange(len(alleles)), copies * 2 // ploidy]
    if ploidy == 2:
        room_for_one = (copies == 1) & (holds @ _takes_away(alleles) > 0)[pairs].any(1)
        each = np.where(room_for_one, np.logaddexp(table[:, 1], table[:, 2]), each)
    repeats = repeat_lengths(planes, [allele.candidate for allele in alleles])
    for repeat in repeats:
        each[:, repeat.members] *= FITTED.classifier
    weights = each.sum(1)
    for repeat in repeats:
        weights += repeat.log_weights((holds[:, repeat.members] @ repeat.change)[pairs])
    if ploidy == 2:
        for one, other in itertools.combinations(range(len(alleles)), 2):
            if _share_a_record(alleles[one], alleles[other]):
                held = holds[pairs[:, :, None], [one, other]].astype(bool)
                carried_by, reads = _carried(held), _count_combinations(planes, alleles[one], alleles[other])
                weights -= _unshown(carried_by, reads) * math.log(2)
                misfits = _misfits(carried_by, reads)
                present = np.all(np.any(held, axis=1), axis=1)
                weights -= np.where(present, (misfits - misfits[present].min(initial=np.inf)) * _MISLEADS, 0)
    weights -= np.logaddexp.reduce(weights)
    pieces = tuple(_pieces(alleles, places) for places in carried)
    return Haplotypes(tuple(alleles), pieces, pairs, copies, weights)


def spell(alleles: list[Allele], reference: str, start: int) -> str:
    """Sequence of one haplotype over ``reference``, which starts at a position."""
    written, cursor = "", start
    for allele in sorted(alleles, key=lambda allele: (allele.position, allele.length != 0, -allele.length)):
        written += reference[cursor - start : allele.position - start]
        cursor = max(cursor, allele.position)
        if allele.length == 0:
            written += allele.new
            cursor = allele.position + 1
            continue
        if cursor == allele.position:
            written += reference[cursor - start]
            cursor += 1
        written += allele.new
        cursor = max(cursor, allele.stop)
    return written + reference[cursor - start :]


def _combinations(alleles: list[Allele]) -> list[Piece]:
    """Sets of alleles that one haplotype can carry, by their places, the empty set first."""
    found: list[Piece] = [()]
    for place, allele in enumerate(alleles):
        found += [
            (*before, place) for before in found if all(alleles[other].leaves_room_for(allele) for other in before)
        ]
    return found


def _takes_away(alleles: list[Allele]) -> Int64[np.ndarray, "alleles alleles"]:
    """Whether the first of two alleles deletes the place of the second.

    That of an insertion behind the last deleted base, too: one haplotype can carry both, but on two no read shows the
    reference there.
    """
    return np.array([[one.position < other.position < one.stop for other in alleles] for one in alleles]).astype(
        np.int64
    )


def _share_a_record(one: Allele, other: Allele) -> bool:
    """Whether two alleles that one haplotype can carry make one allele of a record there."""
    return other.position < one.stop and one.leaves_room_for(other)


def _pieces(alleles: list[Allele], places: Piece) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    stop = -1
    for place in places:
        joined = pieces and alleles[place].position < stop
        pieces[-1:] = [(*pieces[-1], place)] if joined else [*pieces[-1:], (place,)]
        stop = max(stop, alleles[place].stop)
    return tuple(pieces)


def _carried(held: Bool[np.ndarray, "genotypes 2 2"]) -> Bool[np.ndarray, "3 genotypes"]:
    """Whether a haplotype of each genotype carries both of two alleles, the first alone, and the second alone.

    Args:
        held: Whether each of its haplotypes carries each of the two.
    """
    first, second = held[:, :, 0], held[:, :, 1]
    return np.any(np.stack([first & second, first & ~second, ~first & second]), axis=2)


def _misfits(
    carried: Bool[np.ndarray, "3 genotypes"], reads: tuple[int, int, int]
) -> Float64[np.ndarray, " genotypes"]:
    """Reads that show a combination of two alleles which no haplotype of a genotype carries.

    Args:
        carried: See `_carried`.
        reads: Those that show each combination.
    """
    # Half a read against sharing a haplotype: most alleles of one place are of two.
    return np.array(reads) @ ~carried + 0.5 * carried[0]


def _unshown(
    carried: Bool[np.ndarray, "3 genotypes"], reads: tuple[int, int, int]
) -> Float64[np.ndarray, " genotypes"]:
    """Reads that all show one combination where a genotype's haplotypes carry two: each read is as likely of either.

    Args:
        carried: See `_carried`.
        reads: Those that show each combination.
    """
    shown = np.where(carried, np.array(reads)[:, None], 0)
    lacking = carried & (shown * _RARELY_SHOWN < shown.sum(0))
    return np.where(lacking.any(0), np.minimum(shown.sum(0), _MOST_UNSHOWN), 0).astype(np.float64)


def _count_combinations(planes: ShardPlanes, one: Allele, other: Allele) -> tuple[int, int, int]:
    """Reads that show both alleles, the first alone, and the second alone.

    One that ends, or is clipped, where bases would be inserted next shows nothing of the insertion.
    """
    table, grid = planes.candidates, planes.grid
    window = int(table.window[other.candidate])
    origin = (planes.shard.first_window + window) * grid.reference_length - grid.halo
    marked = planes.base[:, window].reshape(-1, grid.positions)
    cells = marked & CODE_MASK
    goes_on = np.ones(cells.shape[0], np.bool_)
    shown = []
    for allele in (one, other):
        column = allele.position - origin
        if allele.length > 0:
            goes_on &= (cells[:, column + 1] != NO_READ) & (marked[:, column + 1] & READ_START == 0)
        if allele.length == 0:
            shown.append(cells[:, column] == BASES.index(allele.new))
        elif allele.length < 0 and int(table.window[allele.candidate]) != window:
            deleted = cells[:, column + 1 : column + 1 - allele.length] == DELETED
            shown.append(deleted.all(1) & (cells[:, column] != DELETED))
        else:
            lanes = np.zeros(cells.shape[0], np.bool_)
            first, last = table.support_start[allele.candidate : allele.candidate + 2]
            lanes[table.support_lane[first:last]] = True
            shown.append(lanes)
    first, second = shown
    both, first_alone, second_alone = first & second, first & ~second & goes_on, second & ~first & goes_on
    return int(np.count_nonzero(both)), int(np.count_nonzero(first_alone)), int(np.count_nonzero(second_alone))
