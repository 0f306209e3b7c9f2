"""Allele probabilities -> called sites: genotype likelihoods over a site's alleles, GT, PL, GQ and QUAL."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32

from diffbio_core.calling.sites import CalledSite
from diffbio_core.windows.encoding import BASES
from diffbio_core.windows.planes import ShardPlanes

MAX_PHRED = 990.0
"""Largest QUAL written; 99 is the largest GQ."""

_MAX_ALTS = 4
"""Alternative alleles of a site among which genotypes are compared; the least likely ones are dropped first."""


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

    The likelihood of a genotype is the product, over the site's alleles, of the probability of as many copies as the
    genotype holds. Calls that overlap may not hold more than ``ploidy`` copies together: the one of lower QUAL is
    reduced to the copies that are left, or dropped.

    Args:
        planes: The shard.
        evidence: What was found for its candidates.
        ploidy: Copies of the contig: 2, or 1.
        min_qual: QUAL under which a site is not listed.
        pass_qual: QUAL under which a site is listed with the filter LowQual.
        pass_gq: GQ under which a site is listed with the filter LowGQ.
    """
    table = planes.candidates
    first = planes.shard.first_window * planes.grid.reference_length - planes.grid.halo
    likely = np.flatnonzero(evidence.log_probabilities[:, 0] < math.log1p(-(10 ** (-0.1 * MAX_PHRED))) - 1e-4)
    sites = []
    place = table.window.astype(np.int64) * planes.grid.reference_length + table.column
    for _, run in itertools.groupby(likely.tolist(), key=lambda candidate: place[candidate]):
        called = _call_site(planes, evidence, list(run), first, ploidy)
        if called is not None and called.qual >= min_qual:
            sites.append(called)
    return [_filtered(site, pass_qual, pass_gq) for site in _without_conflicts(sites, ploidy)]


def genotypes(alleles: int, ploidy: int) -> list[tuple[int, ...]]:
    """Genotypes over a number of alleles, the reference counted, in VCF order (VCF 4.3, 1.6.2)."""
    if ploidy == 1:
        return [(allele,) for allele in range(alleles)]
    return [(low, high) for high in range(alleles) for low in range(high + 1)]


def _call_site(
    planes: ShardPlanes, evidence: AlleleEvidence, run: list[int], first: int, ploidy: int
) -> CalledSite | None:
    logs = evidence.log_probabilities
    run = sorted(sorted(run, key=lambda candidate: logs[candidate, 0])[:_MAX_ALTS])
    posterior = _genotype_logs(logs, run, ploidy)
    best = max(posterior, key=lambda genotype: posterior[genotype])
    if not any(best):
        return None
    qual = _phred(posterior[(0,) * ploidy])
    others = [value for genotype, value in posterior.items() if genotype != best]
    quality = _phred(float(np.logaddexp.reduce(others)))
    kept = [candidate for number, candidate in enumerate(run, start=1) if number in best]
    renumbered = {number: rank for rank, number in enumerate(sorted(set(best) - {0}), start=1)}
    ref, alts = _spell(planes, kept)
    likelihoods = list(_genotype_logs(logs, kept, ploidy).values())
    top = max(likelihoods)
    table = planes.candidates
    window, column = int(table.window[kept[0]]), int(table.column[kept[0]])
    supports = tuple(int(evidence.supports[candidate]) for candidate in kept)
    return CalledSite(
        contig=planes.shard.contig,
        position=first + window * planes.grid.reference_length + column,
        ref=ref,
        alts=alts,
        genotype=tuple(sorted(renumbered.get(allele, 0) for allele in best)),
        qual=round(qual, 1),
        gq=min(99, round(quality)),
        pl=tuple(min(999, round((top - value) * 10 / math.log(10))) for value in likelihoods),
        depth=int(evidence.depth[kept[0]]),
        coverage=int(evidence.coverage[kept[0]]),
        allele_depths=(int(min(evidence.matches[candidate] for candidate in kept)), *supports),
    )


