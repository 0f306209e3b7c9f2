"""A training run from start to end."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffbio_cluster.gradients import Reduced, reduce_gradients
from diffbio_core.problems import InputError, Problem
from diffbio_flows.reports.progress import Progress
from diffbio_flows.runs.places import check_folder
from diffbio_flows.runs.steps import ShardRun, Step, drive
from diffbio_flows.runs.work_directory import WorkDirectory, file_identity
from diffbio_flows.training.labelling import LabelSummary, LabelTask, label_shard, made_of
from diffbio_flows.training.parameters import TrainParameters
from diffbio_flows.training.plan import PlannedShard, TrainingPlan
from diffbio_flows.training.preflight import CheckedSet, check_sets
from diffbio_flows.training.schedule import BatchShape

Told = Callable[[str, int, int, float | None], None]
"""Takes a stage, steps done, steps in all, and the loss where there is one."""

STEPS = "steps.jsonl"
"""File of the work directory with a line per step."""


@dataclass(frozen=True)
class TrainingSummary:
    """What a training came to.

    Attributes:
        output: Model folder.
        steps: Steps of the whole training.
        resumed_from: Step from which this run went on; 0 where it began anew.
        loss: Mean loss of the last steps.
        parameters_sha256: Of the model.
        sets: Of each set: candidates by role and copies, alleles of the truth, and those without a candidate by cause.
        thresholds: Learned soft thresholds (Phred) and their widths.
        warnings: What is odd but did not stop the run.
        wall_seconds: Time by step of the run.
    """

    output: str
    steps: int
    resumed_from: int
    loss: float
    parameters_sha256: str
    sets: Mapping[str, Any]
    thresholds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    wall_seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)


def train_model(
    parameters: TrainParameters | None = None,
    /,
    *,
    progress: Progress | None = None,
    told: Told = lambda stage, done, steps, loss: None,
    **fields: Any,
) -> TrainingSummary:
    """Trains a model; a run that was interrupted goes on from its last checkpoint.

    Args:
        parameters: What to do; or give its fields as keyword arguments, as ``train_model(sets=..., output=...)``.
        progress: Told which step the run takes.
        told: Told how far training is.
        **fields: Fields of `TrainParameters`.

    Returns:
        What came of it.

    Raises:
        InputError: The input cannot be used; holds every problem found. Nothing has been written.
        TaskFailedError: A worker failed. Checkpoints are kept.
        ClusterLostError: No worker could be started, or none is left. Checkpoints are kept.
    """
    return drive(TrainingRun(TrainParameters(**fields) if parameters is None else parameters, progress, told))


class TrainingRun(ShardRun[TrainingSummary]):
    """The steps from sets to a model.

    Attributes:
        parameters: What to do.
        told: Told how far training is.
    """

    def __init__(
        self,
        parameters: TrainParameters,
        progress: Progress | None = None,
        told: Told = lambda stage, done, steps, loss: None,
    ) -> None:
        super().__init__(progress)
        self.parameters, self.told = parameters, told
        self._sets: list[CheckedSet] = []
        self._labels: list[LabelSummary] = []
        self._plan: TrainingPlan | None = None
        self._summary: TrainingSummary | None = None
        self._state: Any = None
        self._losses: list[float] = []
        self._resumed_from = 0

    @property
    def steps(self) -> tuple[Step, ...]:
        """See `ShardRun`."""
        return (
            Step("check input", self._check),
            Step("start workers", self._start_workers),
            Step("label candidates", self._label),
            Step("train", self._train),
            Step("stop workers", self.close_workers),
            Step("write model", self._write),
        )

    def summary(self) -> TrainingSummary:
        """See `ShardRun`."""
        if self._summary is None:
            raise RuntimeError("the run has not ended")
        return self._summary

    @property
    def _work(self) -> WorkDirectory:
        return WorkDirectory(self.parameters.work_path)

    def _check(self) -> None:
        parameters = self.parameters
        problems: list[Problem] = []
        try:
            self._sets, problems = check_sets(parameters.training_sets())
        except InputError as error:
            problems += error.problems
        parameters.cluster_config()
        problems += _check_places(parameters)
        if not problems:
            problems += self._work.problems(self._identity())
        if problems:
            raise InputError(list(dict.fromkeys(problems)))

    def _identity(self) -> dict[str, Any]:
        """What makes another training of it."""
        parameters = self.parameters
        names = ("epochs", "max_steps", "batch", "seed", "learning_rate", "members", "channels", "checkpoint_every")
        sets = {
            checked.planned.source.title: {**checked.planned.source.model_dump(mode="json"), **checked.identity}
            for checked in self._sets
        }
        init = None if parameters.init is None else file_identity(parameters.init / "parameters.safetensors")
        return {"kind": "training", "sets": sets, "init": init, **{name: getattr(parameters, name) for name in names}}

    def _start_workers(self) -> None:
        work = self.held.enter_context(self._work.claim(self._identity()))
        self.keep_log(work.log)
        self.open_workers(self.parameters.cluster_config().with_scratch(work.scratch.resolve()))

    def _label(self) -> None:
        tasks = [
            LabelTask(checked.planned, shard, made_of(checked.planned.source, checked.identity, marker))
            for checked in self._sets
            for shard, marker in checked.shards
        ]
        found: dict[tuple[str, str], LabelSummary] = {}
        for done, labels in enumerate(self.executor.map_unordered(label_shard, tasks, name=_named), start=1):
            found[_key(labels.task)] = labels
            self.told("labelling", done, len(tasks), None)
        self._labels = [found[_key(task)] for task in tasks]
        numbers = {checked.planned.source.title: number for number, checked in enumerate(self._sets)}
        self._plan = TrainingPlan(
            tuple(checked.planned for checked in self._sets),
            tuple(
                PlannedShard(
                    numbers[labels.task.source.source.title],
                    labels.task.shard,
                    labels.task.made_of,
                    labels.training,
                    sum(labels.validation),
                )
                for labels in self._labels
                if labels.training or sum(labels.validation)
            ),
            pipeline=_pipeline(self.parameters),
            shape=BatchShape(windows=self.parameters.batch // BatchShape.leaves),
            seed=self.parameters.seed,
        )
        if not any(labels.training for labels in self._labels):
            remedy = "See that store, truth and confident regions belong together."
            raise InputError([Problem("the sets", "hold no candidate to train on", remedy)])

    def _train(self) -> None:
        # They import JAX, which the checks before need not wait for.
        from diffbio_flows.training.checkpoints import Checkpoints
        from diffbio_flows.training.leaves import LeafTask, leaf_gradients
        from diffbio_flows.training.optimisation import Optimisation, OptimisationConfig

        plan, parameters, work = self.plan, self.parameters, self._work
        identity = plan.save(work.path)
        steps = parameters.epochs * plan.schedule.steps_per_epoch
        steps = min(steps, parameters.max_steps or steps)
        optimisation = Optimisation(OptimisationConfig(learning_rate=parameters.learning_rate), steps)
        state = optimisation.start(_start(plan, parameters))
        checkpoints = self.held.enter_context(Checkpoints(work.path / "checkpoints"))
        found = checkpoints.restore(state)
        if found is not None:
            state = found.state
            checkpoints.forget_after(state.step)
            self.warn(Problem("checkpoints", what, "Training goes on from there.") for what in found.broken)
        elif parameters.resume:
            remedy = "Leave --resume out to begin anew."
            raise InputError([Problem("--resume", f"{work.path} holds no checkpoint", remedy)])
        self._resumed_from = state.step
        log = _StepLog(work.path / STEPS, state.step)
        device = "GPU" if self.has_gpu else None
        while state.step < steps:
            begun = time.perf_counter()
            vector, step = np.asarray(state.parameters), state.step

            def task(run: range, vector: Any = vector, step: int = step) -> LeafTask:
                return LeafTask(str(work.path.resolve()), identity, step, run, vector)

            reduced = reduce_gradients(self.executor, leaf_gradients, task, plan.shape.leaves, device=device)
            arrived = time.perf_counter()
            state, loss, norm = optimisation.advance(state, reduced.total)
            self._losses = [*self._losses[-99:], loss]
            log.add(_entry(state.step, loss, norm, reduced, begun, arrived))
            self.told("training", state.step, steps, loss)
            if state.step % parameters.checkpoint_every == 0 or state.step == steps:
                checkpoints.save(state, {"seed": plan.seed, "plan": identity})
        self._state = state

    @property
    def plan(self) -> TrainingPlan:
        """What is trained and on what, once candidates have labels."""
        if self._plan is None:
            raise RuntimeError("candidates have no labels yet")
        return self._plan

    def _write(self) -> None:
        from diffbio_core import __version__
        from diffbio_core.models import load_card, save_model

        plan, parameters = self.plan, self.parameters
        pipeline = _merged(plan, np.asarray(self._state.average))
        loss = float(np.mean(self._losses)) if self._losses else float("nan")
        sets = self._set_tables()
        thresholds = learned_thresholds(pipeline)
        save_model(
            parameters.output,
            pipeline,
            diffbio=__version__,
            command=shlex.join(["diffbio", *sys.argv[1:]]) if Path(sys.argv[0]).stem != "pytest" else "train_model",
            training={**self._identity(), "steps": self._state.step, "shape": asdict(plan.shape)},
            training_data=sets,
            thresholds=thresholds,
            metrics={"loss": None if np.isnan(loss) else round(loss, 6)},
        )
        self._summary = TrainingSummary(
            output=str(parameters.output),
            steps=self._state.step,
            resumed_from=self._resumed_from,
            loss=loss,
            parameters_sha256=load_card(parameters.output)["parameters_sha256"],
            sets=sets,
            thresholds=thresholds,
            wall_seconds=dict(self.wall_seconds),
        )
        (self._work.path / "summary.json").write_text(json.dumps(self._summary.to_json(), indent=2))

    def _set_tables(self) -> dict[str, Any]:
        tables: dict[str, Any] = {}
        for checked in self._sets:
            title = checked.planned.source.title
            labels = [one for one in self._labels if one.task.source.source.title == title]
            missed: Counter[str] = Counter()
            for one in labels:
                missed.update(one.missed)
            tables[title] = {
                "training": np.sum([one.copies for one in labels], 0).tolist(),
                "validation": np.sum([one.validation for one in labels], 0).tolist(),
                "truth_alleles": sum(one.truth_alleles for one in labels),
                "without_candidate": dict(sorted(missed.items())),
                **checked.identity,
            }
        return tables


def learned_thresholds(pipeline: Any) -> dict[str, float]:
    """What a pipeline has learned to trust: qualities that count half, and widths of the soft thresholds (Phred)."""
    learned = pipeline.quality_filter
    return {
        "base_quality": round(float(learned.threshold[...]), 4),
        "base_quality_width": round(float(np.exp(learned.log_temperature[...])), 4),
        "mapping_quality": round(float(learned.mapping_threshold[...]), 4),
        "mapping_quality_width": round(float(np.exp(learned.mapping_log_temperature[...])), 4),
    }


class _StepLog:
    """A line of JSON per step; those of steps that are taken again are dropped.

    Args:
        path: The file.
        step: Steps that count.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        kept = []
        with suppress(FileNotFoundError):
            for line in path.read_text().splitlines():
                with suppress(ValueError):  # the last line of a killed run
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
        path.write_text("".join(kept))

    def add(self, entry: Mapping[str, Any]) -> None:
        """Appends a step."""
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def _entry(step: int, loss: float, norm: float, reduced: Reduced, begun: float, arrived: float) -> dict[str, Any]:
    ended = time.perf_counter()
    windows = sum(part.windows for part in reduced.parts)
    read = max(part.read for part in reduced.parts)
    computed = max(part.computed for part in reduced.parts)
    return {
        "step": step,
        "loss": loss,
        "gradient_norm": norm,
        "candidates": int(reduced.total[-1]),
        "windows_per_second": windows / (ended - begun),
        "read": read,
        "computed": computed,
        "waited": max(0.0, arrived - begun - max(part.read + part.computed for part in reduced.parts)),
        "reduced": reduced.seconds + ended - arrived,
        "workers": len(reduced.parts),
    }


