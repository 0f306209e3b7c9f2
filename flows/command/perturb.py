"""``diffbio perturb``: perturbation experiments, from files to splits, and predictions against what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from diffbio_flows.command.options import FILE, SEED, json_option, options, show

_label_options = options(
    click.option("--pert-col", default="perturbation", show_default=True, help="Column of obs: perturbations."),
    click.option("--control", "control_pert", default="non-targeting", show_default=True, help="Label of controls."),
)
_output_options = options(
    click.option("--force", is_flag=True, help="Replace a folder that exists."),
    json_option,
)


@click.group()
def perturb() -> None:
    """Set up perturbation experiments, and evaluate predictions of them."""


@perturb.command(short_help="Split cells and pair them with controls.")
@click.argument("files", nargs=-1, type=FILE, metavar="[FILE.h5ad]...")
@click.option(
    "--experiment", type=FILE, metavar="TOML", help="Files and splits, in cell-load's form; instead of files."
)
@click.option("--output", type=FILE, metavar="DIR", help="Folder for cells.csv, splits.csv and setup.json.")
@_label_options
@click.option("--cell-type-col", default="cell_type", show_default=True, help="Column of obs: cell types.")
@click.option("--batch-col", default="batch", show_default=True, help="Column of obs: batches.")
@click.option(
    "--split",
    "split_mode",
    type=click.Choice(["random", "zeroshot", "fewshot"]),
    default="random",
    show_default=True,
    help="Hold out nothing in particular, cell types, or perturbations.",
)
@click.option("--held-out", multiple=True, metavar="NAME", help="Cell type or perturbation for test; may be repeated.")
@click.option("--train", "train_frac", type=float, default=0.8, show_default=True, help="Fraction to train on.")
@click.option("--valid", "valid_frac", type=float, default=0.1, show_default=True, help="Fraction to choose by.")
@click.option(
    "--mapping",
    "mapping_strategy",
    type=click.Choice(["random", "batch"]),
    default="random",
    show_default=True,
    help="Controls of the same cell type, or of the same batch, too.",
)
@click.option("--controls-per-cell", "n_basal_samples", type=int, default=1, show_default=True, help="Pairs per cell.")
@click.option("--knockdown", "enable_knockdown_filter", is_flag=True, help="Keep cells whose target gene is down.")
@click.option(
    "--residual", "residual_expression", type=float, default=0.3, show_default=True, help="Of a perturbation."
)
@click.option(
    "--cell-residual", "cell_residual_expression", type=float, default=0.5, show_default=True, help="Of a cell."
)
@click.option("--min-cells", type=int, default=30, show_default=True, help="That a perturbation must keep.")
@click.option("--gene-col", "var_gene_col", metavar="COL", help="Column of var: gene names; its index if not given.")
@click.option(
    "--log1p/--counts", "log_scale", default=None, help="What values are, for --knockdown; looked at if not told."
)
@click.option("--shared-genes", is_flag=True, help="Leave out genes that only some files have.")
@click.option("--backed", is_flag=True, help="Leave matrices in their files.")
@click.option("--seed", type=SEED, default=42, show_default=True, help="Of splits and pairs.")
@_output_options
def setup(
    *,
    files: tuple[Path, ...],
    experiment: Path | None,
    output: Path | None,
    force: bool,
    as_json: bool,
    held_out: tuple[str, ...],
    **fields: Any,
) -> None:
    """Split the cells of FILE.h5ad..., pair them with controls, and print what each split holds and why.

    No pair crosses a split, a cell type, a file or, with --mapping batch, a batch.
    """
    from diffbio_flows.runs.perturb import set_up_perturbations

    held = {"zeroshot": "held_out_cell_types", "fewshot": "held_out_perturbations"}.get(fields["split_mode"])
    if held_out and held is None:
        raise click.UsageError("--held-out needs --split zeroshot (cell types) or fewshot (perturbations)")
    if held is not None:
        if not held_out:
            raise click.UsageError(f"--split {fields['split_mode']} needs --held-out NAME")
        fields[held] = held_out
    result = set_up_perturbations(files, experiment=experiment, output=output, force=force, **fields)
    entries = {"dimensions": result.get_var_dims(), "splits": result.split_table.to_dicts()}
    show(entries, str(result.split_table), as_json)


@perturb.command(short_help="Compare predicted with measured cells.")
@click.option("--real", type=FILE, required=True, metavar="H5AD", help="Measured cells, log1p, with controls.")
@click.option("--predicted", type=FILE, required=True, metavar="H5AD", help="Predicted cells, log1p.")
@click.option("--training", type=FILE, metavar="H5AD", help="Cells that baselines learn from.")
@click.option("--output", type=FILE, metavar="DIR", help="Folder for scores.csv and scores.json.")
@_label_options
@click.option("--cell-type-col", metavar="COL", help="Column of obs: score each cell type for itself.")
@click.option(
    "--controls",
    type=click.Choice(["true", "predicted"]),
    default="true",
    show_default=True,
    help="What predicted cells are compared with; cell-eval takes the predicted ones.",
)
@click.option(
    "--profile",
    type=click.Choice(["full", "effects"]),
    default="full",
    show_default=True,
    help="All metrics, or those of mean effects.",
)
@click.option("--delimiter", default="+", show_default=True, help="Between the genes of a perturbation of several.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False discovery rate of significant genes.")
@_output_options
def evaluate(*, real: Path, predicted: Path, as_json: bool, **arguments: Any) -> None:
    """Compare predicted with measured cells.

    Every metric is told with the number of perturbations for which it is defined, and beside it those of baselines: the
    mean of perturbed cells, the controls, and sums of single effects.
    """
    from diffbio_flows.runs.perturb import evaluate_predictions

    scores = evaluate_predictions(
        real, predicted, tell=lambda line: click.echo(f"diffbio: {line}", err=True), **arguments
    )
    click.echo(json.dumps(scores.to_dict(), indent=2) if as_json else scores.to_text())
