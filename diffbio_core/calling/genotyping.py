"""Allele probabilities -> called sites: GT, PL, GQ and QUAL that follow from one weighing of haplotypes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int32

from diffbio_core.calling.haplotypes import (
    MAX_HAPLOTYPES,
    Allele,
    Haplotypes,
    Piece,
    count_haplotypes,
    pair_haplotypes,
    spell,
)
from diffbio_core.calling.sites import CalledSite
from diffbio_core.windows.encoding import BASES
from diffbio_core.windows.planes import ShardPlanes

Item = TypeVar("Item")

MAX_PHRED = 990.0
"""Largest QUAL written; 99 is the largest GQ."""

SPANNED = "*"
"""The allele of a haplotype that another record's deletion takes away here (VCF 4.3, 1.6.1)."""

_LIKELY = math.log(0.9)
"""Probability (logarithm) of no copy above which a candidate is not weighed: alone it would not be listed either."""


_UNLIKELY = math.log(0.995)
"""The same of a candidate near a likely indel, if ``_SHOWN`` reads show it: an aligner may have written one allele as
the other, and under a deletion of the other haplotype the classifier has nothing to hold a changed base against."""

_SHOWN = 3

_NEAR = 10
"""Positions (bp) between an indel and another allele within which they are weighed together."""

_MOST_TOGETHER = 150
"""Haplotypes beyond which only alleles that overlap are weighed together."""

_MOST_SPANNING = 4
"""Indels over a changed base that it is weighed with where a cluster's haplotypes are too many."""

_LONGEST_RECORD = 50
"""Positions (bp) that one record of two overlapping haplotypes spans at most, the field's limit of small variants."""


@dataclass(frozen=True)
class AlleleEvidence:
    """What the call stage found for each candidate of a shard.

    Attributes:
        log_probabilities: Natural logarithms of the probabilities of 0, 1 and 2 copies.
        supports: Reads that show the allele.
        matches: Reads that show the reference there.
        depth: Reads that cover the column and were looked at.
        coverage: All reads that cover it, those thinned included.
    """

    log_probabilities: Float64[np.ndarray, "candidates 3"]
    supports: Int32[np.ndarray, "candidates"]
    matches: Int32[np.ndarray, "candidates"]
    depth: Int32[np.ndarray, "candidates"]
    coverage: Int32[np.ndarray, "candidates"]


def genotype_sites(
    planes: ShardPlanes, evidence: AlleleEvidence, *, ploidy: int = 2, min_qual: float, pass_qual: float, pass_gq: float
) -> list[CalledSite]:
    """Sites of a shard whose likeliest genotype is not the reference, in order of position.

    Alleles that overlap or adjoin are weighed together (``haplotypes``); the likeliest pair of haplotypes is what all
    of their records tell. PL of a record's genotype is that of the likeliest pair that reads so there, where a
    haplotype with alleles that the record does not list reads as the reference; GQ is that PL as a probability, and
    QUAL is the probability of a pair with none of the record's alleles.

    Args:
        planes: The shard.
        evidence: What was found for its candidates.
        ploidy: Copies of the contig: 2, or 1.
        min_qual: QUAL under which a site is not listed.
        pass_qual: QUAL under which a site is listed with the filter LowQual.
        pass_gq: GQ under which a site is listed with the filter LowGQ.
    """
    sites: list[CalledSite] = []
    for cluster, wanted in _clusters(planes, evidence):
        # An indel's reads are weighed also where it is the only one.
        if len(cluster) == 1 and cluster[0].length == 0:
            sites.extend(_call_alone(planes, evidence, cluster[0], ploidy))
        else:
            sites.extend(_call_together(planes, evidence, cluster, ploidy, wanted, pass_gq))
    sites.sort(key=lambda site: site.position)
    return [_filtered(site, pass_qual, pass_gq) for site in sites if site.qual >= min_qual]


def genotypes(alleles: int, ploidy: int) -> list[tuple[int, ...]]:
    """Genotypes over a number of alleles, the reference counted, in VCF order (VCF 4.3, 1.6.2)."""
    if ploidy == 1:
        return [(allele,) for allele in range(alleles)]
    return [(low, high) for high in range(alleles) for low in range(high + 1)]


