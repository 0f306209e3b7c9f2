"""Labels of a shard's candidates, made once and kept beside the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int8

from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.training.labels import LABELS_VERSION, UNKNOWN, TruthAlleles, label_candidates, missed_alleles
from diffbio_core.windows.grid import Shard
from diffbio_core.windows.planes import PlaneBuffers
from diffbio_flows.shards.commit import shard_path
from diffbio_flows.training.roles import PlannedSet, measured_by, trained_on
from diffbio_flows.training.sets import TrainingSet
from diffbio_io.regions import read_bed
from diffbio_io.store.objects import Objects
from diffbio_io.store.store import WindowStore
from diffbio_io.variants.truth import GenotypedVcf

FOLDER = ".labels"
"""What the name of a store's labels ends in."""

MARGIN = 1_000
"""Positions (bp) past both ends of a shard whose true variants are looked at, too."""


@dataclass(frozen=True)
class LabelTask:
    """A shard to label.

    Attributes:
        source: The set that it belongs to.
        shard: Which windows.
        made_of: What the labels' marker tells of what they come from.
    """

    source: PlannedSet
    shard: Shard
    made_of: Mapping[str, Any]


@dataclass(frozen=True)
class ShardLabels:
    """Labels of a shard, and what the truth has that they miss.

    Attributes:
        shard: Which windows.
        labels: Copies of each candidate, or ``UNKNOWN``.
        windows: Window within the shard of each candidate.
        positions: 0-based position of each candidate on its contig.
        truth_alleles: Alleles of the truth in the shard's confident regions.
        missed: Of those, without a candidate, by cause.
    """

    shard: Shard
    labels: Int8[np.ndarray, "candidates"]
    windows: np.ndarray
    positions: np.ndarray
    truth_alleles: int
    missed: Mapping[str, int]


@dataclass(frozen=True)
class LabelSummary:
    """What the leader of a training needs to know of a shard's labels.

    Attributes:
        task: The shard.
        training: Windows within the shard with candidates to train on.
        copies: Candidates to train on, by number of copies.
        validation: Candidates for validation, by number of copies.
        truth_alleles: See `ShardLabels`.
        missed: See `ShardLabels`.
    """

    task: LabelTask
    training: tuple[int, ...]
    copies: tuple[int, int, int]
    validation: tuple[int, int, int]
    truth_alleles: int
    missed: Mapping[str, int]


def labels_of(source: TrainingSet) -> Objects:
    """Where a set's labels lie."""
    return Objects(source.store.rstrip("/") + FOLDER)


def made_of(source: TrainingSet, identity: Mapping[str, Any], marker: Mapping[str, Any]) -> dict[str, Any]:
    """What the labels of a shard come from.

    Args:
        source: The set.
        identity: Fingerprints of its truth and confident regions.
        marker: Of the shard in the store.
    """
    chunks = hashlib.sha256(json.dumps(marker, sort_keys=True).encode()).hexdigest()
    return {"version": LABELS_VERSION, "windows": chunks, "truth_sample": source.truth_sample, **identity}


def label_shard(task: LabelTask) -> LabelSummary:
    """Sees to the labels of a shard; what a worker runs.

    Raises:
        InputError: The truth does not fit the store's reference.
        StoreError: The shard cannot be read.
    """
    found = shard_labels(task)
    training, validation = (
        chosen(task.source, found.shard.contig, found.positions) & (found.labels != UNKNOWN)
        for chosen in (trained_on, measured_by)
    )
    return LabelSummary(
        task,
        tuple(np.unique(found.windows[training]).tolist()),
        _copies(found.labels[training]),
        _copies(found.labels[validation]),
        found.truth_alleles,
        found.missed,
    )


def _copies(labels: np.ndarray) -> tuple[int, int, int]:
    none, one, two = np.bincount(labels, minlength=3).tolist()
    return none, one, two


def shard_labels(task: LabelTask) -> ShardLabels:
    """Labels of a shard: those that lie beside its store, or made and put there.

    Raises:
        InputError: The truth does not fit the store's reference.
        StoreError: The shard cannot be read.
    """
    kept = load_labels(task)
    if kept is not None:
        return kept
    store = WindowStore(task.source.source.store)
    planes = store.read(task.shard, PlaneBuffers())
    contig, length = task.shard.contig, store.contig_length(task.shard.contig)
    grid = store.grid

    def bases(start: int, stop: int) -> str:
        return store.bases(contig, max(0, start), min(stop, length))

    confident = list(read_bed(task.source.source.confident, None).get(contig, ()))
    variants = _variants(task, bases, grid.core(task.shard, length), length)
    truth = TruthAlleles(variants, bases)
    spelt: list[tuple[int, int]] = []
    labels = label_candidates(planes, truth, confident, spelt)
    number, missed = missed_alleles(planes, truth, confident, spelt)
    table = planes.candidates
    first = task.shard.first_window * grid.reference_length - grid.halo
    positions = first + table.window.astype(np.int64) * grid.reference_length + table.column
    found = ShardLabels(task.shard, labels, table.window, positions, number, missed)
    _store_labels(task, found)
    return found


def load_labels(task: LabelTask) -> ShardLabels | None:
    """Labels that lie beside the store; None where there are none, or they were made of anything else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = labels_of(task.source.source).get(_name(task))
    if content is None:
        return None
    try:
        size = int.from_bytes(content[:8], "little")
        told = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["labels"])
        arrays = load(content)
        if told["made_of"] != json.loads(json.dumps(task.made_of)):
            return None
        return ShardLabels(
            task.shard,
            arrays["labels"],
            arrays["windows"],
            arrays["positions"],
            int(told["truth_alleles"]),
            dict(told["missed"]),
        )
    except (ValueError, KeyError, TypeError, SafetensorError):
        return None


def _store_labels(task: LabelTask, found: ShardLabels) -> None:
    from safetensors.numpy import save

    told = {"made_of": dict(task.made_of), "truth_alleles": found.truth_alleles, "missed": dict(found.missed)}
    arrays = {"labels": found.labels, "windows": found.windows.astype(np.int32), "positions": found.positions}
    labels_of(task.source.source).put(_name(task), save(arrays, metadata={"labels": json.dumps(told)}))


def _name(task: LabelTask) -> str:
    """By truth and confident regions: two sets of one store do not take turns in making each other's labels again."""
    owner = hashlib.sha256(json.dumps([task.made_of["truth"], task.made_of["confident"]]).encode()).hexdigest()[:12]
    return f"{owner}/{shard_path('', task.shard.name, '.safetensors').name}"


def _variants(
    task: LabelTask, bases: Callable[[int, int], str], core: tuple[int, int], length: int
) -> list[GenotypedVariant]:
    """The truth of a shard, with what its haplotypes may need on both sides."""
    source = task.source.source
    key = str(source.truth), source.truth_sample, task.shard.contig, json.dumps(task.made_of["truth"])
    return _truth(*key).variants(task.shard.contig, bases, length, (core[0] - MARGIN, core[1] + MARGIN))


@lru_cache(maxsize=2)
def _truth(path: str, sample: str | None, contig: str, _: str) -> GenotypedVcf:
    """The truth of one contig; shards come contig by contig."""
    return GenotypedVcf(path, sample, "truth_sample", {contig})
