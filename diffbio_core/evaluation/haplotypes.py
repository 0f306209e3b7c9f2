"""Matching of truth and calls by the haplotypes that they spell, however their records are written.

A phasing of the kept truth records and a phasing of the kept calls must give the same pair of sequences; the most
records are kept for which one exists. One sweep along the reference holds, for each way to have phased or dropped the
records so far, how far the two spellings of each haplotype are apart (as in RTG's vcfeval, Cleary et al. 2015). Ways
that stand alike are one, ways whose spellings differ end, so the work follows the records, not their subsets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from diffbio_core.calling.alleles import Bases
from diffbio_core.evaluation.records import GenotypedVariant

MAX_WAYS = 1000
"""Ways kept from one record to the next: far more than real clusters need (at most 30 in the sets measured)."""

_Edits = tuple[tuple[int, int, str] | None, ...]


class _Haplotype(NamedTuple):
    """Two spellings of one haplotype: how far each has come on the reference, and what one has spelt ahead."""

    truth_stop: int
    calls_stop: int
    truth_ahead: str
    calls_ahead: str


class _Way(NamedTuple):
    """A way to have phased or dropped the records so far."""

    kept: int
    kept_truth: int
    records: tuple | None  # linked list of (index, rest)


def match(
    truth: Sequence[GenotypedVariant], calls: Sequence[GenotypedVariant], bases: Bases, *, genotypes: bool = True
) -> tuple[list[int], list[int]]:
    """Which records of a cluster match.

    Args:
        truth: True records of a cluster, all on one contig.
        calls: Called records of the same cluster.
        bases: Reference bases of the contig.
        genotypes: Whether both haplotypes must agree. Without it one haplotype is compared, for which each record
            gives any one of its alleles: what is right but for the number of copies.

    Returns:
        Indices of the truth records and of the calls that match, ascending.
    """
    records = [(record, True, index) for index, record in enumerate(truth)]
    records += [(record, False, index) for index, record in enumerate(calls)]
    records.sort(key=lambda entry: (_start(entry[0]), entry[0].stop, entry[1], entry[2]))
    if not truth or not calls:
        return [], []
    start = min(_start(record) for record, _, _ in records)
    stop = max(record.stop for record, _, _ in records)
    text = bases(start, stop)
    ploidy = 2 if genotypes else 1
    level = _Haplotype(start, start, "", "")
    # State: haplotypes, and whether truth and calls were kept since the spellings last stood alike.
    ways = {((level,) * ploidy, False, False): _Way(0, 0, None)}
    for number, (record, is_truth, _) in enumerate(records):
        ways = _advance(ways, _start(record), text, start)
        grown = dict(ways)
        for (haplotypes, kept_truth, kept_calls), way in ways.items():
            longer = _Way(way.kept + 1, way.kept_truth + is_truth, (number, way.records))
            for edits in _phasings(record, genotypes):
                applied = _apply(haplotypes, edits, is_truth, text, start)
                if applied is not None:
                    _offer(grown, (applied, kept_truth or is_truth, kept_calls or not is_truth), longer)
        ways = _shortened(grown)
    ends = _advance(ways, stop, text, start)
    best = max((way for state, way in ends.items() if _level(state[0])), key=lambda way: way[:2])
    kept = [records[number] for number in _indices(best.records)]
    return sorted(i for _, true, i in kept if true), sorted(i for _, true, i in kept if not true)


def _start(record: GenotypedVariant) -> int:
    return min(edit[0] for edit in record.edits if edit is not None)


def _phasings(record: GenotypedVariant, genotypes: bool) -> Iterator[_Edits]:
    first, second = record.edits
    if not genotypes:
        yield from ((edit,) for edit in {first, second} - {None})
        return
    yield first, second
    if first != second:
        yield second, first


def _advance(ways: dict, position: int, text: str, offset: int) -> dict:
    """Spell every haplotype to ``position``; ways whose spellings differ end, those that now stand alike are joined."""
    advanced: dict = {}
    for (haplotypes, kept_truth, kept_calls), way in ways.items():
        spelt = []
        for truth_stop, calls_stop, truth_ahead, calls_ahead in haplotypes:
            if truth_stop < position:
                truth_ahead += text[truth_stop - offset : position - offset]
                truth_stop = position
            if calls_stop < position:
                calls_ahead += text[calls_stop - offset : position - offset]
                calls_stop = position
            shared = min(len(truth_ahead), len(calls_ahead))
            if truth_ahead[:shared] != calls_ahead[:shared]:
                break
            spelt.append(_Haplotype(truth_stop, calls_stop, truth_ahead[shared:], calls_ahead[shared:]))
        else:
            if _level(spelt):
                if kept_truth != kept_calls:
                    continue  # records that cancel one another spell no variant: the way without them is there too
                kept_truth = kept_calls = False
            _offer(advanced, (tuple(sorted(spelt)), kept_truth, kept_calls), way)
    return advanced


def _apply(haplotypes, edits: _Edits, is_truth: bool, text: str, offset: int) -> tuple[_Haplotype, ...] | None:
    """The haplotypes with a record's edits added to one spelling, or None where an edit overlaps one before it."""
    applied = []
    for haplotype, edit in zip(haplotypes, edits, strict=True):
        if edit is None:
            applied.append(haplotype)
            continue
        start, stop, alt = edit
        truth_stop, calls_stop, truth_ahead, calls_ahead = haplotype
        spelt = truth_stop if is_truth else calls_stop
        if spelt > start:
            return None
        added = text[spelt - offset : start - offset] + alt
        if is_truth:
            applied.append(_Haplotype(stop, calls_stop, truth_ahead + added, calls_ahead))
        else:
            applied.append(_Haplotype(truth_stop, stop, truth_ahead, calls_ahead + added))
    return tuple(sorted(applied))


def _level(haplotypes: Sequence[_Haplotype]) -> bool:
    """Whether both spellings stand at the same place with nothing ahead, on every haplotype."""
    return all(h.truth_stop == h.calls_stop and not h.truth_ahead and not h.calls_ahead for h in haplotypes)


def _offer(ways: dict, state: tuple, way: _Way) -> None:
    known = ways.get(state)
    if known is None or way[:2] > known[:2]:
        ways[state] = way


def _shortened(ways: dict) -> dict:
    """At most ``MAX_WAYS`` ways, with the level ones, from which an end is always reached."""
    if len(ways) <= MAX_WAYS:
        return ways
    ranked = sorted(ways.items(), key=lambda entry: (_level(entry[0][0]), entry[1][:2]), reverse=True)
    return dict(ranked[:MAX_WAYS])


def _indices(records: tuple | None) -> Iterator[int]:
    while records is not None:
        number, records = records
        yield number
