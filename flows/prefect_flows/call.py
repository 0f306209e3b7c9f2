"""The call run as a Prefect flow: the steps of `diffbio_flows.runs`, each a task, with artifacts for the web page.

Prefect records a few dozen tasks per run, never one per window: shards go to Dask from inside a task, in groups.
"""

from __future__ import annotations

import threading
import time
from typing import TypeVar, cast
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from diffbio_cluster import Executor, open_executor
from diffbio_flows.reports.progress import Pace, Progress
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.reports.tables import as_markdown
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.plan import CallPlan, bp_per_task, plan_call, shard_groups
from diffbio_flows.runs.steps import Stopwatch, finish, merge_calls, prepare_work, process_shards, split_tasks
from diffbio_flows.shards.message import ShardResult, ShardTask
from diffbio_flows.shards.worker import warm_up

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
    clock = Stopwatch()
    with clock("check"):
        plan = check_input(_whole(parameters))
    with plan.work.claim(plan.identity()) as work:
        config = parameters.cluster_config().with_scratch(work.scratch.resolve())
        with open_executor(config) as executor, clock("shards"):
            executor.warm_up(warm_up)
            workers = executor.workers
            prepare_work(plan)
            waiting, finished = split_tasks(plan)
            progress = ArtifactProgress()
            progress.planned(len(waiting) + len(finished), bp_per_task(waiting + finished), len(finished), 0)
            groups = [
                call_shards.submit(_whole(executor), _whole(group), _whole(progress), group[0].name, group[-1].name)
                for group in shard_groups(waiting)
            ]
            for group in groups:
                group.result()
            progress.close()
        with clock("merge"):
            write_vcf(_whole(plan))
        return summarise(_whole(plan), len(finished), workers, _whole(clock))


@task(name="check input", cache_policy=NO_CACHE, persist_result=False)
def check_input(parameters: CallParameters) -> CallPlan:
    """See `plan_call`."""
    return plan_call(parameters)


@task(name="call shards", task_run_name="shards {first} to {last}", cache_policy=NO_CACHE, persist_result=False)
def call_shards(executor: Executor, group: list[ShardTask], progress: Progress, first: str, last: str) -> None:
    """See `process_shards`."""
    process_shards(executor, group, progress)


@task(name="write VCF", cache_policy=NO_CACHE, persist_result=False)
def write_vcf(plan: CallPlan) -> None:
    """See `merge_calls`."""
    merge_calls(plan)


@task(name="summarise", cache_policy=NO_CACHE, persist_result=False)
def summarise(plan: CallPlan, resumed_shards: int, workers: int, clock: Stopwatch) -> CallSummary:
    """See `finish`; the summary becomes an artifact."""
    seconds = clock.seconds
    summary = finish(plan, resumed_shards=resumed_shards, workers=workers, wall_seconds=seconds)
    create_markdown_artifact(as_markdown(summary), key="call-summary", description=f"Calls of {summary.sample}")
    return summary


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

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int) -> None:
        """See `Progress`."""
        self._pace.planned(shards, bp, finished_shards, finished_bp)
        self._update()

    def advanced(self, result: ShardResult) -> None:
        """See `Progress`; called by several tasks at once."""
        with self._lock:
            self._pace.advanced(result)
            now = time.monotonic()
            if now - self._told < self._every:
                return
            self._told = now
        self._update()

    def close(self) -> None:
        """Tells the last state."""
        self._update()

    def _update(self) -> None:
        percent = 100.0 * self._pace.done / max(1, self._pace.shards)
        update_progress_artifact(self._artifact, percent, description=str(self._pace))


def _whole(value: Value) -> Value:
    """A task's argument that Prefect need not search for futures."""
    return cast(Value, quote(value))
