"""The call run as a Prefect flow that is started from a terminal or from Python.

Annotations are not postponed here: Prefect, which loads a served flow from this file alone, could not resolve them.
"""

from prefect import flow
from prefect.runtime import deployment
from prefect.task_runners import ThreadPoolTaskRunner

from diffbio_flows.prefect_flows.artifacts import show_markdown
from diffbio_flows.prefect_flows.checked import checked_run
from diffbio_flows.prefect_flows.shard_tasks import GROUPS_AT_ONCE, drive_in_prefect
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.reports.tables import as_markdown
from diffbio_flows.runs.call import CallRun
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.places import check_whole_paths


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
    summary = drive_in_prefect(run, "call-progress")
    show_markdown("call-summary", as_markdown(summary), f"Calls of {summary.sample}")
    return summary
