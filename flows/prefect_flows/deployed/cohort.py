"""The samples of a sheet, each to its VCF."""

from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from diffbio_core.problems import InputError
from diffbio_flows.prefect_flows.artifacts import as_cell, show_link, show_markdown
from diffbio_flows.prefect_flows.forms import Group, MachineGroup, RegionGroup, RunNames, Text, WholePath
from diffbio_flows.prefect_flows.limits import DeploymentLimits
from diffbio_flows.prefect_flows.operated import on_machine, operated, run_names
from diffbio_flows.prefect_flows.shard_tasks import GROUPS_AT_ONCE, drive_in_prefect
from diffbio_flows.reports.cohort import COLUMNS, CohortSummary
from diffbio_flows.reports.progress import Silence
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.runs.call import CallRun
from diffbio_flows.runs.cohort import CohortRun
from diffbio_flows.runs.cohort_plan import OPTIONAL, REQUIRED, CohortParameters
from diffbio_flows.runs.names import fill_name
from diffbio_io.sample_sheet import path_in_sheet, read_sample_sheet

_WHOLE = r"^/.*$"


class SheetGroup(Group):
    """The samples, and what their reads were aligned to."""

    sheet: Annotated[str, Field(max_length=4096, pattern=_WHOLE)] = Field(
        title="Sheet",
        description="Whole path of a CSV with the columns sample, reads, output, and sex and model if wanted; names in "
        "output are templates: {sample}, {date} and {run} are filled in",
    )
    reference: Annotated[str, Field(max_length=4096, pattern=_WHOLE)] = Field(
        title="Reference", description="Whole path of the FASTA that all reads were aligned to, plain or bgzipped"
    )


class CohortOutputGroup(Group):
    """What is written beside the samples' VCFs."""

    gvcf: bool = Field(default=False, title="gVCFs", description="Write a gVCF beside each VCF")
    joint_folder: WholePath = Field(
        default="", title="Folder of the joint VCF", description="Write one VCF of all samples there; none if empty"
    )
    joint_name: Text = Field(
        default="cohort.{date}.vcf.gz", title="Name of the joint VCF", description="{date} and {run} are filled in"
    )
    keep_windows: bool = Field(default=False, title="Keep windows", description="Keep the decoded reads, to call again")


class _Warnings(Silence):
    """Tells the run's log which samples are faulty, and why."""

    def warn(self, text: str) -> None:
        get_run_logger().warning(text)


@flow(
    name="cohort",
    persist_result=False,
    result_serializer="json",
    task_runner=ThreadPoolTaskRunner(max_workers=GROUPS_AT_ONCE),  # type: ignore[arg-type]
)
def cohort(
    input: SheetGroup,
    output: CohortOutputGroup = CohortOutputGroup(),  # noqa: B008
    region: RegionGroup = RegionGroup(),  # noqa: B008
    machine: MachineGroup = MachineGroup(),  # noqa: B008
) -> State:
    """Calls the samples of a sheet; what fails of one does not stop the others, and a retry calls what is missing.

    Args:
        input: The sheet and the reference.
        output: What is written beside the VCFs that the sheet names.
        region: The part of the genome.
        machine: Where the run works, and for how long at most.

    Raises:
        InputError: The form or the sheet asks for what is not allowed, or no sample can be called.
        TaskFailedError: The VCF of all samples could not be written.
    """
    limits = DeploymentLimits.from_environment()
    with operated(limits):
        parameters = cohort_parameters(input, output, region, machine, limits, run_names())
        run = CohortRun(parameters, _Warnings())
        run.drive = drive_sample
        run.check()
        with on_machine(machine, parameters):
            summary = run.call()
    show_markdown("cohort-summary", cohort_text(summary), f"Samples of {parameters.sheet.name}")
    for outcome in summary.samples:
        if outcome.summary is not None:
            show_link("cohort-report", limits.report_url(outcome.summary["report"]), f"Report of {outcome.sample}")
    failed = ", ".join(outcome.sample for outcome in summary.failed)
    done = f"{len(summary.samples) - len(summary.failed)} of {len(summary.samples)} samples called"
    return Failed(message=f"{done}; failed: {failed}") if failed else Completed(message=done)


def drive_sample(run: CallRun) -> CallSummary:
    """See `drive_in_prefect`: each sample has a bar of its own."""
    return drive_in_prefect(run, "call-progress")


def cohort_parameters(
    given: SheetGroup,
    output: CohortOutputGroup,
    region: RegionGroup,
    machine: MachineGroup,
    limits: DeploymentLimits,
    names: RunNames,
) -> CohortParameters:
    """The run that a form asks for; every path of its sheet lies inside the roots.

    Raises:
        InputError: The form or its sheet asks for what is not allowed or cannot be.
    """
    paths = {"sheet": given.sheet, "reference": given.reference, "BED file": region.bed, "folder": output.joint_folder}
    problems = limits.path_problems(paths)
    if problems:
        raise InputError(problems)
    filled = names.values()
    joint = Path(output.joint_folder) / fill_name(output.joint_name, filled) if output.joint_folder else None
    parameters = CohortParameters(
        sheet=Path(given.sheet),
        reference=Path(given.reference),
        region=tuple(region.region),
        regions=Path(region.bed) if region.bed else None,
        gvcf=output.gvcf,
        joint=joint,
        keep_windows=output.keep_windows,
        only_failed=True,
        names=filled,
        **machine.fields(limits),  # type: ignore[arg-type]
    )
    problems = limits.path_problems({"joint VCF": joint})
    for row in read_sample_sheet(given.sheet, REQUIRED, OPTIONAL):
        read = {name: path_in_sheet(row.values[name], given.sheet) for name in ("reads", "model") if row.values[name]}
        call = {"output": parameters.output(row)}
        work = {"work directory": call["output"].with_name(f"{call['output'].name}.work")}
        problems += limits.path_problems(
            {f"{given.sheet}, line {row.line}, {name}": path for name, path in (read | call | work).items()}
        )
    if problems:
        raise InputError(problems)
    return parameters


def cohort_text(summary: CohortSummary) -> str:
    """The table of a cohort as Markdown, and why samples failed."""
    head, *rows = [list(COLUMNS), *(outcome.cells() for outcome in summary.samples)]
    lines = [" | ".join(map(as_cell, cells)) for cells in (head, *rows)]
    lines.insert(1, " | ".join("---" for _ in head))
    told = [f"{outcome.sample}: {problem}" for outcome in summary.failed for problem in outcome.problems]
    return "\n".join([*(f"| {line} |" for line in lines), "", *(f"- {as_cell(text)}" for text in told)])
