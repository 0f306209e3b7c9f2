"""``diffbio cells``: raw counts of single cells to embeddings without batch effects, a view and clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import FILE, SEED, cluster_options, json_option, show


@click.command(short_help="Embed and cluster single cells.")
@click.argument("counts", type=FILE, metavar="IN.h5ad")
@click.option("--output", type=FILE, required=True, metavar="H5AD", help="File to write; plots go beside it.")
@click.option("--batch-key", metavar="COL", help="Column of obs: batches; not corrected for any if not given.")
@click.option("--genes", type=int, default=2000, show_default=True, help="Most variable genes to analyse.")
@click.option("--clusters", type=int, default=10, show_default=True, help="Clusters.")
@click.option("--latent", type=int, default=10, show_default=True, help="Size of the latent.")
@click.option(
    "--likelihood",
    type=click.Choice(["poisson", "nb", "zinb"]),
    default="zinb",
    show_default=True,
    help="Law of the counts.",
)
@click.option("--remove-ambient", is_flag=True, help="Take off ambient RNA of the profile of all cells together.")
@click.option("--epochs", type=int, metavar="N", help="Passes over the cells; by their number if not given.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="The same seed gives the same bits.")
@click.option("--model", type=FILE, metavar="FILE", help="Checkpoint of the fitted pipeline to write, too.")
@cluster_options
@click.option("--work-dir", type=FILE, help="Folder for the state of a training on workers; OUTPUT.work if not given.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
def cells(*, counts: Path, as_json: bool, **fields: Any) -> None:
    """Embed and cluster the cells of IN.h5ad, whose X holds raw counts.

    A count autoencoder, Harmony over the batches, UMAP and k-means; the output has X_latent, X_corrected_diffbio and
    X_umap_diffbio in obsm, and cluster_diffbio in obs. With --workers, --scheduler or --cluster the autoencoder is
    trained there, and goes on from its last checkpoint when the same command is given again.
    """
    from diffbio_flows.command.stage_progress import open_stage_progress
    from diffbio_flows.runs.cells import CellsParameters, analyse_cells

    parameters = CellsParameters(counts=counts, **fields)
    with open_stage_progress() as report:
        summary = analyse_cells(parameters, report=report, tell=lambda line: click.echo(f"diffbio: {line}", err=True))
    show(summary.to_json(), summary.to_text(), as_json)