def _clusters(planes: ShardPlanes, evidence: AlleleEvidence) -> Iterator[tuple[list[Allele], int | None]]:
    """Likely alleles by position, those together that overlap or are near, and which position's record is wanted.

    None stands for all records of a cluster.
    """
    absent = evidence.log_probabilities[:, 0]
    # What is unlikely alone may be what a read shows beside an indel.
    beside = _beside_likely_indels(planes, absent) & (evidence.supports >= _SHOWN)
    weighed = np.flatnonzero(absent < np.where(beside, _UNLIKELY, _LIKELY))
    found = [Allele.of(planes, candidate) for candidate in weighed.tolist()]
    for cluster in _grouped(found, _NEAR):
        for group in _weighed_together(cluster, absent):
            if count_haplotypes(group) <= MAX_HAPLOTYPES:
                yield group, None
            else:
                yield from _parted(group, absent)


def _weighed_together(cluster: list[Allele], absent: np.ndarray) -> Iterable[list[Allele]]:
    """All of a cluster; if these are too many haplotypes those that are likely alone, else groups that overlap."""
    likely = [allele for allele in cluster if absent[allele.candidate] < _LIKELY]
    for alleles in (cluster, likely):
        if count_haplotypes(alleles) <= _MOST_TOGETHER:
            return [alleles]
    return _grouped(cluster, 0)


def _parted(group: list[Allele], absent: np.ndarray) -> Iterator[tuple[list[Allele], int | None]]:
    """Alleles of more haplotypes than can be compared: the indels, and each changed base with those that span it.

    Of two changed bases each is as likely on either haplotype then, whatever reads show of both.
    """
    anchors = {allele.position for allele in group if allele.length}
    spanning = [allele for allele in group if allele.position in anchors]
    if spanning:
        yield spanning, None
    changes = (allele for allele in group if allele.position not in anchors)
    for position, alleles in itertools.groupby(changes, key=lambda allele: allele.position):
        over = [allele for allele in spanning if allele.position < position < allele.stop]
        likeliest = sorted(over, key=lambda allele: absent[allele.candidate])[:_MOST_SPANNING]
        yield [*(allele for allele in over if allele in likeliest), *alleles], position


def _grouped(alleles: Iterable[Allele], near: int) -> Iterator[list[Allele]]:
    """Alleles, by position, that overlap, or of which one is an indel with no more than so many positions between.

    If any may lie between, an indel of a repeat is wherever in it an aligner could have written it.
    """

    def joins(allele: Allele, other: Allele) -> bool:
        reach = near + other.room if near and (allele.length or other.length) else 0
        return allele.position < other.stop + reach

    return _chains(alleles, joins)


def _chains(items: Iterable[Item], joins: Callable[[Item, Item], bool]) -> Iterator[list[Item]]:
    """Items in a row, parted in front of each that joins none of those since the last parting."""
    chain: list[Item] = []
    for item in items:
        if chain and not any(joins(item, other) for other in chain):
            yield chain
            chain = []
        chain.append(item)
    if chain:
        yield chain


def _beside_likely_indels(planes: ShardPlanes, absent: np.ndarray) -> np.ndarray:
    """Candidates that a likely indel overlaps or is near."""
    table, width = planes.candidates, planes.grid.reference_length
    position = table.window.astype(np.int64) * width + table.column
    beside = np.zeros(len(table), bool)
    for indel in np.flatnonzero((absent < _LIKELY) & (table.length != 0)):
        allele = Allele.of(planes, int(indel))
        reach = allele.stop + allele.room - allele.position
        low, high = np.searchsorted(position, position[indel] + np.array([-_NEAR, reach + _NEAR]))
        beside[low:high] = True
    return beside


