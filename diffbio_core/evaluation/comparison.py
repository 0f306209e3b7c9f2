"""Verdict on every record of a contig: matched, missed, false, or outside of what is known."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from diffbio_core.calling.alleles import Bases
from diffbio_core.evaluation.haplotypes import match
from diffbio_core.evaluation.records import GenotypedVariant

CLUSTER_GAP = 50
"""Records farther apart than this (bp) are compared on their own."""


class Verdict(Enum):
    """What a record turned out to be."""

    MATCHED = "TP"
    MISSED = "FN"
    FALSE = "FP"
    FALSE_GENOTYPE = "FP.gt"
    """A false record whose alleles are right, but not the number of their copies."""
    UNKNOWN = "UNK"
    """Outside the confident regions, where the truth may lack variants."""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on the records of one contig, each list as long as the records it judges."""

    truth: list[Verdict]
    calls: list[Verdict]


def compare(
    truth: Sequence[GenotypedVariant],
    calls: Sequence[GenotypedVariant],
    bases: Bases,
    confident: Sequence[tuple[int, int]] | None = None,
) -> Verdicts:
    """Judge the records of one contig by the haplotypes that they spell.

    Args:
        truth: True records, in any order.
        calls: Called records, in any order.
        bases: Reference bases of the contig.
        confident: 0-based half-open intervals, sorted and disjoint, inside which a variant that the truth lacks is
            false; None for everywhere. A record belongs where its first base lies.
    """
    on_truth = [Verdict.MISSED if _inside(record, confident) else Verdict.UNKNOWN for record in truth]
    on_calls = [Verdict.FALSE if _inside(record, confident) else Verdict.UNKNOWN for record in calls]
    for near_truth, near_calls in clusters(truth, calls):
        if not near_truth or not near_calls:
            continue
        true_records, called_records = [truth[i] for i in near_truth], [calls[i] for i in near_calls]
        if sorted(r.key for r in true_records) == sorted(r.key for r in called_records):
            kept_truth, kept_calls = range(len(near_truth)), range(len(near_calls))
        else:
            kept_truth, kept_calls = match(true_records, called_records, bases)
        for verdicts, near, kept in ((on_truth, near_truth, kept_truth), (on_calls, near_calls, kept_calls)):
            for i in kept:
                if verdicts[near[i]] is not Verdict.UNKNOWN:
                    verdicts[near[i]] = Verdict.MATCHED
        left_truth = [j for i, j in enumerate(near_truth) if i not in set(kept_truth)]
        left_calls = [j for i, j in enumerate(near_calls) if i not in set(kept_calls)]
        _, alike = match([truth[j] for j in left_truth], [calls[j] for j in left_calls], bases, genotypes=False)
        for i in alike:
            if on_calls[left_calls[i]] is Verdict.FALSE:
                on_calls[left_calls[i]] = Verdict.FALSE_GENOTYPE
    return Verdicts(on_truth, on_calls)


def holds(intervals: Sequence[tuple[int, int]], position: int) -> bool:
    """Whether one of the sorted, disjoint, half-open intervals holds a position."""
    index = bisect_right(intervals, position, key=lambda interval: interval[0]) - 1
    return index >= 0 and position < intervals[index][1]


def _inside(record: GenotypedVariant, intervals: Sequence[tuple[int, int]] | None) -> bool:
    return intervals is None or holds(intervals, record.position)


def clusters(
    truth: Sequence[GenotypedVariant], calls: Sequence[GenotypedVariant]
) -> Iterator[tuple[list[int], list[int]]]:
    """Indices of the truth and of the calls of each run of records with no gap longer than ``CLUSTER_GAP``."""
    order = sorted(
        [(record.position, record.stop, 0, i) for i, record in enumerate(truth)]
        + [(record.position, record.stop, 1, i) for i, record in enumerate(calls)]
    )
    cluster: tuple[list[int], list[int]] = [], []
    reach = None
    for position, stop, side, index in order:
        if reach is not None and position > reach + CLUSTER_GAP:
            yield cluster
            cluster, reach = ([], []), None
        cluster[side].append(index)
        reach = stop if reach is None else max(reach, stop)
    if reach is not None:
        yield cluster
