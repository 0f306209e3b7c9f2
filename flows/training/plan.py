"""What all workers of a training must know, in one file of the work directory: sets, windows, network, order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from diffbio_core.models import pipeline_config
from diffbio_core.pipelines.allele_calling import AlleleCallingConfig
from diffbio_core.training.view_changes import AugmentationConfig
from diffbio_core.whole_file import write_whole
from diffbio_core.windows.grid import Shard
from diffbio_flows.training.roles import PlannedSet
from diffbio_flows.training.schedule import BatchShape, Schedule
from diffbio_flows.training.sets import TrainingSet
from diffbio_io.regions import Intervals

NAME = "plan.json"


@dataclass(frozen=True)
class PlannedShard:
    """A shard with candidates to train on or to measure by.

    Attributes:
        source: Number of its set.
        shard: Which windows.
        made_of: What its labels come from.
        training: Windows within the shard with candidates to train on.
        validation: Number of candidates for validation.
    """

    source: int
    shard: Shard
    made_of: Mapping[str, Any]
    training: tuple[int, ...]
    validation: int


@dataclass(frozen=True)
class TrainingPlan:
    """All of it; the same on every worker.

    Attributes:
        sets: Sets.
        shards: Shards of all sets, in order.
        pipeline: What is trained.
        augmentation: How views are changed.
        shape: Of a batch.
        seed: Of order and changes.
    """

    sets: tuple[PlannedSet, ...]
    shards: tuple[PlannedShard, ...]
    pipeline: AlleleCallingConfig = field(default_factory=AlleleCallingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    shape: BatchShape = field(default_factory=BatchShape)
    seed: int = 0

    @property
    def schedule(self) -> Schedule:
        """The order of the windows to train on."""
        weights = [self.sets[shard.source].source.weight for shard in self.shards]
        return Schedule([shard.training for shard in self.shards], weights, self.shape, self.seed)

    def save(self, work: Path) -> str:
        """Writes it to a work directory; gives what tells it from any other."""
        text = json.dumps(self._entries())
        if not (work / NAME).exists() or (work / NAME).read_text() != text:
            write_whole(work / NAME, text)
        return hashlib.sha256(text.encode()).hexdigest()

    def _entries(self) -> dict[str, Any]:
        return {
            "sets": [
                {
                    "source": planned.source.model_dump(mode="json"),
                    "training": planned.training,
                    "validation": planned.validation,
                }
                for planned in self.sets
            ],
            "shards": [asdict(shard) for shard in self.shards],
            "pipeline": asdict(self.pipeline),
            "augmentation": asdict(self.augmentation),
            "shape": asdict(self.shape),
            "seed": self.seed,
        }


@lru_cache(maxsize=2)
def load_plan(work: str, identity: str) -> TrainingPlan:
    """The plan of a work directory.

    Raises:
        ValueError: Another plan lies there than the one that the run began with.
    """
    content = Path(work, NAME).read_bytes()
    if hashlib.sha256(content).hexdigest() != identity:
        raise ValueError(f"{Path(work, NAME)} is another plan than the one that the training began with")
    told = json.loads(content)
    augmentation = told["augmentation"]
    augmentation["bins"] = tuple(map(tuple, augmentation["bins"]))
    return TrainingPlan(
        tuple(
            PlannedSet(TrainingSet(**one["source"]), _intervals(one["training"]), _intervals(one["validation"]))
            for one in told["sets"]
        ),
        tuple(
            PlannedShard(
                one["source"], Shard(**one["shard"]), one["made_of"], tuple(one["training"]), one["validation"]
            )
            for one in told["shards"]
        ),
        pipeline_config(told["pipeline"]),
        AugmentationConfig(**augmentation),
        BatchShape(**told["shape"]),
        told["seed"],
    )


def _intervals(told: Mapping[str, Any]) -> dict[str, Intervals]:
    return {contig: tuple((low, high) for low, high in spans) for contig, spans in told.items()}
