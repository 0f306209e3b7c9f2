"""``diffbio cohort``: the samples of a sheet, each to its VCF."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import (
    FILE,
    cluster_options,
    json_option,
    reference_option,
    region_option,
    regions_option,
    show,
)


@click.command(short_help="Call the samples of a sheet.")
@click.argument("sheet", type=FILE, metavar="SHEET.csv")
@reference_option
@region_option
@regions_option
@click.option("--gvcf", is_flag=True, help="Write a gVCF of each sample, too: O.g.vcf.gz beside O.vcf.gz.")
@click.option("--joint", type=FILE, metavar="VCF.GZ", help="Write all samples to one VCF, too; implies --gvcf.")
@click.option("--keep-windows", type=bool, default=False, metavar="yes|no", help="Keep window stores; no if not given.")
@click.option("--only-failed", is_flag=True, help="Leave samples alone that are done.")
@cluster_options
@click.option("--force", is_flag=True, help="Overwrite outputs.")
@json_option
def cohort(*, sheet: Path, as_json: bool, **fields: Any) -> None:
    """Call every sample of SHEET.csv on the same workers.

    Its columns are sample, reads and output; there may be sex (male or female, for the copies of X and Y) and model.
    Paths are meant from the sheet's folder on. What fails of one sample does not stop the others; the exit status is 1
    then, and --only-failed calls what is missing.
    """
    from diffbio_flows.command.console import open_progress
    from diffbio_flows.runs.cohort import call_cohort
    from diffbio_flows.runs.cohort_plan import CohortParameters

    parameters = CohortParameters(sheet=sheet, **fields)
    with open_progress() as progress:
        summary = call_cohort(parameters, progress=progress)
    show(summary.to_json(), summary.to_text(), as_json)
    if summary.failed:
        # Not click's own exit, which it turns into a value that the command returns.
        sys.exit(1)