def _call_alone(planes: ShardPlanes, evidence: AlleleEvidence, allele: Allele, ploidy: int) -> Iterator[CalledSite]:
    """The site of a changed base that no other allele overlaps."""
    logs = [float(evidence.log_probabilities[allele.candidate, number * 2 // ploidy]) for number in range(ploidy + 1)]
    logs = [log - float(np.logaddexp.reduce(logs)) for log in logs]
    best = max(range(ploidy + 1), key=lambda copies: logs[copies])
    if best == 0:
        return
    reference = _reference(planes, allele.candidate, allele.position, allele.stop)
    yield CalledSite(
        contig=planes.shard.contig,
        position=allele.position,
        ref=reference,
        alts=(spell([allele], reference, allele.position),),
        genotype=(0,) * (ploidy - best) + (1,) * best,
        allele_depths=(int(evidence.matches[allele.candidate]), int(evidence.supports[allele.candidate])),
        depth=int(evidence.depth[allele.candidate]),
        coverage=int(evidence.coverage[allele.candidate]),
        **_qualities(logs, logs[0]),
    )


def _call_together(
    planes: ShardPlanes,
    evidence: AlleleEvidence,
    cluster: list[Allele],
    ploidy: int,
    wanted: int | None,
    pass_gq: float,
) -> Iterator[CalledSite]:
    """The sites of alleles that overlap, from the likeliest pair of haplotypes.

    Where the two haplotypes overlap, one record spells both, as truth sets do; each place has its own, with ``*`` under
    the other haplotype's deletion, where that record would be longer than a small variant or unsure as a whole.

    Args:
        planes: The shard.
        evidence: What was found for its candidates.
        cluster: The alleles, by position.
        ploidy: Copies of the contig: 2, or 1.
        wanted: Position of the only record that is wanted, or None for all.
        pass_gq: GQ under which a record is unsure.
    """
    found = pair_haplotypes(planes, cluster, evidence.log_probabilities, ploidy)
    chosen = found.pairs[int(found.logs.argmax())]
    carried = sorted({piece for haplotype in chosen for piece in found.pieces[haplotype]})
    for pieces in _chains(carried, lambda piece, other: found.start(piece) < found.stop(other)):
        start, stop = found.start(pieces[0]), max(map(found.stop, pieces))
        if wanted is None and stop - start <= _LONGEST_RECORD:
            whole = sorted({found.within(haplotype, start, stop) for haplotype in chosen.tolist()} - {()})
            site = _site(planes, evidence, found, chosen, start, whole, [])
            # A sure deletion does not fail for an unsure change under it.
            if site.gq >= pass_gq:
                yield site
                continue
        for place in sorted({found.start(piece) for piece in pieces}):
            listed = [piece for piece in pieces if found.start(piece) == place]
            spanning = [piece for piece in pieces if found.start(piece) < place < found.stop(piece)]
            if wanted in (None, place):
                yield _site(planes, evidence, found, chosen, place, listed, spanning)


def _site(
    planes: ShardPlanes,
    evidence: AlleleEvidence,
    found: Haplotypes,
    chosen: np.ndarray,
    start: int,
    listed: list[Piece],
    spanning: list[Piece],
) -> CalledSite:
    """One record of a cluster, which starts at a position.

    Args:
        planes: The shard.
        evidence: What was found for its candidates.
        found: The cluster's haplotypes.
        chosen: The likeliest pair of them.
        start: Position of the record.
        listed: What each of its alleles carries, whole pieces.
        spanning: Pieces of other records that take the place away, whose allele is ``*``.
    """
    stop = max(found.stop(piece) for piece in listed)
    reads_as = np.array(
        [_read_as(found, haplotype, start, stop, listed, spanning) for haplotype in range(len(found.pieces))]
    )
    ploidy, alleles = found.pairs.shape[1], 1 + len(listed) + bool(spanning)
    order = genotypes(alleles, ploidy)
    number = {genotype: place for place, genotype in enumerate(order)}
    read = np.sort(reads_as[found.pairs], axis=1)
    logs = np.full(len(order), -np.inf)
    np.maximum.at(logs, [number[genotype] for genotype in map(tuple, read.tolist())], found.logs)
    members = sorted({place for piece in listed for place in piece})
    absent = found.logs[(found.copies[:, members] == 0).all(1)]
    candidates = [found.alleles[place].candidate for place in members]
    reference = _reference(planes, candidates[0], start, stop)
    pieces = [[found.alleles[place] for place in piece] for piece in listed]
    alts = [spell(piece, reference, start) for piece in pieces]
    spelled = [reference, *alts]
    if not spanning:
        # Shards end with windows: a record stays in its own.
        room = planes.grid.reference_length - 1 - start % planes.grid.reference_length
        left_out, spelled = _trimmed(spelled, room)
        start += left_out
    depth = int(evidence.depth[candidates].max())
    supports = [_supports(evidence, found, piece, listed) for piece in listed]
    supports += [max(_supports(evidence, found, piece, [piece]) for piece in spanning)] if spanning else []
    while sum(supports) > depth:
        # Some reads were counted for both, most of all for that which more show.
        supports[supports.index(max(supports))] -= 1
    matches = min(int(evidence.matches[candidates].min()), max(0, depth - sum(supports)))
    return CalledSite(
        contig=planes.shard.contig,
        position=start,
        ref=spelled[0],
        alts=(*spelled[1:], *([SPANNED] if spanning else [])),
        genotype=tuple(sorted(int(allele) for allele in reads_as[chosen])),
        allele_depths=(matches, *supports),
        depth=depth,
        coverage=int(evidence.coverage[candidates].max()),
        **_qualities(logs.tolist(), float(np.logaddexp.reduce(absent)) if absent.size else -math.inf),
    )


def _read_as(
    found: Haplotypes, haplotype: int, start: int, stop: int, listed: list[Piece], spanning: list[Piece]
) -> int:
    """Number of the allele that a haplotype shows in a record over some positions."""
    carried, pieces = found.within(haplotype, start, stop), found.pieces[haplotype]
    for piece in (carried, *pieces):
        if piece in listed:
            return 1 + listed.index(piece)
    if any(found.start(piece) < start < found.stop(piece) for piece in pieces if piece in spanning):
        return 1 + len(listed)
    return 0


def _supports(evidence: AlleleEvidence, found: Haplotypes, piece: Piece, listed: list[Piece]) -> int:
    """Reads that show all of a piece, but for those of a listed piece that holds more than it."""
    number = min(int(evidence.supports[found.alleles[place].candidate]) for place in piece)
    more = [other for other in listed if set(other) > set(piece)]
    return max(0, number - sum(_supports(evidence, found, other, listed) for other in more))


def _qualities(logs: list[float], absent: float) -> dict:
    """QUAL, GQ and PL from the logarithms of the genotypes' probabilities and that of no allele of the record."""
    best = max(range(len(logs)), key=lambda place: logs[place])
    total = float(np.logaddexp.reduce(logs))
    others = float(np.logaddexp.reduce([log for place, log in enumerate(logs) if place != best]))
    pl = (min(999.0, (logs[best] - log) * 10 / math.log(10)) for log in logs)
    return {
        "qual": round(_phred(absent), 1),
        "gq": min(99, round(_phred(others - total))),
        "pl": tuple(round(value) for value in pl),
    }


def _phred(log_probability: float) -> float:
    return min(MAX_PHRED, max(0.0, -10 * log_probability / math.log(10)))


def _reference(planes: ShardPlanes, candidate: int, start: int, stop: int) -> str:
    """Reference bases of a stretch that starts in a candidate's window, or in the one before it."""
    window, width = int(planes.candidates.window[candidate]), planes.grid.reference_length
    origin = (planes.shard.first_window + window) * width - planes.grid.halo
    return "".join(BASES[code] for code in planes.reference[window, start - origin : stop - origin])


def _shared_end(alleles: list[str]) -> int:
    """Last bases that all alleles share, but for one base of each."""
    shared = 0
    while shared < min(map(len, alleles)) - 1 and len({allele[-1 - shared] for allele in alleles}) == 1:
        shared += 1
    return shared


def _trimmed(alleles: list[str], room: int) -> tuple[int, list[str]]:
    """Alleles without the bases that all share at an end, but for one base of each, and how many that are at the start.

    Args:
        alleles: The reference's bases first.
        room: Bases that may be left out at the start.
    """
    alleles = [allele[: len(allele) - _shared_end(alleles)] for allele in alleles]
    shared = min(room, _shared_end([allele[::-1] for allele in alleles]))
    return shared, [allele[shared:] for allele in alleles]


def _filtered(site: CalledSite, pass_qual: float, pass_gq: float) -> CalledSite:
    failed = ("LowQual",) * (site.qual < pass_qual) + ("LowGQ",) * (site.gq < pass_gq)
    return replace(site, filters=(*site.filters, *failed)) if failed else site
