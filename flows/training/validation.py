"""How well a model does on candidates that were kept apart, by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int32

from diffbio_core.calling.calibration import Calibration, candidate_kinds, fit_calibration
from diffbio_core.calling.call_stage import CallStage
from diffbio_core.candidates.views import candidate_depth, cut_views
from diffbio_core.models import load_card, load_model
from diffbio_core.training.labels import UNKNOWN
from diffbio_core.windows.planes import MAX_LANES, PlaneBuffers, ShardPlanes
from diffbio_flows.training.plan import load_plan
from diffbio_flows.training.reading import planned_labels
from diffbio_flows.training.roles import measured_by
from diffbio_io.store.store import WindowStore

REPEAT = 6
"""Equal bases in a row (bp) from which on a candidate that touches them lies in a repeat."""

DEPTHS = (0, 10, 20, 40, 80)
"""Where bands of depth begin."""


@dataclass(frozen=True)
class ValidationTask:
    """Asks for what a model says of a shard's candidates for validation.

    Attributes:
        work: The run's work directory.
        plan: What tells its plan.
        shard: Number of the shard in the plan.
        model: Folder of the model.
        parameters_sha256: Of the model.
    """

    work: str
    plan: str
    shard: int
    model: str
    parameters_sha256: str

    def __str__(self) -> str:
        return f"validation of shard {self.shard + 1} of the plan"


@dataclass(frozen=True)
class Measured:
    """Candidates for validation.

    Attributes:
        log_probabilities: Of 0, 1 and 2 copies.
        labels: Copies that the truth has.
        length: 0 for a changed base, +inserted or -deleted bases else.
        kind: Class that a calibration tells apart.
        in_repeat: Whether ``REPEAT`` equal bases of the reference touch it.
        depth: Reads over it.
    """

    log_probabilities: Float32[np.ndarray, "candidates 3"]
    labels: Int8[np.ndarray, "candidates"]
    length: Int32[np.ndarray, "candidates"]
    kind: Int8[np.ndarray, "candidates"]
    in_repeat: Bool[np.ndarray, "candidates"]
    depth: Int32[np.ndarray, "candidates"]

    @classmethod
    def joined(cls, parts: Iterable[Measured]) -> Measured:
        """All of several shards."""
        parts = list(parts)
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


def measure_shard(task: ValidationTask) -> Measured:
    """What a model says of a shard; what a worker runs."""
    plan = load_plan(task.work, task.plan)
    planned = plan.shards[task.shard]
    source = plan.sets[planned.source]
    labels = planned_labels(plan, task.shard)
    planes = WindowStore(source.source.store).read(planned.shard, PlaneBuffers())
    chosen = measured_by(source, planned.shard.contig, labels.positions) & (labels.labels != UNKNOWN)
    evidence = _stage(task.model, task.parameters_sha256)(planes)
    return Measured(
        evidence.log_probabilities[chosen].astype(np.float32),
        labels.labels[chosen],
        planes.candidates.length[chosen],
        _kinds(planes)[chosen],
        _in_repeat(planes)[chosen],
        evidence.depth[chosen].astype(np.int32),
    )


def fitted(measured: Measured) -> Calibration:
    """The calibration that fits these candidates best."""
    logs = measured.log_probabilities.astype(np.float64)
    return fit_calibration(logs, measured.labels, measured.kind.astype(np.int64), measured.depth)


def validation_table(measured: Measured) -> dict[str, dict[str, float | int | None]]:
    """Loss, accuracy and F1 of all candidates and of their classes.

    A candidate is true positive where the truth has copies of it and the model says how many; F1 is that of copies, so
    that a heterozygous allele called homozygous is one false and one missed.
    """
    length, labels = measured.length, measured.labels
    kinds = {"SNV": length == 0, "insertion": length > 0, "deletion": length < 0}
    groups = {"all": np.ones(labels.size, bool), **kinds}
    groups |= {f"{copies} copies": labels == copies for copies in range(3)}
    groups |= {"in repeats": measured.in_repeat, "outside repeats": ~measured.in_repeat}
    groups |= {f"{name} in repeats": kind & measured.in_repeat for name, kind in kinds.items()}
    bounds = (*DEPTHS, None)
    for low, high in pairwise(bounds):
        name = f"depth {low} to {high - 1}" if high else f"depth {low} and more"
        groups[name] = (measured.depth >= low) & (measured.depth < (high or np.inf))
    return {name: _scores(measured, which) for name, which in groups.items()}


def table_text(table: Mapping[str, Mapping[str, Any]]) -> str:
    """A table in aligned columns."""
    names = ["candidates", "loss", "accuracy", "precision", "recall", "f1"]
    lines = [["class", *names]]
    for title, scores in table.items():
        if scores["candidates"]:
            lines.append([title, *(_cell(scores[name]) for name in names)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _scores(measured: Measured, which: np.ndarray) -> dict[str, float | int | None]:
    labels, logs = measured.labels[which].astype(int), measured.log_probabilities[which]
    if not labels.size:
        return {"candidates": 0, "loss": None, "accuracy": None, "precision": None, "recall": None, "f1": None}
    called = logs.argmax(1)
    right = int(((called == labels) & (labels > 0)).sum())
    positives, said = int((labels > 0).sum()), int((called > 0).sum())
    return {
        "candidates": int(labels.size),
        "loss": float(-logs[np.arange(labels.size), labels].mean()),
        "accuracy": float((called == labels).mean()),
        "precision": right / said if said else None,
        "recall": right / positives if positives else None,
        "f1": 2 * right / (positives + said) if positives + said else None,
    }


def _kinds(planes: ShardPlanes) -> Int8[np.ndarray, "candidates"]:
    """Class of each candidate of a shard."""
    every = np.arange(len(planes.candidates), dtype=np.int32)
    views = cut_views(planes, every, 1, depth=candidate_depth(planes, MAX_LANES))
    return candidate_kinds(views.length, views.tract).astype(np.int8)


def _in_repeat(planes: ShardPlanes) -> np.ndarray:
    """Which candidates of a shard touch a run of equal bases."""
    found = np.zeros(len(planes.candidates), bool)
    for number, (window, column) in enumerate(zip(planes.candidates.window, planes.candidates.column, strict=True)):
        bases = planes.reference[window, max(0, column - REPEAT) : column + REPEAT + 1]
        found[number] = _longest_run(bases) >= REPEAT
    return found


def _longest_run(bases: Sequence[int] | np.ndarray) -> int:
    changes = np.flatnonzero(np.diff(np.asarray(bases))) + 1
    return int(np.diff(np.concatenate([[0], changes, [len(bases)]])).max())


def _cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


@lru_cache(maxsize=1)
def _stage(model: str, parameters_sha256: str) -> CallStage:
    if load_card(model)["parameters_sha256"] != parameters_sha256:
        raise ValueError(f"{model} is not the model that the training wanted measured")
    return CallStage(load_model(model))
