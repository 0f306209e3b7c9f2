"""``diffbio call``: reads to VCF."""

from __future__ import annotations

from typing import Any

import click

from diffbio_flows.command.options import (
    FILE,
    cluster_options,
    json_option,
    region_option,
    regions_option,
    sample_option,
    show,
    window_length_option,
)


@click.command()
@click.option("--reads", type=FILE, help="Sorted, indexed BAM or CRAM of one sample.")
@click.option("--reference", type=FILE, help="FASTA, plain or bgzipped.")
@click.option(
    "--windows", metavar="STORE", help="Window store to call instead of reads and reference, a folder or URL."
)
@region_option
@regions_option
@sample_option
@click.option("--output", type=FILE, required=True, metavar="VCF.GZ", help="VCF to write.")
@click.option("--gvcf", type=FILE, metavar="G.VCF.GZ", help="gVCF to write too.")
@click.option(
    "--model",
    type=FILE,
    metavar="DIR|NAME",
    help="Model folder, or name (diffbio model list); the shipped one if not given.",
)
@click.option("--haploid-contigs", metavar="C,...", default="", help="Contigs with one copy, such as chrX,chrY.")
@click.option(
    "--sex",
    type=click.Choice(["male", "female", "unknown"]),
    help="Of a human sample, for the copies of X, Y and mitochondria; GRCh37 or GRCh38.",
)
@click.option("--work-dir", type=FILE, help="Folder for the run's state; OUTPUT.work if not given.")
@click.option(
    "--keep-windows", type=bool, default=True, metavar="yes|no", help="Keep the window store; yes if not given."
)
@window_length_option
@cluster_options
@click.option("--prefect", is_flag=True, help="Run as a Prefect flow.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
@json_option
def call(*, prefect: bool, as_json: bool, haploid_contigs: str, **fields: Any) -> None:
    """Call the variants of one sample.

    A run that was interrupted goes on where it stood when the same command is given again.
    """
    from diffbio_flows.command.console import open_progress
    from diffbio_flows.reports.tables import as_text, tables
    from diffbio_flows.runs.parameters import CallParameters

    if fields["windows"] is None:
        for option in ("reads", "reference"):
            if fields[option] is None:
                raise click.UsageError(f"Missing option '--{option}' (or give --windows).")
    contigs = tuple(name.strip() for name in haploid_contigs.split(",") if name.strip())
    parameters = CallParameters(haploid_contigs=contigs, **fields)
    with open_progress(plain=prefect) as progress:
        if prefect:
            from diffbio_flows.prefect_flows.terminal import call_in_prefect

            summary = call_in_prefect(parameters, progress=progress)
        else:
            from diffbio_flows.runs.call import call_variants

            summary = call_variants(parameters, progress=progress)
    show(summary.to_json(), as_text(tables(summary)), as_json)