def _check_places(parameters: TrainParameters) -> list[Problem]:
    problems = check_folder(parameters.output.absolute().parent, str(parameters.output))
    if (parameters.output / "card.json").exists() and not parameters.force:
        what, remedy = "is a model already", "Name another folder, or replace it with --force."
        problems.append(Problem(str(parameters.output), what, remedy))
    elif parameters.output.is_file():
        problems.append(Problem(str(parameters.output), "is a file", "Name a folder."))
    if parameters.init is not None:
        from diffbio_core.models import ModelError, load_card

        try:
            load_card(parameters.init)
        except ModelError as error:
            problems.append(Problem("--init", str(error), "Give a model of this version."))
    return problems


def _pipeline(parameters: TrainParameters) -> Any:
    from diffbio_core.models import load_card, pipeline_config
    from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
    from diffbio_core.pipelines.allele_calling import AlleleCallingConfig

    if parameters.init is not None:
        return pipeline_config(load_card(parameters.init)["config"])
    classifier = AlleleClassifierConfig(members=parameters.members, channels=parameters.channels)
    return AlleleCallingConfig(classifier=classifier)


def _start(plan: TrainingPlan, parameters: TrainParameters) -> np.ndarray:
    """The parameters to start from."""
    from flax import nnx
    from jax.flatten_util import ravel_pytree

    from diffbio_core.models import load_model
    from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline

    if parameters.init is not None:
        pipeline = load_model(parameters.init)
    else:
        pipeline = AlleleCallingPipeline(plan.pipeline, rngs=nnx.Rngs(parameters.seed))
    return np.asarray(ravel_pytree(nnx.state(pipeline, nnx.Param))[0])


def _merged(plan: TrainingPlan, vector: np.ndarray) -> Any:
    import jax.numpy as jnp
    from flax import nnx
    from jax.flatten_util import ravel_pytree

    from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline

    graph, state = nnx.split(AlleleCallingPipeline(plan.pipeline, rngs=nnx.Rngs(0)))
    return nnx.merge(graph, ravel_pytree(state)[1](jnp.asarray(vector)))


def _named(task: LabelTask) -> str:
    return f"labels of shard {task.shard.name} of set {task.source.source.title!r}"


def _key(task: LabelTask) -> tuple[str, str]:
    return task.source.source.title, task.shard.name
