"""A training run from start to end."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffbio_cluster.executor import Device
from diffbio_cluster.gradients import Reduced, reduce_gradients
from diffbio_core.problems import InputError, Problem
from diffbio_core.whole_file import whole_file, write_whole
from diffbio_flows.reports.progress import Progress
from diffbio_flows.runs.places import check_folder
from diffbio_flows.runs.run_log import LOGGER
from diffbio_flows.runs.steps import ShardRun, Step, drive
from diffbio_flows.runs.work_directory import WorkDirectory, file_identity
from diffbio_flows.training.labelling import LabelSummary, LabelTask, label_shard, made_of
from diffbio_flows.training.parameters import TrainParameters
from diffbio_flows.training.plan import PlannedShard, TrainingPlan
from diffbio_flows.training.preflight import CheckedSet, check_sets
from diffbio_flows.training.recipe import make_sets, read_recipe
from diffbio_flows.training.schedule import BatchShape
from diffbio_flows.training.sets import TrainingSet, checked_names

if TYPE_CHECKING:
    from diffbio_flows.training.optimisation import Optimisation, TrainingState
    from diffbio_flows.training.validation import Measured

RunSteps = Callable[["TrainingState", int, Callable[[Mapping[str, Any]], None]], "TrainingState"]
"""Takes where training stands, the step to go on to, and what is told of every step; gives where it stands then."""

Told = Callable[[str, int, int, float | None], None]
"""Takes a stage, steps done, steps in all, and the loss where there is one."""

CHECKPOINTS = "checkpoints"
"""Folder of the work directory."""

VALIDATION = "validation.jsonl"
"""File of the work directory with a line per validation."""

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
        best_step: Step whose validation F1 was the highest, which the model is of; None without validation regions.
        validation: Scores of the candidates kept apart, by class.
        calls: hap.py's columns of a real call of the validation regions.
        calibration: By band of QUAL and GQ: records, errors, and the errors expected.
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
    best_step: int | None = None
    validation: Mapping[str, Any] | None = None
    calls: Sequence[Mapping[str, Any]] = ()
    calibration: Mapping[str, Any] | None = None
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
        self._course = Course()
        self._resumed_from = 0
        self._warnings: list[str] = []
        self._calibration: Mapping[str, Any] | None = None

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
            Step("call what was kept apart", self._call_held_out),
        )

    def summary(self) -> TrainingSummary:
        """See `ShardRun`."""
        if self._summary is None:
            raise RuntimeError("the run has not ended")
        return self._summary

    def warn(self, warnings: Iterable[Problem]) -> None:
        """See `ShardRun`; the summary repeats them."""
        warnings = list(warnings)
        self._warnings += map(str, warnings)
        super().warn(warnings)

    @property
    def _work(self) -> WorkDirectory:
        return WorkDirectory(self.parameters.work_path)

    def _check(self) -> None:
        problems: list[Problem] = []
        try:
            self._sets, problems = check_sets(self._training_sets())
        except InputError as error:
            problems += error.problems
        parameters = self.parameters
        parameters.cluster_config()
        problems += _check_places(parameters, resumes=self._work.is_unfinished)
        if parameters.resume and not any((parameters.work_path / CHECKPOINTS).glob("[0-9]*")):
            what, remedy = f"{parameters.work_path} holds no checkpoint", "Leave --resume out to begin anew."
            problems.append(Problem("--resume", what, remedy))
        if not problems:
            problems += self._work.problems(self._identity())
        if problems:
            raise InputError(list(dict.fromkeys(problems)))

    def _training_sets(self) -> tuple[TrainingSet, ...]:
        """The sets, those of a recipe once they are made; its options take the place of the parameters'."""
        path = self.parameters.recipe
        if path is None:
            return self.parameters.training_sets()
        recipe = read_recipe(path)
        problems = _check_places(self.parameters, resumes=self._work.is_unfinished)
        if problems:
            raise InputError(problems)
        options = {"output": self.parameters.output, **recipe.options}
        TrainParameters(shipped=True, **options)  # refuses what is no option
        self.parameters = self.parameters.model_copy(update=recipe.options)
        where = {name: getattr(self.parameters, name) for name in ("workers", "scheduler", "cluster")}
        folder = self._work.path.with_name(f"{self._work.path.name}.sets")
        return checked_names(make_sets(recipe, folder, self.told, **where), str(path))

    def _identity(self) -> dict[str, Any]:
        """What makes another training of it."""
        from diffbio_core.models import find_model

        parameters = self.parameters
        names = (
            "epochs",
            "max_steps",
            "batch",
            "patience",
            "seed",
            "learning_rate",
            "members",
            "channels",
            "checkpoint_every",
            "calibrate",
            "collective",
        )
        sets = {
            checked.planned.source.title: {**checked.planned.source.model_dump(mode="json"), **checked.identity}
            for checked in self._sets
        }
        init = (
            None if parameters.init is None else file_identity(find_model(parameters.init) / "parameters.safetensors")
        )
        return {"kind": "training", "sets": sets, "init": init, **{name: getattr(parameters, name) for name in names}}

    def _portable_identity(self) -> dict[str, Any]:
        """The same without where stores lie, which means nothing elsewhere."""
        identity = self._identity()
        sets = {
            title: {name: value for name, value in told.items() if name != "store"}
            for title, told in identity["sets"].items()
        }
        return {**identity, "sets": sets}

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
        from diffbio_flows.training.optimisation import Optimisation, OptimisationConfig

        plan, parameters, work = self.plan, self.parameters, self._work
        identity = plan.save(work.path)
        steps = parameters.epochs * plan.schedule.steps_per_epoch
        steps = min(steps, parameters.max_steps or steps)
        optimisation = Optimisation.of(OptimisationConfig(learning_rate=parameters.learning_rate), steps)
        state = optimisation.start(_start(plan, parameters))
        checkpoints = self.held.enter_context(Checkpoints(work.path / CHECKPOINTS))
        course = Course()
        found = checkpoints.restore(state)
        if found is not None:
            state, course = found.state, Course(**found.told["course"])
            checkpoints.forget_after(state.step)
            self.warn(Problem("checkpoints", what, "Training goes on from there.") for what in found.broken)
        self._resumed_from = state.step
        log = _StepLog(work.path / STEPS, state.step)

        def each(entry: Mapping[str, Any]) -> None:
            self._losses = [*self._losses[-99:], entry["loss"]]
            log.add(entry)
            self.told("training", entry["step"], steps, entry["loss"])

        # An epoch's end is a checkpoint, so a run that has gone on is never one epoch's measure short.
        kept_apart = any(shard.validation for shard in plan.shards)
        epochs = range(0, steps, plan.schedule.steps_per_epoch) if kept_apart else range(0)
        stops = sorted({*epochs, *range(0, steps, parameters.checkpoint_every), steps} - {0})
        run = (
            self._collective(identity, steps, stops)
            if parameters.collective
            else self._gathered(identity, optimisation)
        )
        for stop in stops:
            if stop <= state.step:
                continue
            if course.is_over(parameters.patience):
                break
            state = run(state, stop, each)
            f1 = None
            if stop in epochs or stop == steps:
                f1 = self._measure(state, identity)
                course = course.after(state.step, f1)
                if course.best_step == state.step:
                    _save_parameters(work.path / "best.npy", state.average)
            checkpoints.save(state, {"seed": plan.seed, "plan": identity, "course": asdict(course)}, f1)
        self._state, self._course = state, course
        if parameters.calibrate and course.best_f1 is not None:
            from diffbio_flows.training.validation import fitted

            measured = self._measured(np.load(work.path / "best.npy", allow_pickle=False), identity)
            assert measured is not None
            self._calibration = fitted(measured).to_card()

    def _gathered(self, identity: str, optimisation: Optimisation) -> RunSteps:
        """Steps whose gradients workers compute, and this process adds up."""
        from diffbio_flows.training.leaf_task import LeafTask
        from diffbio_flows.training.leaves import leaf_gradients

        folder, leaves = str(self._work.path.resolve()), self.plan.shape.leaves

        def run(state: TrainingState, stop: int, each: Callable[[Mapping[str, Any]], None]) -> TrainingState:
            while state.step < stop:
                begun = time.perf_counter()
                vector, step = np.asarray(state.parameters), state.step

                def task(run: range, vector: Any = vector, step: int = step) -> LeafTask:
                    return LeafTask(folder, identity, step, run, vector)

                reduced = reduce_gradients(self.executor, leaf_gradients, task, leaves, device=self._device)
                arrived = time.perf_counter()
                state, loss, norm = optimisation.advance(state, reduced.total)
                each(_entry(state.step, loss, norm, reduced, begun, arrived))
            return state

        return run

    def _collective(self, identity: str, steps: int, stops: Sequence[int]) -> RunSteps:
        """Steps that a process group takes as one program."""
        from diffbio_flows.training.collective import CollectiveSteps, GroupOrder

        order = GroupOrder(str(self._work.path.resolve()), identity, 0, (), steps, self.parameters.learning_rate)
        group = CollectiveSteps(
            self.executor,
            order,
            stops,
            device=self._device,
            warn=lambda what: self.warn([Problem("the process group", what, "Its log is in the work directory.")]),
        )
        self.held.callback(group.close)
        return group.run

    @property
    def _device(self) -> Device | None:
        return "GPU" if self.has_gpu else None

    def _measured(self, vector: np.ndarray, identity: str) -> Measured | None:
        """What a network says of the candidates kept apart; None where there are none."""
        from diffbio_core.models import load_card, save_model
        from diffbio_flows.training.validation import Measured, ValidationTask, measure_shard

        plan, work = self.plan, self._work.path.resolve()
        chosen = [number for number, shard in enumerate(plan.shards) if shard.validation]
        if not chosen:
            return None
        model = work / "measured"
        save_model(model, _merged(plan, vector))
        sha = load_card(model)["parameters_sha256"]
        tasks = [ValidationTask(str(work), identity, number, str(model), sha) for number in chosen]
        return Measured.joined(self.executor.map_unordered(measure_shard, tasks, device=self._device))

    def _measure(self, state: Any, identity: str) -> float | None:
        """F1 of the candidates kept apart; None where there are none. Its table is told and kept."""
        from diffbio_flows.training.validation import table_text, validation_table

        measured = self._measured(np.asarray(state.average), identity)
        if measured is None:
            return None
        table = validation_table(measured)
        _replace_line(self._work.path / VALIDATION, {"step": state.step, "table": table})
        LOGGER.info("validation after step %d\n%s", state.step, table_text(table))
        scores = table["all"]
        self.told("validation", state.step, state.step, scores["loss"])
        return float(scores["f1"] or 0.0)

    def _call_held_out(self) -> None:
        """Calls the regions kept apart with the model, as a user would, and judges the calls."""
        from diffbio_core.models import load_card
        from diffbio_flows.reports.reliability import reliability
        from diffbio_flows.runs.call import call_variants
        from diffbio_flows.training.held_out_calls import judge_sets, rows_as_dicts, write_calibration

        parameters, summary = self.parameters, self.summary()
        called = []
        folder = self._work.path / "validation"
        for planned in self.plan.sets:
            if not planned.validation:
                continue
            output = folder / f"{planned.source.title}.vcf.gz"
            folder.mkdir(exist_ok=True)
            shutil.rmtree(folder / f"{output.name}.work", ignore_errors=True)
            call_variants(
                windows=planned.source.store,
                region=planned.source.validation,
                output=output,
                model=parameters.output,
                workers=parameters.workers,
                scheduler=parameters.scheduler,
                cluster=parameters.cluster,
                force=True,
            )
            called.append((planned, output))
        if called:
            found = judge_sets(called)
            table = reliability(found.calls)
            write_calibration(folder, table)
            self._summary = replace(summary, calls=rows_as_dicts(found), calibration=table)
            card = load_card(parameters.output)
            card["metrics"] |= {"calls": self._summary.calls, "calibration": table}
            write_whole(parameters.output / "card.json", json.dumps(card, indent=2) + "\n")
        write_whole(self._work.summary, json.dumps(self.summary().to_json(), indent=2) + "\n")

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
        best = self._work.path / "best.npy"
        measured = self._course.best_f1 is not None
        vector = np.load(best, allow_pickle=False) if measured else np.asarray(self._state.average)
        pipeline = _merged(plan, vector)
        table = self._table_of(self._course.best_step) if measured else None
        loss = float(np.mean(self._losses)) if self._losses else float("nan")
        sets = self._set_tables()
        thresholds = learned_thresholds(pipeline)
        save_model(
            parameters.output,
            pipeline,
            diffbio=__version__,
            command=shlex.join(["diffbio", *sys.argv[1:]]) if Path(sys.argv[0]).stem != "pytest" else "train_model",
            training={**self._portable_identity(), "steps": self._state.step, "shape": asdict(plan.shape)},
            training_data=sets,
            thresholds=thresholds,
            **({} if self._calibration is None else {"calibration": self._calibration}),
            metrics={
                "loss": None if np.isnan(loss) else round(loss, 6),
                "step": self._course.best_step or self._state.step,
                "validation": table,
            },
        )
        self._summary = TrainingSummary(
            output=str(parameters.output),
            steps=self._state.step,
            resumed_from=self._resumed_from,
            loss=loss,
            parameters_sha256=load_card(parameters.output)["parameters_sha256"],
            sets=sets,
            thresholds=thresholds,
            best_step=self._course.best_step,
            validation=table,
            warnings=tuple(self._warnings),
            wall_seconds=dict(self.wall_seconds),
        )

    def _table_of(self, step: int | None) -> dict[str, Any] | None:
        lines = (self._work.path / VALIDATION).read_text().splitlines()
        return next((entry["table"] for entry in map(json.loads, lines) if entry["step"] == step), None)

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


