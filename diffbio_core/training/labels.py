"""Labels for candidates: how many copies of each the truth has."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Int8

from diffbio_core.calling.alleles import Bases, edit, normalise
from diffbio_core.candidates.discovery import MAX_DELETION, MIN_READS
from diffbio_core.candidates.view_encoding import SUPPORTS
from diffbio_core.candidates.views import candidate_depth, cut_views
from diffbio_core.evaluation.comparison import CLUSTER_GAP, clusters, holds
from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.training.haplotype_labels import Edit, SupportedAllele, copies_by_haplotype
from diffbio_core.windows.encoding import BASES, CODE_MASK, NO_READ
from diffbio_core.windows.planes import MAX_LANES, ShardPlanes

_MIN_SUPPORTS = 3
_MIN_SHARE = 0.12
_LARGE_SHARE = 0.25

LABELS_VERSION = 1
"""Changes whenever the same candidates and truth would get other labels: kept ones are then made again."""

UNKNOWN = -1
"""Label of a candidate that the truth says nothing of."""

AlleleKey = tuple[int, int, str]
"""Position (0-based) of the changed base, or of the base before an indel; length as in a candidate; the new bases."""


class TruthAlleles:
    """Copies of every true allele of one contig.

    Args:
        variants: The truth.
        bases: Reference bases of the contig, to normalise with.

    Attributes:
        copies: Copies of each allele that candidates can name.
        complex_spans: Intervals of alleles that are neither single-base changes nor plain indels.
        variants: The truth, by position.
        bases: As given.
    """

    def __init__(self, variants: Iterable[GenotypedVariant], bases: Bases) -> None:
        self.copies: dict[AlleleKey, int] = {}
        self.complex_spans: list[tuple[int, int]] = []
        self.variants = sorted(variants, key=lambda variant: variant.position)
        self.bases = bases
        for variant in self.variants:
            for allele in variant.alleles:
                if allele != variant.ref:
                    position, ref, (alt,) = normalise(variant.position, variant.ref, (allele,), bases)
                    self._add(position, ref, alt)

    def clusters(self, start: int, stop: int) -> Iterator[list[GenotypedVariant]]:
        """Variants of an interval, in runs of which none lies within ``CLUSTER_GAP`` of another run's."""
        first, last = (bisect_left(self.variants, at, key=lambda variant: variant.position) for at in (start, stop))
        inside = self.variants[first:last]
        for near, _ in clusters(inside, ()):
            yield [inside[index] for index in near]

    def _add(self, position: int, ref: str, alt: str) -> None:
        if len(ref) == len(alt):
            keys = [(position + at, 0, new) for at, (old, new) in enumerate(zip(ref, alt, strict=True)) if old != new]
        else:
            start, stop, new = edit(position, ref, alt)
            if new and stop > start:
                self.complex_spans.append((position, position + len(ref)))
                return
            keys = [(start - 1, len(new) if new else start - stop, new)]
        for key in keys:
            self.copies[key] = min(2, self.copies.get(key, 0) + 1)


def candidate_keys(planes: ShardPlanes) -> list[AlleleKey]:
    """The allele that each candidate of a shard stands for."""
    table = planes.candidates
    first = planes.shard.first_window * planes.grid.reference_length - planes.grid.halo
    positions = first + table.window.astype(np.int64) * planes.grid.reference_length + table.column
    keys: list[AlleleKey] = []
    for candidate, (position, length) in enumerate(zip(positions.tolist(), table.length.tolist(), strict=True)):
        if length == 0:
            new = BASES[table.code[candidate]]
        else:
            codes = table.sequence[table.sequence_start[candidate] : table.sequence_start[candidate + 1]]
            new = "".join(BASES[code] for code in codes)
        keys.append((position, length, new))
    return keys


def label_candidates(
    planes: ShardPlanes,
    truth: TruthAlleles,
    confident: list[tuple[int, int]],
    spelt: list[tuple[int, int]] | None = None,
) -> Int8[np.ndarray, "candidates"]:
    """Copies (0, 1, 2) of each candidate, or ``UNKNOWN`` outside the confident intervals.

    Where a true allele is no candidate, or many reads near a true indel show another allele, candidates are labelled by
    the haplotypes that they spell together. The rest within a complex record is ``UNKNOWN``.

    Args:
        planes: The shard.
        truth: True alleles of its contig.
        confident: 0-based half-open intervals, sorted, where absence from the truth means absence.
        spelt: Gets the intervals whose candidates spell the true haplotypes, though by other alleles.
    """
    keys = candidate_keys(planes)
    positions = np.array([key[0] for key in keys], np.int64)
    labels = np.array([truth.copies.get(key, 0) for key in keys], np.int8)
    starts = np.array([start for start, _ in confident], np.int64)
    stops = np.array([stop for _, stop in confident], np.int64)
    place = np.searchsorted(starts, positions, side="right") - 1
    outside = (place < 0) | (positions >= stops[np.maximum(place, 0)] if stops.size else True)
    for start, stop in truth.complex_spans:
        labels[(positions >= start - 1) & (positions <= stop)] = UNKNOWN
    intervals = _label_by_haplotypes(planes, keys, positions, labels, truth)
    if spelt is not None:
        spelt += intervals
    labels[outside] = UNKNOWN
    return labels


