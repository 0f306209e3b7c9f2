"""``diffbio evaluate``: calls against a truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import FILE, reference_option, region_option


@click.command(short_help="Compare calls with the truth, by haplotype.")
@click.option("--truth", type=FILE, required=True, metavar="VCF", help="True variants.")
@click.option("--calls", type=FILE, required=True, metavar="VCF", help="Variants to judge.")
@reference_option
@click.option("--confident", type=FILE, metavar="BED", help="Where the truth is complete.")
@region_option
@click.option("--truth-sample", metavar="NAME", help="Sample of the truth, where it holds several.")
@click.option("--calls-sample", metavar="NAME", help="Sample of the calls, where they hold several.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the table as JSON, too; - prints it.")
def evaluate(*, json_file: Path | None, truth: Path, calls: Path, region: tuple[str, ...], **files: Any) -> None:
    """Compare calls with the truth, by haplotype; prints hap.py's summary columns."""
    from diffbio_flows.runs.evaluate import evaluate_calls

    to_screen = str(json_file) == "-"
    table = evaluate_calls(truth, calls, regions=region, json=None if to_screen else json_file, **files)
    for warning in table.warnings:
        click.echo(f"diffbio: warning: {warning}", err=True)
    click.echo(table.to_json() if to_screen else table.to_text())