@dataclass(frozen=True)
class Course:
    """How validation went so far.

    Attributes:
        best_f1: The highest; None where nothing was kept apart.
        best_step: After which step.
        since: Epochs since then.
    """

    best_f1: float | None = None
    best_step: int | None = None
    since: int = 0

    def after(self, step: int, f1: float | None) -> Course:
        """The course with one more epoch."""
        if f1 is None:
            return self
        if self.best_f1 is None or f1 > self.best_f1:
            return Course(f1, step, 0)
        return replace(self, since=self.since + 1)

    def is_over(self, patience: int) -> bool:
        """Whether it has not become better for too long."""
        return self.since >= patience


def _save_parameters(path: Path, vector: Any) -> None:
    with whole_file(path) as aside, aside.open("wb") as file:
        np.save(file, np.asarray(vector), allow_pickle=False)


def _replace_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Appends a line of JSON; those of the same and later steps, which an interrupted run has left, are dropped."""
    kept = []
    with suppress(FileNotFoundError):
        for line in path.read_text().splitlines():
            with suppress(ValueError):
                if json.loads(line)["step"] < entry["step"]:
                    kept.append(line)
    write_whole(path, "".join(line + "\n" for line in [*kept, json.dumps(entry)]))


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


def _check_places(parameters: TrainParameters, *, resumes: bool) -> list[Problem]:
    problems = check_folder(parameters.output.absolute().parent, str(parameters.output))
    if (parameters.output / "card.json").exists() and not parameters.force and not resumes:
        what, remedy = "is a model already", "Name another folder, or replace it with --force."
        problems.append(Problem(str(parameters.output), what, remedy))
    elif parameters.output.is_file():
        problems.append(Problem(str(parameters.output), "is a file", "Name a folder."))
    if parameters.init is not None:
        from diffbio_core.models import ModelError, find_model, load_card

        try:
            load_card(find_model(parameters.init))
        except ModelError as error:
            problems.append(Problem("--init", str(error), "Give a model of this version."))
    return problems


def _pipeline(parameters: TrainParameters) -> Any:
    from diffbio_core.models import find_model, load_card, pipeline_config
    from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
    from diffbio_core.pipelines.allele_calling import AlleleCallingConfig

    if parameters.init is not None:
        return pipeline_config(load_card(find_model(parameters.init))["config"])
    classifier = AlleleClassifierConfig(members=parameters.members, channels=parameters.channels)
    return AlleleCallingConfig(classifier=classifier)


def _start(plan: TrainingPlan, parameters: TrainParameters) -> np.ndarray:
    """The parameters to start from."""
    from flax import nnx
    from jax.flatten_util import ravel_pytree

    from diffbio_core.models import find_model, load_model
    from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline

    if parameters.init is not None:
        pipeline = load_model(find_model(parameters.init))
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
