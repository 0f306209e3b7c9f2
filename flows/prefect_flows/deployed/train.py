"""Sets with a known truth to a model."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from diffbio_flows.prefect_flows.artifacts import ArtifactSteps, show_image, show_markdown
from diffbio_flows.prefect_flows.forms import (
    MachineGroup,
    SetsGroup,
    TrainingGroup,
    TrainOutputGroup,
    train_parameters,
)
from diffbio_flows.prefect_flows.limits import DeploymentLimits
from diffbio_flows.prefect_flows.operated import on_machine, operated, run_names
from diffbio_flows.prefect_flows.shard_tasks import drive_steps
from diffbio_flows.reports.tables import tables_as_markdown
from diffbio_flows.reports.training import loss_picture, training_tables
from diffbio_flows.runs.train import STEPS, TrainingRun


@flow(name="train", persist_result=False, result_serializer="json")
def train(
    input: SetsGroup,
    output: TrainOutputGroup,
    training: TrainingGroup = TrainingGroup(),  # noqa: B008
    machine: MachineGroup = MachineGroup(),  # noqa: B008
) -> State:
    """Trains a model; a run that was stopped goes on from its last checkpoint when it is retried.

    Args:
        input: What to train on.
        output: The model that is written, and where.
        training: How long, and from what.
        machine: Where the run works, and for how long at most.

    Raises:
        InputError: The form asks for what is not allowed, or the input cannot be used.
        TaskFailedError: A worker failed. Checkpoints are kept.
        ClusterLostError: No worker could be started, or none is left. Checkpoints are kept.
    """
    limits = DeploymentLimits.from_environment()
    with operated(limits):
        parameters = train_parameters(input, output, training, machine, run_names(), limits)
        with on_machine(machine, parameters):
            summary = drive_steps(TrainingRun(parameters, told=ArtifactSteps("train-progress")))
        picture = parameters.work_path / "loss.svg"
        loss_picture(parameters.work_path / STEPS, picture)
    show_markdown("train-summary", tables_as_markdown(training_tables(summary)), f"Model {parameters.output.name}")
    show_image("train-loss", limits.report_url(picture), f"Loss of {parameters.output.name}")
    return Completed(message=f"{summary.steps:,} steps, model {summary.output}")