def _genotype_logs(logs: np.ndarray, run: Sequence[int], ploidy: int) -> dict[tuple[int, ...], float]:
    """Normalised log-probability of each genotype over the reference and the alleles of ``run``."""
    found = {}
    for genotype in genotypes(len(run) + 1, ploidy):
        total = 0.0
        for number, candidate in enumerate(run, start=1):
            # On a haploid contig the one copy is what the classifier calls two.
            total += float(logs[candidate, genotype.count(number) * 2 // ploidy])
        found[genotype] = total
    norm = float(np.logaddexp.reduce(list(found.values())))
    return {genotype: value - norm for genotype, value in found.items()}


def _phred(log_probability: float) -> float:
    return min(MAX_PHRED, max(0.0, -10 * log_probability / math.log(10)))


def _spell(planes: ShardPlanes, run: list[int]) -> tuple[str, tuple[str, ...]]:
    """REF and ALT of the alleles of one column, over the longest of their deletions."""
    table = planes.candidates
    window, column = int(table.window[run[0]]), int(table.column[run[0]])
    deleted = max(max(0, -int(table.length[candidate])) for candidate in run)
    codes = planes.reference[window, column : column + deleted + 1]
    ref = "".join(BASES[code] for code in codes)
    alts = []
    for candidate in run:
        length = int(table.length[candidate])
        if length == 0:
            alts.append(BASES[table.code[candidate]] + ref[1:])
        else:
            inserted = table.sequence[table.sequence_start[candidate] : table.sequence_start[candidate + 1]]
            alts.append(ref[0] + "".join(BASES[code] for code in inserted) + ref[1 + max(0, -length) :])
    return ref, tuple(alts)


def _without_conflicts(sites: list[CalledSite], ploidy: int) -> list[CalledSite]:
    """Sites such that no haplotype carries two alleles at one place; the site of higher QUAL stays as it is."""
    kept: dict[int, CalledSite] = {}
    for index in sorted(range(len(sites)), key=lambda index: (-sites[index].qual, index)):
        site = sites[index]
        room = ploidy - max((_copies(other) for other in _overlapping(kept, sites, index)), default=0)
        if _copies(site) <= room:
            kept[index] = site
        elif room > 0:
            reduced = _with_copies(site, room)
            if reduced is not None:
                kept[index] = reduced
    return [kept[index] for index in sorted(kept)]


def _overlapping(kept: dict[int, CalledSite], sites: list[CalledSite], index: int) -> Iterator[CalledSite]:
    """Sites already kept whose changed bases overlap those of a site."""
    start, stop = _changed(sites[index])
    for step in (-1, 1):
        at = index + step
        # A site further off than the longest allele cannot reach here; 1,000 bp is beyond any allele that reads show.
        while 0 <= at < len(sites) and abs(sites[at].position - sites[index].position) < 1000:
            if at in kept:
                low, high = _changed(kept[at])
                if low < stop and start < high:
                    yield kept[at]
            at += step


def _changed(site: CalledSite) -> tuple[int, int]:
    """Reference bases that a site's alleles replace; an insertion replaces none, and so conflicts with none."""
    if all(len(alt) == len(site.ref) == 1 for alt in site.alts):
        return site.position, site.position + 1
    return site.position + 1, site.position + len(site.ref)


def _copies(site: CalledSite) -> int:
    return sum(allele > 0 for allele in site.genotype)


def _with_copies(site: CalledSite, copies: int) -> CalledSite | None:
    """The site with its likeliest genotype of that many alternative copies; None where it would lose an allele."""
    ploidy = len(site.genotype)
    order = genotypes(len(site.alts) + 1, ploidy)
    allowed = [genotype for genotype in order if sum(allele > 0 for allele in genotype) == copies]
    best = min(allowed, key=lambda genotype: site.pl[order.index(genotype)], default=None)
    if best is None or len(site.alts) > 1:
        return None
    return CalledSite(**{**site.__dict__, "genotype": best, "gq": 0})


def _filtered(site: CalledSite, pass_qual: float, pass_gq: float) -> CalledSite:
    failed = ("LowQual",) * (site.qual < pass_qual) + ("LowGQ",) * (site.gq < pass_gq)
    return CalledSite(**{**site.__dict__, "filters": (*site.filters, *failed)}) if failed else site
