"""A cohort run: the samples of a sheet are called on the same workers; what fails of one does not stop the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from diffbio_cluster import ClusterConfig, ClusterLostError, Executor, TaskFailedError, describe, open_executor
from diffbio_core.problems import InputError
from diffbio_flows.reports.cohort import CohortSummary, SampleOutcome
from diffbio_flows.reports.progress import Progress, Silence
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.runs.call import CallRun
from diffbio_flows.runs.cohort_plan import CohortParameters, CohortSample, in_sheet, plan_cohort
from diffbio_flows.runs.layout import writing
from diffbio_flows.runs.steps import drive
from diffbio_flows.shards.worker import warm_up

Drive = Callable[[CallRun], CallSummary]


def call_cohort(
    parameters: CohortParameters | None = None, /, *, progress: Progress | None = None, **fields: Any
) -> CohortSummary:
    """Calls the samples of a sheet; what fails of one does not stop the others.

    Args:
        parameters: What to do; or give its fields as keyword arguments.
        progress: Told how far the run is.
        **fields: Fields of `CohortParameters`.

    Returns:
        What became of each sample.

    Raises:
        InputError: The sheet, or what all samples share, cannot be used, or none of them can be called.
        TaskFailedError: The VCF of all samples could not be written.
    """
    run = CohortRun(CohortParameters(**fields) if parameters is None else parameters, progress)
    run.check()
    return run.call()


class CohortRun:
    """A cohort from its sheet to its table.

    Attributes:
        parameters: What to do.
        progress: Told how far the run is.
        drive: How the call of one sample is driven.
        samples: Of the sheet, once it has been checked.
    """

    def __init__(self, parameters: CohortParameters, progress: Progress | None = None) -> None:
        self.parameters = parameters
        self.progress: Progress = progress or Silence()
        self.drive: Drive = drive
        self.samples: list[CohortSample] = []
        self._started = time.perf_counter()

    def check(self) -> None:
        """Looks at the sheet and at the input of every sample, and nothing else; tells what is wrong with some.

        Raises:
            InputError: See `plan_cohort`.
        """
        self.progress.stage("check samples")
        self.samples = plan_cohort(self.parameters)
        for sample in self.samples:
            for problem in sample.problems:
                self.progress.warn(str(in_sheet(problem, sample, self.parameters.sheet)))
            for warning in sample.run.plan.warnings if sample.run else ():
                self.progress.warn(f"{sample.name}: {warning}")

    def call(self) -> CohortSummary:
        """Calls every sample that can be called, one after another, each shard of it on whatever worker is free.

        Raises:
            TaskFailedError: The VCF of all samples could not be written.
        """
        outcomes = []
        with _SharedWorkers(self.parameters.cluster_config()) as workers:
            for number, sample in enumerate(self.samples, start=1):
                self.progress.stage(f"sample {sample.name} ({number} of {len(self.samples)})")
                outcomes.append(self._outcome(sample, workers))
        joint = self._join(outcomes)
        return CohortSummary(tuple(outcomes), joint, time.perf_counter() - self._started)

    def _outcome(self, sample: CohortSample, workers: _SharedWorkers) -> SampleOutcome:
        if sample.summary is not None:
            return _told(sample, "done before", summary=sample.summary)
        if sample.run is None:
            sheet = self.parameters.sheet
            return _told(sample, "failed", *(str(in_sheet(problem, sample, sheet)) for problem in sample.problems))
        try:
            sample.run.progress = self.progress
            sample.run.share(workers.executor)
            summary = self.drive(sample.run)
        except InputError as error:
            return _told(sample, "failed", *map(str, error.problems))
        except Exception as error:
            if isinstance(error, ClusterLostError):
                workers.close()
            known = isinstance(error, TaskFailedError | ClusterLostError | OSError)
            why = " ".join((str(error) if known else describe(error), *getattr(error, "__notes__", ())))
            self.progress.warn(f"sample {sample.name} failed: {why}")
            return _told(sample, "failed", why)
        # As a script, and a later run, will read it.
        return _told(sample, "done", summary=json.loads(json.dumps(summary.to_json())))

    def _join(self, outcomes: list[SampleOutcome]) -> str | None:
        """Writes one VCF of all samples, where that was asked for and all of them are done."""
        joint = self.parameters.joint
        if joint is None or any(outcome.state == "failed" for outcome in outcomes):
            return None
        from diffbio_io.variants.joint import JointError, merge_samples

        self.progress.stage("merge samples")
        gvcfs = [gvcf for sample in self.samples if (gvcf := sample.parameters.gvcf) is not None]
        try:
            with writing(joint):
                merge_samples(joint, gvcfs, self.parameters.reference, aside=joint.with_name(f".{joint.name}.joint"))
        except JointError as error:
            raise TaskFailedError(f"merging samples to {joint}", str(error)) from error
        return str(joint)


class _SharedWorkers:
    """Workers of all samples, started when the first needs them, and anew after they were lost."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._held = ExitStack()
        self._executor: Executor | None = None

    @property
    def executor(self) -> Executor:
        """The workers.

        Raises:
            ClusterLostError: None could be started or reached.
        """
        if self._executor is None:
            executor = self._held.enter_context(open_executor(self._config))
            executor.warm_up(warm_up)
            self._executor = executor
        return self._executor

    def close(self) -> None:
        """Stops workers that were started."""
        self._executor = None
        self._held.close()

    def __enter__(self) -> _SharedWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _told(sample: CohortSample, state: Any, *problems: str, summary: Any = None) -> SampleOutcome:
    parameters = sample.parameters
    return SampleOutcome(
        sample.name,
        sample.row.line,
        state,
        str(Path(parameters.output)),
        parameters.sex or "unknown",
        problems,
        summary,
    )
