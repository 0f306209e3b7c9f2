"""``diffbio train``: sets with a known truth to a model."""

from __future__ import annotations

from typing import Any

import click

from diffbio_flows.command.options import FILE, SEED, cluster_options, json_option, show


@click.command()
@click.argument("sets", type=FILE, required=False, metavar="[SETS.toml]")
@click.option("--shipped", is_flag=True, help="Follow the recipe of the shipped model instead of a file of sets.")
@click.option("--store", metavar="STORE", help="Window store of the only set, instead of a file of sets.")
@click.option("--truth", type=FILE, metavar="VCF", help="True variants of the only set.")
@click.option("--confident", type=FILE, metavar="BED", help="Where the only set's truth is complete.")
@click.option("--validation", multiple=True, metavar="REGION", help="Region of it to measure by; may be repeated.")
@click.option("--output", type=FILE, required=True, metavar="MODEL", help="Model folder to write.")
@click.option("--init", type=FILE, metavar="DIR|NAME", help="Model to go on from; a fresh network if not given.")
@click.option("--calibrate", is_flag=True, help="Fit a slope and an offset by class and depth on what is kept apart.")
@click.option("--epochs", type=int, default=8, show_default=True, help="Times that every set is shown.")
@click.option("--max-steps", type=int, metavar="N", help="Steps after which to end, whatever the epochs.")
@click.option("--batch", type=int, default=32, show_default=True, help="Windows of one step, a multiple of 8.")
@click.option(
    "--patience", type=int, default=8, show_default=True, help="Epochs without a better validation F1 until it stops."
)
@click.option("--checkpoint-every", type=int, default=200, show_default=True, help="Steps between two checkpoints.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of initialisation, order and augmentation.")
@click.option("--learning-rate", type=float, default=2e-3, show_default=True, help="Peak of the cosine schedule.")
@click.option("--members", type=int, default=1, show_default=True, help="Networks whose logits are averaged.")
@click.option("--channels", type=int, default=64, show_default=True, help="Channels of the convolutions.")
@click.option("--collective", is_flag=True, help="Train as one program over a process per worker (jax.distributed).")
@click.option("--work-dir", type=FILE, help="Folder for the run's state; OUTPUT.work if not given.")
@cluster_options
@click.option("--resume", is_flag=True, help="Refuse to begin anew: there must be a checkpoint to go on from.")
@click.option("--force", is_flag=True, help="Replace the output.")
@json_option
def train(*, as_json: bool, **fields: Any) -> None:
    """Train the caller on samples with a known truth.

    SETS.toml lists window stores with their truth. A run that was interrupted goes on from its last checkpoint when the
    same command is given again, and ends in the same model.
    """
    from diffbio_flows.command.stage_progress import open_stage_progress
    from diffbio_flows.reports.training import as_text
    from diffbio_flows.runs.train import train_model
    from diffbio_flows.training.parameters import TrainParameters

    parameters = TrainParameters(**fields)
    with open_stage_progress() as report:
        summary = train_model(parameters, progress=StageLines(report), told=report)
    show(summary.to_json(), as_text(summary), as_json)


class StageLines:
    """A ``Progress`` that tells the steps of a run as stages.

    Args:
        report: Told them.
    """

    def __init__(self, report: Any) -> None:
        self._report = report

    def stage(self, name: str) -> None:
        """See ``Progress``."""
        self._report(name, 0, 1, None)

    def warn(self, text: str) -> None:
        """See ``Progress``."""
        click.echo(f"diffbio: warning: {text}", err=True)

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """See ``Progress``."""

    def advanced(self, result: Any) -> None:
        """See ``Progress``."""
