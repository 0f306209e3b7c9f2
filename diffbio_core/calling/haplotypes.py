"""Alleles that overlap or are near are judged together: which haplotypes they make, and which pair of them reads show.

A haplotype carries any candidates that leave each other's bases alone. The likelihood of a pair of haplotypes is the
product of two kinds of evidence: what the classifier makes of as many copies of each candidate as both hold, and what
reads show. Of the lengths of one repeat the reads that reach past both of its ends tell (``repeat_lengths``), of other
haplotypes all reads (``read_likelihoods``). Where a deletion leaves room for one copy only, the classifier's two copies
count as that one: no read shows the reference then.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from diffbio_core.calling.read_likelihoods import BESIDE, Stretch, log_likelihoods
from diffbio_core.calling.repeat_lengths import FITTED, repeat_lengths
from diffbio_core.candidates.views import shift_room
from diffbio_core.simulation.repeats import MAX_UNIT
from diffbio_core.simulation.sequence import decode_bases, encode_bases
from diffbio_core.windows.encoding import BASES, N_BASE
from diffbio_core.windows.planes import ShardPlanes

MAX_HAPLOTYPES = 300
"""Haplotypes of a cluster that are compared; of more indels of one place the least likely are dropped."""

READS = 0.6
"""Exponent of the reads' likelihoods, whose errors are not independent."""

MOST_READS = 55
"""Reads that a cluster is weighed by at most, as many as the classifier is shown: more count as so many of the same
shares."""

_MISLEADING = 0.01
"""Share of clusters whose reads are of other than two haplotypes, mapped from elsewhere above all: of these the
classifier alone tells, which knows what such reads look like. So what only haplotypes tell has a QUAL of 20 at most."""

_APART = math.log(2)
"""Logarithm of the prior odds that two alleles of one place lie on two haplotypes."""

_LIKELY_CHANGE = math.log(0.9)
"""Probability (logarithm) of no copy under which a changed base beside a cluster is no error of the reads."""


@dataclass(frozen=True)
class Allele:
    """One candidate as a change of the reference.

    Attributes:
        candidate: Its index in the shard's table.
        position: 0-based position of the changed base, or of the base before an indel.
        length: 0 for a changed base, +inserted or -deleted bases else.
        new: The new base, or the inserted ones.
        room: Positions by which an indel could stand further right without a change of sequence.
    """

    candidate: int
    position: int
    length: int
    new: str
    room: int = 0

    @classmethod
    def of(cls, planes: ShardPlanes, candidate: int) -> Allele:
        """The change that a candidate of a shard is."""
        table = planes.candidates
        window, column, length = (
            int(table.window[candidate]),
            int(table.column[candidate]),
            int(table.length[candidate]),
        )
        inserted = table.sequence[slice(*table.sequence_start[candidate : candidate + 2])]
        room = shift_room(planes.reference[window], column, length, inserted) if length else 0
        new = "".join(BASES[code] for code in inserted) if length else BASES[table.code[candidate]]
        return cls(candidate, _origin(planes, window) + column, length, new, int(room))

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

    def within(self, haplotype: int, start: int, stop: int) -> Piece:
        """All that a haplotype carries in pieces that reach into some positions, as one piece."""
        pieces = (piece for piece in self.pieces[haplotype] if self.start(piece) < stop and self.stop(piece) > start)
        return tuple(place for piece in pieces for place in piece)


def pair_haplotypes(planes: ShardPlanes, alleles: list[Allele], logs: np.ndarray, ploidy: int) -> Haplotypes:
    """Weigh the genotypes of a cluster.

    Args:
        planes: The shard.
        alleles: The cluster's alleles, by position.
        logs: (candidates, 3) natural logarithms of the probabilities of 0, 1 and 2 copies.
        ploidy: Copies of the contig: 2, or 1.
    """
    while count_haplotypes(alleles) > MAX_HAPLOTYPES:
        least = max(alleles, key=lambda allele: logs[allele.candidate, 0])
        alleles = [allele for allele in alleles if allele is not least]
    carried = _combinations(alleles)
    stretch, spelled = _stretch(planes, alleles), []
    if stretch is not None:
        carried, spelled = _distinct(carried, _spelled(planes, alleles, carried, stretch, logs[:, 0]))
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
    if stretch is not None and len(alleles) > sum(len(repeat.members) for repeat in repeats):
        reads = log_likelihoods(planes, stretch, spelled)
        power = READS * min(1.0, MOST_READS / max(len(reads), 1))
        alone = each.sum(1)
        weights = alone + power * np.logaddexp.reduce(reads[:, pairs], axis=2).sum(0)
        alone, weights = (logs - np.logaddexp.reduce(logs) for logs in (alone, weights))
        weights = np.logaddexp(weights + math.log1p(-_MISLEADING), alone + math.log(_MISLEADING))
    else:
        for repeat in repeats:
            each[:, repeat.members] *= FITTED.classifier
        weights = each.sum(1)
        for repeat in repeats:
            held = holds[:, repeat.members]
            weights += repeat.log_weights((held @ repeat.change)[pairs])
            # Two changes of one length are a third length, whose allele is another.
            weights[(held.sum(1) > 1)[pairs].any(1)] = -np.inf
    weights -= _APART * np.array([_overlaps([alleles[place] for place in places]) for places in carried])[pairs].sum(1)
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


