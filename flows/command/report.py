"""``diffbio report``: calls as a page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import FILE, json_option, show


@click.command(short_help="Write a page about calls.")
@click.argument("calls", type=FILE, metavar="CALLS.vcf.gz")
@click.option("--output", type=FILE, metavar="HTML", help="File to write; CALLS.report.html if not given.")
@click.option(
    "--summary", type=FILE, metavar="JSON", help="summary.json of the run; that of CALLS.vcf.gz.work if not given."
)
@click.option("--truth", type=FILE, metavar="VCF", help="True variants, to hold the calls against.")
@click.option("--confident", type=FILE, metavar="BED", help="Where the truth is complete.")
@click.option("--reference", type=FILE, metavar="FASTA", help="Needed with --truth; that of the run if not given.")
@click.option("--force", is_flag=True, help="Replace the output.")
@json_option
def report(*, calls: Path, as_json: bool, **files: Any) -> None:
    """Write one HTML file about the calls of one sample, and a JSON file beside it that MultiQC reads.

    Every call ends with such a page in its work directory; this one makes it of any VCF, and may hold it against a
    truth.
    """
    from diffbio_flows.runs.report import report_calls

    written = report_calls(calls, **files)
    for told in written.missing:
        click.echo(f"diffbio: warning: {told}", err=True)
    show(asdict(written), f"{written.page}\n{written.multiqc}", as_json)
