"""What a training came to, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
