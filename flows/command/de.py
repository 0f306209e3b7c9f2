"""``diffbio de``: which genes differ between samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import FILE, json_option, show


@click.command(short_help="Test which genes differ, as DESeq2 does.")
@click.option("--counts", type=FILE, required=True, help="Raw counts: CSV or TSV of genes by samples, or .h5ad.")
@click.option("--samples", type=FILE, help="CSV or TSV, a row per sample; an .h5ad file's own table if not given.")
@click.option("--design", required=True, metavar="FORMULA", help="Over the samples' columns: '~ type + condition'.")
@click.option(
    "--contrast",
    metavar="FACTOR,LEVEL,REFERENCE",
    help="Or the name of a coefficient; the last one if not given.",
)
@click.option("--reduced", metavar="FORMULA", help="A smaller design: a likelihood-ratio test in place of Wald's.")
@click.option("--output", type=FILE, required=True, metavar="CSV", help="A row per gene; TSV and .gz by its ending.")
@click.option("--plots/--no-plots", default=True, help="Draw MA, dispersion and p-value plots beside the output.")
@click.option("--shrink", is_flag=True, help="Shrunken fold changes, too (apeglm).")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False discovery rate of the summary.")
@click.option(
    "--filter-alpha", type=float, default=0.1, show_default=True, help="That the filter of low means is chosen for."
)
@click.option("--threshold", type=float, default=0.0, show_default=True, help="Log2 fold change that counts as none.")
@click.option(
    "--alternative",
    type=click.Choice(["greaterAbs", "lessAbs", "greater", "less"]),
    default="greaterAbs",
    show_default=True,
    help="What is tested against the threshold.",
)
@click.option(
    "--size-factors",
    type=click.Choice(["auto", "ratio", "poscounts"]),
    default="auto",
    show_default=True,
    help="Auto: ratio where some gene has no zero.",
)
@click.option(
    "--trend",
    type=click.Choice(["parametric", "local", "mean"]),
    default="parametric",
    show_default=True,
    help="Of dispersion over mean.",
)
@click.option("--layer", metavar="NAME", help="Of an .h5ad file, in place of X.")
@click.option("--sum-cells-by", metavar="COL,..", help="Columns of obs: cells that agree in them make one sample.")
@click.option("--min-cells", type=int, default=10, show_default=True, help="That such a sample needs.")
@json_option
def de(*, as_json: bool, sum_cells_by: str | None, output: Path, **arguments: Any) -> None:
    """Test which genes differ, and write a row per gene.

    A row tells mean, log2 fold change, p-value, dispersion, and the reason where a gene has no p-value.
    """
    from diffbio_flows.runs.differential_expression import expression_differences

    columns = tuple(name.strip() for name in sum_cells_by.split(",")) if sum_cells_by else ()
    result = expression_differences(
        output=output,
        sum_cells_by=columns,
        tell=lambda line: click.echo(f"diffbio: {line}", err=True),
        **arguments,
    )
    summary = result.summary()
    text = "\n".join(f"{key.replace('_', ' '):>18}  {_shown(value)}" for key, value in summary.items())
    show(summary, text, as_json)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
