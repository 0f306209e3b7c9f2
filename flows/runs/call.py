"""A call run from start to end."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from diffbio_cluster import open_executor
from diffbio_flows.reports.progress import Progress, Silence
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.plan import plan_call
from diffbio_flows.runs.steps import (
    Stopwatch,
    announce,
    finish,
    merge_calls,
    prepare_work,
    process_shards,
    split_tasks,
)
from diffbio_flows.shards.worker import warm_up


def call_variants(
    parameters: CallParameters | None = None, /, *, progress: Progress | None = None, **fields: Any
) -> CallSummary:
    """Calls variants of one sample; a run that was interrupted goes on where it stood.

    Args:
        parameters: What to do; or give its fields as keyword arguments, as ``call_variants(reads=..., ...)``.
        progress: Told how far the run is.
        **fields: Fields of `CallParameters`.

    Returns:
        What was called, and where it lies.

    Raises:
        InputError: The input cannot be used; holds every problem found. Nothing has been written.
        TaskFailedError: A shard could not be processed, or the output not be written. Finished shards are kept.
        ClusterLostError: No worker could be started, or none is left. Finished shards are kept.
    """
    parameters = CallParameters(**fields) if parameters is None else parameters
    progress = progress or Silence()
    clock = Stopwatch()
    progress.stage("checking input")
    with clock("check"):
        plan = plan_call(parameters)
    with plan.work.claim(plan.identity()) as work:
        progress.stage("starting workers")
        with ExitStack() as stack:
            with clock("start workers"):
                executor = open_executor(parameters.cluster_config().with_scratch(work.scratch.resolve()))
                stack.enter_context(executor)
                executor.warm_up(warm_up)
                workers = executor.workers
                prepare_work(plan)
            with clock("shards"):
                waiting, finished = split_tasks(plan)
                announce(progress, waiting, finished)
                process_shards(executor, waiting, progress)
        progress.stage("writing VCF")
        with clock("merge"):
            merge_calls(plan)
        return finish(plan, resumed_shards=len(finished), workers=workers, wall_seconds=clock.seconds)