def _stretch(planes: ShardPlanes, alleles: list[Allele]) -> Stretch | None:
    """Where reads are held against a cluster's haplotypes.

    None where they need not be, as the classifier tells of one allele and of changed bases alone, and where a window
    does not hold all that they would be held against.
    """
    if len(alleles) == 1 or not any(allele.length for allele in alleles):
        return None
    window = int(planes.candidates.window[alleles[0].candidate])
    origin = _origin(planes, window)
    first = alleles[0].position - origin
    last = max(allele.stop + allele.room for allele in alleles) - origin
    # A slip takes away up to two units, deletions what they do.
    spare = 2 * MAX_UNIT + sum(max(0, -allele.length) for allele in alleles)
    if first - BESIDE - spare < 0 or last + BESIDE + spare > planes.grid.positions:
        return None
    return Stretch(window, first - BESIDE, last + BESIDE, first, last, spare)


def _spelled(
    planes: ShardPlanes, alleles: list[Allele], carried: list[Piece], stretch: Stretch, absent: np.ndarray
) -> list[UInt8[np.ndarray, " bases"]]:
    """Base codes of each haplotype, N where a changed base of another cluster is likely: it is no error of a read."""
    table = planes.candidates
    reference = planes.reference[stretch.window].copy()
    column = (table.window - stretch.window) * planes.grid.reference_length + table.column
    beside = (table.length == 0) & (absent < _LIKELY_CHANGE) & (column >= stretch.start) & (column < stretch.stop)
    beside[[allele.candidate for allele in alleles]] = False
    reference[column[beside]] = N_BASE
    start = stretch.start - stretch.spare
    bases = decode_bases(reference[start : stretch.stop + stretch.spare])
    position = _origin(planes, stretch.window) + start
    return [encode_bases(spell([alleles[place] for place in places], bases, position)) for places in carried]


def _distinct(carried: list[Piece], spelled: list[np.ndarray]) -> tuple[list[Piece], list[np.ndarray]]:
    """Haplotypes that differ from each other: of those that are spelled alike that with the fewest alleles."""
    simplest: dict[bytes, int] = {}
    for number in sorted(range(len(carried)), key=lambda number: len(carried[number])):
        simplest.setdefault(spelled[number].tobytes(), number)
    kept = sorted(simplest.values())
    return [carried[number] for number in kept], [spelled[number] for number in kept]


def _origin(planes: ShardPlanes, window: int) -> int:
    """Position of a window's first column."""
    return (planes.shard.first_window + window) * planes.grid.reference_length - planes.grid.halo


def count_haplotypes(alleles: list[Allele]) -> int:
    """Sets of alleles that one haplotype can carry; not counted further than a little over `MAX_HAPLOTYPES`."""
    return len(_combinations(alleles))


def _combinations(alleles: list[Allele]) -> list[Piece]:
    """Sets of alleles that one haplotype can carry, by their places, the empty set first; some of them, if too many."""
    found: list[Piece] = [()]
    for place, allele in enumerate(alleles):
        if len(found) > MAX_HAPLOTYPES:
            break
        found += [
            (*before, place) for before in found if all(alleles[other].leaves_room_for(allele) for other in before)
        ]
    return found


def _overlaps(carried: list[Allele]) -> int:
    """Alleles of one haplotype, by position, that another of its alleles reaches into: both make one of a record."""
    return sum(other.position < one.stop for one, other in itertools.pairwise(carried))


def _takes_away(alleles: list[Allele]) -> Int64[np.ndarray, "alleles alleles"]:
    """Whether the first of two alleles deletes the place of the second.

    That of an insertion behind the last deleted base, too: one haplotype can carry both, but on two no read shows the
    reference there.
    """
    return np.array([[one.position < other.position < one.stop for other in alleles] for one in alleles]).astype(
        np.int64
    )


def _pieces(alleles: list[Allele], places: Piece) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    stop = -1
    for place in places:
        joined = pieces and alleles[place].position < stop
        pieces[-1:] = [(*pieces[-1], place)] if joined else [*pieces[-1:], (place,)]
        stop = max(stop, alleles[place].stop)
    return tuple(pieces)
