"""What a training is asked for: the fields of the command line, of the web page's form and of the Python call."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from diffbio_cluster import ClusterConfig
from diffbio_flows.training.sets import TrainingSet, checked_names, read_sets


class TrainParameters(BaseModel):
    """One training: sets with a known truth, how long, and where the work runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sets: Path | None = Field(default=None, description="TOML file of training sets, or a recipe that makes them")
    shipped: bool = Field(default=False, description="Follow the recipe of the shipped model")
    store: str | None = Field(default=None, description="Window store of the only set: a folder, or a URL")
    truth: Path | None = Field(default=None, description="VCF of its true variants")
    confident: Path | None = Field(default=None, description="BED of where its truth is complete")
    validation: tuple[str, ...] = Field(default=(), description="Regions of it that are kept apart, to measure by")
    output: Path = Field(description="Model folder to write")
    calibrate: bool = Field(
        default=False, description="Fit a slope and an offset by class and depth on what is kept apart"
    )
    init: Path | None = Field(default=None, description="Model to go on from; a fresh network if not given")
    epochs: int = Field(default=8, ge=1, le=100_000, description="Times that every set is shown")
    max_steps: int | None = Field(default=None, ge=1, description="Steps after which to end, whatever the epochs")
    batch: int = Field(default=32, ge=8, le=4096, multiple_of=8, description="Windows of one step, a multiple of 8")
    patience: int = Field(default=8, ge=1, description="Epochs without a better validation F1 after which to stop")
    checkpoint_every: int = Field(default=200, ge=1, description="Steps between two checkpoints")
    seed: int = Field(default=0, ge=0, le=2**31, description="Of initialisation, order and changes of views")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="Peak of the cosine schedule")
    members: int = Field(default=1, ge=1, le=16, description="Networks whose logits are averaged")
    channels: int = Field(default=64, ge=4, le=1024, description="Channels of the convolutions")
    collective: bool = Field(
        default=False, description="Train as one program over a process per worker, instead of summing here"
    )
    work_dir: Path | None = Field(default=None, description="Folder for the run's state; OUTPUT.work if not given")
    workers: int | None = Field(default=None, ge=1, description="Worker processes here; one per core if not given")
    scheduler: str | None = Field(default=None, description="Address of a running Dask scheduler to use instead")
    cluster: Path | None = Field(default=None, description="TOML file that describes a cluster")
    resume: bool = Field(default=False, description="Refuse to begin anew: there must be a checkpoint to go on from")
    force: bool = Field(default=False, description="Replace the output")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        single = {"store": self.store, "truth": self.truth, "confident": self.confident}
        if self.sets is not None and (any(single.values()) or self.validation):
            raise ValueError("a file of sets goes with none of --store, --truth, --confident and --validation")
        missing = [f"--{name}" for name, value in single.items() if value is None]
        if self.shipped and (self.sets is not None or any(single.values())):
            raise ValueError("--shipped goes with no sets")
        if self.sets is None and missing and not self.shipped:
            raise ValueError(f"a file of sets is needed, or {', '.join(missing)}")
        return self

    @property
    def recipe(self) -> Path | None:
        """The recipe, where there is one to follow."""
        from diffbio_flows.training.recipe import is_recipe, shipped_recipe

        if self.shipped:
            return shipped_recipe()
        return self.sets if self.sets is not None and is_recipe(self.sets) else None

    @property
    def work_path(self) -> Path:
        """The work directory, by default beside the output."""
        return self.work_dir or self.output.parent / (self.output.name + ".work")

    def training_sets(self) -> tuple[TrainingSet, ...]:
        """The sets.

        Raises:
            InputError: Their file is faulty.
        """
        if self.sets is not None:
            return read_sets(self.sets)
        assert self.store is not None
        assert self.truth is not None
        assert self.confident is not None
        only = TrainingSet(store=self.store, truth=self.truth, confident=self.confident, validation=self.validation)
        return checked_names((only.within(Path.cwd()),), "--store")

    def cluster_config(self) -> ClusterConfig:
        """The cluster that these fields describe.

        Raises:
            ClusterConfigError: The file is faulty, or two clusters are described.
        """
        return ClusterConfig.of(self.workers, self.scheduler, self.cluster)
