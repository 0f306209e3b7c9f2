"""Whether sets can be trained on: one look at all of them that lists every problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffbio_core.problems import InputError, Problem
from diffbio_core.windows.grid import Shard
from diffbio_flows.runs.windows import StoredWindows
from diffbio_flows.training.roles import PlannedSet
from diffbio_flows.training.sets import TrainingSet
from diffbio_io.files.fingerprint import fingerprint
from diffbio_io.regions import Intervals, read_bed, resolve_regions
from diffbio_io.store.store import StoreError
from diffbio_io.variants.vcf_text import VcfText


@dataclass(frozen=True)
class CheckedSet:
    """A set that can be trained on.

    Attributes:
        planned: The set, its regions resolved.
        identity: Fingerprints of truth and confident regions.
        shards: Shards of its store, and their markers.
        windows: What the store tells of itself.
    """

    planned: PlannedSet
    identity: Mapping[str, Any]
    shards: tuple[tuple[Shard, Mapping[str, Any]], ...]
    windows: StoredWindows


def check_sets(sets: tuple[TrainingSet, ...]) -> tuple[list[CheckedSet], list[Problem]]:
    """The sets that can be trained on, and all that is wrong with the others."""
    checked: list[CheckedSet] = []
    problems: list[Problem] = []
    for source in sets:
        found = _check(source, problems)
        if found is not None:
            checked.append(found)
    return checked, problems


def _check(source: TrainingSet, problems: list[Problem]) -> CheckedSet | None:
    subject = f"set {source.title!r}"
    before = len(problems)
    held = None
    try:
        held = StoredWindows.of(source.store)
        grid = held.store.grid
    except StoreError as error:
        problems.append(Problem(subject, str(error), "Give a store that is whole."))
    except (ValueError, OSError, ImportError) as error:
        what = f"{source.store} cannot be opened: {' '.join(str(error).split())}"
        problems.append(Problem(subject, what, "Give a folder or URL of a store."))
    contigs = held.contigs if held else None
    confident = {}
    try:
        confident = read_bed(source.confident, contigs)
    except InputError as error:
        problems += error.problems
    try:
        _check_truth(source, contigs, problems)
    except InputError as error:
        problems += error.problems
    if held is None:
        return None
    if confident and not confident.keys() & held.intervals.keys():
        what = f"none of the contigs of {source.confident} ({', '.join([*confident][:5])}) is in the store"
        problems.append(Problem(subject, what, f"The store has {', '.join([*held.intervals][:5])}."))
    validation: dict[str, Intervals] = {}
    training: dict[str, Intervals] = {}
    try:
        validation = dict(resolve_regions(held.contigs, source.validation)) if source.validation else {}
        training = dict(resolve_regions(held.contigs, source.training))
    except InputError as error:
        problems += [Problem(f"{subject}, {p.subject}", p.what, p.remedy) for p in error.problems]
    if len(problems) > before:
        return None
    shards = tuple(
        (Shard(contig, index, marker["first_window"], marker["last_window"]), marker)
        for contig in held.store.contigs
        for index, marker in held.store.markers(contig).items()
    )
    wanted = [
        (shard, marker)
        for shard, marker in shards
        if _touches(confident.get(shard.contig, ()), grid.core(shard, held.contigs[shard.contig]))
        and any(
            _touches(kind.get(shard.contig, ()), grid.core(shard, held.contigs[shard.contig]))
            for kind in (training, validation)
        )
    ]
    if not wanted:
        what = "the store holds no windows in the confident regions that are to be trained on"
        problems.append(Problem(subject, what, "See that store, confident regions and regions belong together."))
        return None
    identity = {"truth": fingerprint(source.truth), "confident": fingerprint(source.confident)}
    return CheckedSet(PlannedSet(source, training, validation), identity, tuple(wanted), held)


def _check_truth(source: TrainingSet, contigs: Mapping[str, int] | None, problems: list[Problem]) -> None:
    """Whether the truth is a VCF of the sample asked for; its records are looked at when they are needed."""
    text = VcfText(source.truth)
    subject = str(source.truth)
    if source.truth_sample is not None and source.truth_sample not in text.samples:
        what, remedy = f"has no sample {source.truth_sample!r}", f"It has: {', '.join(text.samples[:8])}."
        problems.append(Problem(subject, what, remedy))
    elif source.truth_sample is None and len(text.samples) != 1:
        remedy = f"Name one as truth_sample: {', '.join(text.samples[:8])}."
        problems.append(Problem(subject, f"holds {len(text.samples)} samples", remedy))
    if contigs is not None and text.lengths and not text.lengths.keys() & contigs.keys():
        what = f"none of its contigs ({', '.join([*text.lengths][:5])}) is in the store of set {source.title!r}"
        problems.append(Problem(subject, what, f"The store has {', '.join([*contigs][:5])}."))


def _touches(intervals: Intervals, span: tuple[int, int]) -> bool:
    return any(start < span[1] and span[0] < stop for start, stop in intervals)
