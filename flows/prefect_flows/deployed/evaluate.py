"""Calls against a truth set."""

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from diffbio_core.problems import InputError
from diffbio_flows.prefect_flows.artifacts import as_cell, show_markdown
from diffbio_flows.prefect_flows.forms import Group, Text, WholePath
from diffbio_flows.prefect_flows.limits import DeploymentLimits
from diffbio_flows.prefect_flows.operated import operated
from diffbio_flows.runs.evaluate import EvaluationTable, evaluate_calls

GivenPath = Annotated[str, Field(min_length=1, max_length=4096, pattern="^/")]


class ComparisonGroup(Group):
    """The calls, and the truth that they are judged by."""

    calls: GivenPath = Field(title="Calls", description="Whole path of the VCF to judge")
    truth: GivenPath = Field(title="Truth", description="Whole path of the VCF with every variant of the regions")
    reference: GivenPath = Field(title="Reference", description="Whole path of the FASTA that both were made with")
    confident: WholePath = Field(
        default="", title="Confident regions", description="Whole path of a BED file; everywhere if empty"
    )
    region: list[Text] = Field(default=[], max_length=10_000, title="Regions", description="Such as chr20:1-2,000")
    calls_sample: Text = Field(default="", title="Sample of the calls", description="The only one if empty")
    truth_sample: Text = Field(default="", title="Sample of the truth", description="The only one if empty")


@flow(name="evaluate", persist_result=False, result_serializer="json")
def evaluate(input: ComparisonGroup) -> State:
    """Compares genotypes by the haplotypes that they spell; the page shows hap.py's summary columns.

    Args:
        input: What is compared.

    Raises:
        InputError: The form names a file that is not allowed, or one that cannot be used.
    """
    limits = DeploymentLimits.from_environment()
    with operated(limits):
        files = {name: getattr(input, name) for name in ("calls", "truth", "reference", "confident")}
        problems = limits.path_problems(files)
        if problems:
            raise InputError(problems)
        table = evaluate_calls(
            input.truth,
            input.calls,
            input.reference,
            confident=input.confident or None,
            regions=tuple(input.region),
            truth_sample=input.truth_sample or None,
            calls_sample=input.calls_sample or None,
        )
    show_markdown("evaluation", evaluation_text(table), "Evaluation")
    overall = table.overall.to_dict()
    rates = ", ".join(f"{name} {overall[f'METRIC.{name}']}" for name in ("Recall", "Precision", "F1_Score"))
    return Completed(message=f"{input.calls}: {rates}")


def evaluation_text(table: EvaluationTable) -> str:
    """hap.py's summary table, and what speaks against the files, as Markdown."""
    rows = [row.to_dict() for row in (*table.rows, table.overall)]
    lines = ["| " + " | ".join(map(as_cell, rows[0])) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(map(_figure, row.values())) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {as_cell(warning)}" for warning in table.warnings)])


def _figure(value: str | int | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else as_cell(value)
