"""Reads to a window store."""

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from diffbio_flows.prefect_flows.artifacts import show_markdown
from diffbio_flows.prefect_flows.forms import Group, MachineGroup, ReadsGroup, RegionGroup, ingest_parameters
from diffbio_flows.prefect_flows.limits import DeploymentLimits
from diffbio_flows.prefect_flows.operated import on_machine, operated, run_names
from diffbio_flows.prefect_flows.shard_tasks import GROUPS_AT_ONCE, drive_in_prefect
from diffbio_flows.reports.tables import tables_as_markdown, work_tables
from diffbio_flows.runs.ingest import IngestRun


class StoreGroup(Group):
    """The window store that is filled."""

    store: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        title="Window store",
        description="Whole path or URL; {sample}, {date} and {run} are filled in its last part",
    )
    replace: bool = Field(default=False, title="Replace", description="Replace windows of other reads, where allowed")


@flow(
    name="ingest",
    persist_result=False,
    result_serializer="json",
    task_runner=ThreadPoolTaskRunner(max_workers=GROUPS_AT_ONCE),  # type: ignore[arg-type]
)
def ingest(
    input: ReadsGroup,
    output: StoreGroup,
    region: RegionGroup = RegionGroup(),  # noqa: B008
    machine: MachineGroup = MachineGroup(),  # noqa: B008
) -> State:
    """Fills a window store, for training or for calling again; what it holds already is not done again.

    Args:
        input: The reads.
        output: The store.
        region: The part of the genome.
        machine: Where the run works, and for how long at most.

    Raises:
        InputError: The form asks for what is not allowed, or the input cannot be used.
        TaskFailedError: A shard could not be processed. Finished shards are kept.
        ClusterLostError: No worker could be started, or none is left. Finished shards are kept.
    """
    limits = DeploymentLimits.from_environment()
    with operated(limits):
        parameters = ingest_parameters(input, region, output.store, output.replace, machine, limits, run_names())
        with on_machine(machine, parameters):
            summary = drive_in_prefect(IngestRun(parameters), "ingest-progress")
    show_markdown("ingest-summary", tables_as_markdown(work_tables(summary.work)), f"Windows of {summary.sample}")
    return Completed(message=f"{summary.sample}: {summary.work.totals.shards:,} shards in {summary.store}")
