"""The steps of a run as Prefect's tasks, and its shards in groups.

Prefect records a few dozen tasks per run, never one per window: shards go to Dask from inside a task.
"""

from typing import TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from diffbio_cluster import Executor
from diffbio_flows.prefect_flows.artifacts import ArtifactProgress
from diffbio_flows.reports.progress import Progress, Several
from diffbio_flows.runs.plan import shard_groups
from diffbio_flows.runs.steps import ShardRun, Step, Work, drive, process_shards
from diffbio_flows.shards.message import ShardResult, ShardTask

Value = TypeVar("Value")
Summary = TypeVar("Summary")

# Two groups at a time, so that workers do not wait at a group's end for its last shard.
GROUPS_AT_ONCE = 2


def drive_in_prefect(run: ShardRun[Summary], progress_key: str) -> Summary:
    """See `drive`: inside a flow, whose page shows how far the run is.

    Args:
        run: A run.
        progress_key: Key of the artifact with its progress.
    """
    run.progress = Several((run.progress, ArtifactProgress(progress_key)))
    run.hand_out = hand_out_groups
    return drive_steps(run)


def drive_steps(run: ShardRun[Summary]) -> Summary:
    """See `drive`: inside a flow, each step a task."""
    return drive(run, carry_out=_as_task)


def _as_task(step: Step) -> None:
    take_step.with_options(name=step.name)(_unsearched(step))


@task(cache_policy=NO_CACHE, persist_result=False)
def take_step(step: Step) -> None:
    """See `Step`."""
    step.take()


def hand_out_groups(executor: Executor, tasks: list[ShardTask], work: Work, progress: Progress) -> list[ShardResult]:
    """See `process_shards`; each group of shards is a task."""
    groups = [
        process_group.submit(
            _unsearched(executor), _unsearched(group), work, _unsearched(progress), group[0].name, group[-1].name
        )
        for group in shard_groups(tasks)
    ]
    return [result for group in groups for result in group.result()]


@task(name="shards", task_run_name="shards {first} to {last}", cache_policy=NO_CACHE, persist_result=False)
def process_group(
    executor: Executor, group: list[ShardTask], work: Work, progress: Progress, first: str, last: str
) -> list[ShardResult]:
    """See `process_shards`."""
    return process_shards(executor, group, work, progress)


def _unsearched(value: Value) -> Value:
    """A task's argument that Prefect need not search for futures."""
    return cast(Value, quote(value))
