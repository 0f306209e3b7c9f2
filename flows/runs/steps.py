"""A run as named steps, and how they are driven: one after another here, each as a task in `prefect_flows`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from diffbio_cluster import ClusterConfig, Executor, describe, open_executor, peak_memory_mb
from diffbio_core.models import load_card, model_identity
from diffbio_core.problems import Problem
from diffbio_flows.reports.progress import Progress, Silence
from diffbio_flows.reports.summary import ShardTotals, WorkSummary
from diffbio_flows.runs.layout import writing
from diffbio_flows.runs.plan import bp_per_task
from diffbio_flows.runs.run_log import LOGGER, run_log
from diffbio_flows.shards.kernels import are_compiled
from diffbio_flows.shards.message import ShardResult, ShardTask
from diffbio_flows.shards.worker import warm_up

Summary = TypeVar("Summary")


@dataclass(frozen=True)
class Work:
    """What is done of a shard, and by which workers.

    Attributes:
        run: Does it, or what ``before`` has left of it.
        before: Done first, by a worker without a GPU, of a shard that one with a GPU then works on; None where the same
            worker does all.
        on_gpu: Whether only workers with a GPU may do ``run``: two kinds of devices round differently.
    """

    run: Callable[[ShardTask], ShardResult]
    before: Callable[[ShardTask], ShardTask] | None = None
    on_gpu: bool = False


HandOut = Callable[[Executor, list[ShardTask], Work, Progress], list[ShardResult]]


@dataclass(frozen=True)
class Step:
    """A part of a run.

    Attributes:
        name: In progress, in the times of the summary, and of the task on Prefect's page.
        take: Does it; what later steps need is kept in the run.
    """

    name: str
    take: Callable[[], None]


def drive(run: ShardRun[Summary], carry_out: Callable[[Step], None] = lambda step: step.take()) -> Summary:
    """Takes the steps of a run that have not been taken yet, and lets go of what they hold, whatever happens.

    Args:
        run: A run.
        carry_out: How a step is taken.
    """
    with run.held:
        try:
            for step in run.steps:
                if step.name not in run.wall_seconds:
                    run.time(step, carry_out)
        except BaseException as error:
            run.note_failure(error)
            raise
    return run.summary()


def process_shards(executor: Executor, tasks: list[ShardTask], work: Work, progress: Progress) -> list[ShardResult]:
    """Has every shard processed; what it made is committed before it counts as done."""
    results: list[ShardResult] = []
    if work.before is not None:
        found = executor.map_through(work.before, work.run, tasks, name=_named)
    else:
        found = executor.map_unordered(work.run, tasks, name=_named, device="GPU" if work.on_gpu else None)
    for result in found:
        results.append(result.without_details)
        progress.advanced(result)
    return results


def _named(task: ShardTask) -> str:
    return f"shard {task.name}"


class ShardRun(ABC, Generic[Summary]):
    """What the steps of a run over shards have in common, and what they hand on to one another.

    Attributes:
        progress: Told how far the run is.
        hand_out: How shards are given to the executor.
        started: When the run was begun.
        held: Let go of when the run ends: locks, workers.
        wall_seconds: Time by step, of those that were taken.
        waiting: Shards to do.
        finished: Shards that an earlier run has done.
        results: What came of those that were to do.
        workers: Tasks that could run at the same time.
    """

    def __init__(self, progress: Progress | None) -> None:
        self.progress: Progress = progress or Silence()
        self.hand_out: HandOut = process_shards
        self.held = ExitStack()
        self.started = datetime.now(UTC)
        self.wall_seconds: dict[str, float] = {}
        self.waiting: list[ShardTask] = []
        self.finished: list[ShardTask] = []
        self.results: list[ShardResult] = []
        self.workers = 0
        self._log: Path | None = None
        self._unlogged: list[Problem] = []
        self._cluster = ExitStack()
        self._shared: Executor | None = None
        self._executor: Executor | None = None

    @property
    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """All of the run, in order."""

    @abstractmethod
    def summary(self) -> Summary:
        """What the run did; known when all steps have been taken."""

    def time(self, step: Step, carry_out: Callable[[Step], None] = lambda step: step.take()) -> None:
        """Tells of a step, takes it and notes the time that it took (s)."""
        self.progress.stage(step.name)
        start = time.perf_counter()
        carry_out(step)
        self.wall_seconds[step.name] = time.perf_counter() - start
        LOGGER.info("%s took %.2f s", step.name, self.wall_seconds[step.name])

    def keep_log(self, path: Path) -> None:
        """Has the run logged from here on.

        Raises:
            TaskFailedError: The log cannot be written.
        """
        with writing(path):
            self.held.enter_context(run_log(path))
        self._log = path
        for name, seconds in self.wall_seconds.items():
            LOGGER.info("%s took %.2f s", name, seconds)
        for warning in self._unlogged:
            LOGGER.warning("%s", warning)

    def note_failure(self, error: BaseException) -> None:
        """Logs why the run ends, and has the error tell where its log is."""
        if self._log is None:
            return
        if isinstance(error, Exception):
            LOGGER.error("the run ends: %s", describe(error), exc_info=error)
        else:
            LOGGER.info("the run was interrupted")
        error.add_note(f"The run's log is {self._log}.")

    def warn(self, warnings: Iterable[Problem]) -> None:
        """Tells what is odd but does not stop the run."""
        for warning in warnings:
            self.progress.warn(str(warning))
            # Without a log yet, Python would write to the terminal what progress has told there.
            if self._log is None:
                self._unlogged.append(warning)
            else:
                LOGGER.warning("%s", warning)

    def open_workers(self, config: ClusterConfig, model: Path | None = None) -> None:
        """Starts workers, which load what they need while the leader goes on; takes those of others where it has any.

        Args:
            config: Of the workers.
            model: Folder of the model that they will call with.

        Raises:
            ClusterLostError: None could be started or reached.
        """
        if self._shared is not None:
            self._executor, self.workers = self._shared, self._shared.workers
            return
        if not are_compiled():
            self.progress.stage("compile kernels, which is done once")
        executor = open_executor(config)
        self.held.enter_context(self._cluster).enter_context(executor)
        what: Callable[[], object] = warm_up
        # Where there are GPUs, workers without one never call.
        if model is not None and not executor.gpu_workers:
            what = partial(warm_up, str(model), model_identity(load_card(model)))
        executor.warm_up(what)
        self._executor, self.workers = executor, executor.workers

    def process(self, work: Work) -> None:
        """Has the shards that wait processed.

        Raises:
            TaskFailedError: A shard could not be processed.
            ClusterLostError: No worker is left.
        """
        bp = bp_per_task(self.waiting), bp_per_task(self.finished)
        self.progress.planned(len(self.waiting) + len(self.finished), sum(bp), len(self.finished), bp[1], self.workers)
        self.results = self.hand_out(self.executor, self.waiting, work, self.progress)

    @property
    def executor(self) -> Executor:
        """The workers, between the steps that start and stop them."""
        if self._executor is None:
            raise RuntimeError("no workers have been started")
        return self._executor

    @property
    def has_gpu(self) -> bool:
        """Whether some of the workers have a GPU."""
        return self._executor is not None and self._executor.gpu_workers > 0

    def share(self, executor: Executor) -> None:
        """Has the run use workers that other runs use, too, instead of starting its own."""
        self._shared = executor

    def close_workers(self) -> None:
        """Stops workers that were started, so that the steps that follow have the machine to themselves."""
        self._executor = None
        self._cluster.close()

    def work_summary(self, totals: ShardTotals) -> WorkSummary:
        """What the run took so far."""
        return WorkSummary(totals, len(self.finished), self.workers, dict(self.wall_seconds), peak_memory_mb())
