"""The call run as a Prefect flow: its steps are tasks, and so are groups of its shards; artifacts for the web page.

Prefect records a few dozen tasks per run, never one per window: shards go to Dask from inside a task, in groups.

Annotations are not postponed here: Prefect, which loads a served flow from this file alone, could not resolve them.
"""

import threading
import time
from typing import TypeVar, cast
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import deployment
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from diffbio_cluster import Executor
from diffbio_flows.prefect_flows.checked import checked_run
from diffbio_flows.reports.progress import Pace, Progress, Several
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.reports.tables import as_markdown
from diffbio_flows.runs.call import CallRun
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.places import check_whole_paths
from diffbio_flows.runs.plan import shard_groups
from diffbio_flows.runs.steps import Step, Work, drive, process_shards
from diffbio_flows.shards.message import ShardResult, ShardTask

Value = TypeVar("Value")

# Two groups at a time, so that workers do not wait at a group's end for its last shard.
GROUPS_AT_ONCE = 2


# Results are not persisted; the error of a failed run is, and Prefect would do that with pickle.
@flow(
    name="call",
    persist_result=False,
    result_serializer="json",
    task_runner=ThreadPoolTaskRunner(max_workers=GROUPS_AT_ONCE),  # type: ignore[arg-type]
)
def call_flow(parameters: CallParameters) -> CallSummary:
    """Calls variants of one sample; a run that was interrupted goes on where it stood.

    Args:
        parameters: What to do.

    Raises:
        InputError: The input cannot be used.
        TaskFailedError: A shard could not be processed. Finished shards are kept.
        ClusterLostError: No worker could be started, or none is left. Finished shards are kept.
    """
    run = checked_run(parameters)
    if run is None:
        if deployment.id is not None:
            check_whole_paths(parameters)
        run = CallRun(parameters)
    progress = ArtifactProgress()
    run.progress, run.hand_out = Several((run.progress, progress)), hand_out_groups
    summary = drive(run, carry_out=_as_task)
    create_markdown_artifact(as_markdown(summary), key="call-summary", description=f"Calls of {summary.sample}")
    return summary


def _as_task(step: Step) -> None:
    take_step.with_options(name=step.name)(_whole(step))


@task(cache_policy=NO_CACHE, persist_result=False)
def take_step(step: Step) -> None:
    """See `Step`."""
    step.take()


def hand_out_groups(executor: Executor, tasks: list[ShardTask], work: Work, progress: Progress) -> list[ShardResult]:
    """See `process_shards`; each group of shards is a task."""
    groups = [
        process_group.submit(_whole(executor), _whole(group), work, _whole(progress), group[0].name, group[-1].name)
        for group in shard_groups(tasks)
    ]
    return [result for group in groups for result in group.result()]


@task(name="shards", task_run_name="shards {first} to {last}", cache_policy=NO_CACHE, persist_result=False)
def process_group(
    executor: Executor, group: list[ShardTask], work: Work, progress: Progress, first: str, last: str
) -> list[ShardResult]:
    """See `process_shards`."""
    return process_shards(executor, group, work, progress)


class ArtifactProgress:
    """A `Progress` that Prefect's page shows as a bar.

    Args:
        every: Seconds between updates, so that shards do not wait for Prefect's server.
    """

    def __init__(self, every: float = 2.0) -> None:
        self._every = every
        self._pace = Pace()
        self._lock = threading.Lock()
        self._told = time.monotonic()
        self._artifact: UUID = create_progress_artifact(0.0, key="call-progress", description="starting")  # type: ignore[assignment]

    def stage(self, name: str) -> None:
        """See `Progress`: here a stage is a task, which the page shows anyway."""

    def warn(self, text: str) -> None:
        """See `Progress`: here the summary's artifact tells it, and the run's log."""
        get_run_logger().warning(text)

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """See `Progress`."""
        self._pace.planned(shards, bp, finished_shards, finished_bp, workers)
        self._update()

    def advanced(self, result: ShardResult) -> None:
        """See `Progress`; called by several tasks at once."""
        with self._lock:
            self._pace.advanced(result)
            now = time.monotonic()
            if self._pace.done < self._pace.shards and now - self._told < self._every:
                return
            self._told = now
        self._update()

    def _update(self) -> None:
        percent = 100.0 * self._pace.done / max(1, self._pace.shards)
        update_progress_artifact(self._artifact, percent, description=str(self._pace))


def _whole(value: Value) -> Value:
    """A task's argument that Prefect need not search for futures."""
    return cast(Value, quote(value))
