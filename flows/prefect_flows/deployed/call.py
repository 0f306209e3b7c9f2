"""Reads, or a window store, to VCF."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from diffbio_flows.prefect_flows.artifacts import show_link, show_markdown
from diffbio_flows.prefect_flows.forms import (
    CallInputGroup,
    CallOutputGroup,
    MachineGroup,
    ModelGroup,
    RegionGroup,
    call_parameters,
)
from diffbio_flows.prefect_flows.limits import DeploymentLimits
from diffbio_flows.prefect_flows.operated import on_machine, operated, run_names
from diffbio_flows.prefect_flows.shard_tasks import GROUPS_AT_ONCE, drive_in_prefect
from diffbio_flows.reports.tables import as_markdown
from diffbio_flows.runs.call import CallRun


@flow(
    name="call",
    persist_result=False,
    result_serializer="json",
    task_runner=ThreadPoolTaskRunner(max_workers=GROUPS_AT_ONCE),  # type: ignore[arg-type]
)
def call(
    input: CallInputGroup,
    output: CallOutputGroup,
    region: RegionGroup = RegionGroup(),  # noqa: B008
    model: ModelGroup = ModelGroup(),  # noqa: B008
    machine: MachineGroup = MachineGroup(),  # noqa: B008
) -> State:
    """Calls the variants of one sample; a run that was stopped goes on where it stood when it is retried.

    Args:
        input: What to call.
        output: What is written, and where.
        region: The part of the genome.
        model: How it is called.
        machine: Where the run works, and for how long at most.

    Raises:
        InputError: The form asks for what is not allowed, or the input cannot be used.
        TaskFailedError: A shard could not be processed. Finished shards are kept.
        ClusterLostError: No worker could be started, or none is left. Finished shards are kept.
    """
    limits = DeploymentLimits.from_environment()
    with operated(limits):
        parameters = call_parameters(input, region, output, model, machine, run_names(), limits)
        with on_machine(machine, parameters):
            summary = drive_in_prefect(CallRun(parameters), "call-progress")
    show_markdown("call-summary", as_markdown(summary), f"Calls of {summary.sample}")
    show_link("call-report", limits.report_url(summary.report), f"Report of {summary.sample}")
    return Completed(message=f"{summary.sample}: {summary.variants.records:,} records in {summary.output}")
