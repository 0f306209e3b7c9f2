"""What a training came to, as text, as tables and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from diffbio_core.whole_file import whole_file
from diffbio_flows.reports.tables import Table

if TYPE_CHECKING:
    from diffbio_flows.runs.train import TrainingSummary


def as_text(summary: TrainingSummary) -> str:
    """A few lines and a table of the sets."""
    lines = [
        f"model       {summary.output}",
        f"steps       {summary.steps:,}" + (f", from {summary.resumed_from:,} on" if summary.resumed_from else ""),
        f"loss        {summary.loss:.5f}",
        f"sha256      {summary.parameters_sha256}",
        "thresholds  " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in summary.thresholds.items()),
    ]
    for title, table in summary.sets.items():
        none, one, two = table["training"]
        lines.append(f"set {title}: candidates with 0, 1, 2 copies {none:,}, {one:,}, {two:,} to train on")
        if any(table["validation"]):
            none, one, two = table["validation"]
            lines.append(f"  and {none:,}, {one:,}, {two:,} to measure by")
        missed = ", ".join(f"{count} {cause}" for cause, count in table["without_candidate"].items())
        lines.append(f"  {table['truth_alleles']:,} true alleles; without a candidate: {missed or 'none'}")
    return "\n".join(lines)


def training_tables(summary: TrainingSummary) -> list[Table]:
    """Titles with rows of a label and a value: the model, its sets, and what was measured on what was kept apart."""
    model = [
        ("steps", f"{summary.steps:,}"),
        ("loss", f"{summary.loss:.5f}"),
        ("parameters_sha256", summary.parameters_sha256),
        *((name.replace("_", " "), str(value)) for name, value in summary.thresholds.items()),
    ]
    sets = [
        (title, f"{sum(table['training']):,} candidates to train on, {sum(table['validation']):,} to measure by")
        for title, table in summary.sets.items()
    ]
    validation = [
        (name, f"F1 {row['f1']:.4f} of {row['candidates']:,}")
        for name, row in (summary.validation or {}).items()
        if row.get("f1") is not None
    ]
    calls = [(str(row["Type"]), f"F1 {row['METRIC.F1_Score']:.4f}") for row in summary.calls if row["METRIC.F1_Score"]]
    return [("Model", model), ("Sets", sets), ("Candidates kept apart", validation), ("Calls kept apart", calls)]


def loss_picture(steps: Path, picture: Path) -> None:
    """Draws the loss by step.

    Args:
        steps: File with a line of JSON per step.
        picture: SVG to write.
    """
    from matplotlib.figure import Figure

    entries = [json.loads(line) for line in steps.read_text().splitlines()]
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([entry["step"] for entry in entries], [entry["loss"] for entry in entries], linewidth=0.8)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    with whole_file(picture) as aside:
        figure.savefig(aside, format="svg", metadata={"Date": None})