def missed_alleles(
    planes: ShardPlanes, truth: TruthAlleles, confident: list[tuple[int, int]], spelt: list[tuple[int, int]]
) -> tuple[int, dict[str, int]]:
    """Alleles that the truth has in a shard's confident regions, and those that are no candidate, by cause.

    Args:
        planes: The shard.
        truth: As for `label_candidates`.
        confident: As for `label_candidates`.
        spelt: Intervals that `label_candidates` gave.

    Returns:
        Number of true alleles; number without a candidate by cause: ``spelt otherwise`` (other candidates spell the
        same haplotypes), ``complex`` (neither a changed base nor a plain indel), ``too long``, ``without reads`` (fewer
        than a candidate needs lie over it), ``not shown`` (too few of the reads over it were aligned so that they do).
    """
    grid, shard = planes.grid, planes.shard
    start, stop = grid.core(shard, planes.contig_length)
    found = set(candidate_keys(planes))
    inside = [key for key in truth.copies if start <= key[0] < stop and holds(confident, key[0])]
    complexes = [span for span in truth.complex_spans if start <= span[0] < stop and holds(confident, span[0])]
    causes: Counter[str] = Counter()
    for place, _ in complexes:
        causes["spelt otherwise" if _within(spelt, place) else "complex"] += 1
    for key in inside:
        if key in found:
            continue
        window, column = divmod(key[0] - start, grid.reference_length)
        cells = planes.base[:, window, :, column + grid.halo]
        if _within(spelt, key[0]):
            causes["spelt otherwise"] += 1
        elif key[1] < -MAX_DELETION:
            causes["too long"] += 1
        elif np.count_nonzero(cells & CODE_MASK != NO_READ) < MIN_READS:
            causes["without reads"] += 1
        else:
            causes["not shown"] += 1
    return len(inside) + len(complexes), dict(sorted(causes.items()))


def _within(intervals: Sequence[tuple[int, int]], position: int) -> bool:
    return any(low <= position < high for low, high in intervals)


def _label_by_haplotypes(
    planes: ShardPlanes, keys: list[AlleleKey], positions: np.ndarray, labels: np.ndarray, truth: TruthAlleles
) -> list[tuple[int, int]]:
    """Change the labels of candidates near true alleles that reads write otherwise; intervals that they spell."""
    found = set(keys)
    spelt: list[tuple[int, int]] = []
    width, number = planes.grid.reference_length, planes.shard.first_window
    start, stop = number * width, min((number + planes.shard.num_windows) * width, planes.contig_length)
    missing = np.array(
        [key[0] for key in truth.copies if start <= key[0] < stop and key not in found]
        + [place for place, _ in truth.complex_spans if start <= place < stop]
    )
    depth = candidate_depth(planes, MAX_LANES)
    for cluster in truth.clusters(start, stop):
        low, high = cluster[0].position - CLUSTER_GAP, max(variant.stop for variant in cluster) + CLUSTER_GAP
        lacking = np.any((missing >= low) & (missing < high))
        if not lacking and all(variant.kind == "SNP" for variant in cluster):
            continue
        chosen = np.flatnonzero((positions >= low) & (positions < high) & (positions < stop)).astype(np.int32)
        views = cut_views(planes, chosen, max(1, int(depth.covering[chosen].max(initial=0))), depth=depth)
        supports = (views.roles() == SUPPORTS).sum(1)
        shares = supports / np.maximum(depth.covering[chosen], 1)
        shown = (supports >= _MIN_SUPPORTS) & (shares >= _MIN_SHARE)
        foreign = np.array([keys[index] not in truth.copies for index in chosen], bool)
        if not lacking and not np.any(shown & foreign & (shares >= _LARGE_SHARE)):
            continue
        alleles = [
            SupportedAllele(_edit(keys[index]), int(n)) for index, n in zip(chosen[shown], supports[shown], strict=True)
        ]
        if low < start or high > stop:
            labels[chosen[shown & foreign]] = UNKNOWN
            continue
        copies = copies_by_haplotype(cluster, alleles, low, high, truth.bases)
        if copies is None:
            continue
        spelt.append((low, high))
        for place, index in enumerate(chosen[shown]):
            labels[index] = copies.get(place, UNKNOWN)
        for index in chosen[~shown & ~foreign]:
            labels[index] = UNKNOWN
    return spelt


def _edit(key: AlleleKey) -> Edit:
    position, length, new = key
    if length == 0:
        return position, position + 1, new
    return position + 1, position + 1 - min(length, 0), new
