"""``diffbio view``: a locus as the model saw it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import FILE


@click.command(short_help="Show what the model saw at a locus.")
@click.argument("calls", type=FILE, metavar="CALLS.vcf.gz")
@click.argument("locus", metavar="CONTIG:POS")
@click.option("--windows", metavar="STORE", help="Window store to take; that of the run if it was kept.")
@click.option("--reads", type=FILE, help="BAM or CRAM to take; that of the run if not given.")
@click.option("--reference", type=FILE, help="FASTA; that of the run if not given.")
@click.option("--model", type=FILE, metavar="DIR|NAME", help="See what another model makes of it.")
@click.option(
    "--summary", type=FILE, metavar="JSON", help="summary.json of the run; that of CALLS.vcf.gz.work if not given."
)
@click.option("--sort", type=click.Choice(["influence", "position"]), default="influence", show_default=True)
@click.option("--output", type=FILE, metavar="FILE", help="Write it there: .html, .png, or text.")
@click.option("--colour", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def view(*, calls: Path, locus: str, sort: Any, output: Path | None, colour: str, **source: Any) -> None:
    """Show the reads over a locus of calls, the alleles that they propose and the probability of each.

    Numbers and colours are gradients of the call: how much its log-odds change per Phred of a base's quality or of a
    read's mapping quality. They tell which reads decided.
    """
    import sys

    from diffbio_core.whole_file import write_whole
    from diffbio_flows.reports.locus import as_html, as_png, as_text
    from diffbio_flows.runs.view import view_locus

    if output is not None and not output.parent.is_dir():
        raise click.UsageError(f"{output.parent} does not exist")
    seen = view_locus(calls, locus, **source)
    if output is None:
        coloured = colour == "always" or (colour == "auto" and sys.stdout.isatty())
        # Not click's echo, which takes colours out where it writes to no terminal.
        sys.stdout.write(as_text(seen, sort, colour=coloured))
    else:
        kinds = {".html": as_html, ".png": as_png}
        write_whole(output, kinds.get(output.suffix, as_text)(seen, sort))
