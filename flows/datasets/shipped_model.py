"""Makes the model that the package ships, from datasets with a known truth.

    python -m diffbio_flows.datasets.simulated --output training --reference grch38.fa.gz
    python -m diffbio_flows.datasets.art --output training --reference grch38.fa.gz
    python -m diffbio_flows.datasets.shipped_model --data training --output diffbio_core/models/default

The first two were run with several seeds: the card names every set. The second needs Debian's ART and bwa and may be
left out; without ``--reference`` the first draws random genomes.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import click

from diffbio_core import __version__
from diffbio_core.models import load_card, load_model, save_model
from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
from diffbio_core.pipelines.allele_calling import AlleleCallingConfig, join_ensembles
from diffbio_core.training.allele_training import AlleleTrainingConfig, Progress, train_alleles
from diffbio_flows.datasets.labelled_views import Dataset, LabelledViews, labelled_views

SOURCES = (
    "Simulated reads only: fresh variants on the first 10 Mb of GRCh38 chr20 and chr21, reads drawn by this project's "
    "simulator (own_*, aligned with minimap2) and by ART (art_*, aligned with bwa). No variant of HG001, HG002 or "
    "NA12878 was trained on. What the sets of the README's table did shape: aggregate error figures and lists of "
    "artefact columns of the real reads went into the simulator's error model (their truth was used only to leave "
    "variants out), and which networks to join and from which QUAL and GQ on a record passes was decided on them."
)


@click.command(help="Make the model that the package ships, from datasets with a known truth.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of dataset folders.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Model folder to write.")
@click.option("--epochs", type=int, default=AlleleTrainingConfig.epochs, show_default=True)
@click.option("--members", type=int, default=3, show_default=True)
@click.option("--channels", type=int, default=AlleleClassifierConfig.channels, show_default=True)
@click.option(
    "--join", type=click.Path(exists=True, path_type=Path), multiple=True, help="Model to add the networks of."
)
@click.option("--seed", type=int, default=AlleleTrainingConfig.seed, show_default=True)
def main(data: Path, output: Path, epochs: int, members: int, channels: int, join: tuple[Path, ...], seed: int) -> None:
    """Train and write the model; the card tells what it was made of."""
    folders = sorted(folder for folder in data.iterdir() if (folder / "truth.vcf.gz").exists())
    parts = []
    for folder in folders:
        parts.append(labelled_views(Dataset.in_folder(folder)))
        click.echo(f"{folder.name}: {parts[-1].labels.size} candidates")
    joined = LabelledViews.joined(parts)
    config = AlleleTrainingConfig(epochs=epochs, seed=seed)
    start = time.monotonic()

    def report(progress: Progress) -> None:
        click.echo(
            f"step {progress.step}/{progress.steps}, loss {progress.loss:.4f}, held out {progress.held_out_loss:.4f} "
            f"({progress.held_out_accuracy:.4f} right), {time.monotonic() - start:.0f} s"
        )

    pipeline, progress = train_alleles(
        joined.views,
        joined.labels,
        AlleleCallingConfig(classifier=AlleleClassifierConfig(members=members, channels=channels)),
        config,
        report,
    )
    save_model(
        output,
        join_ensembles([pipeline, *map(load_model, join)]),
        diffbio=__version__,
        sources=SOURCES,
        command=f"python -m diffbio_flows.datasets.shipped_model --epochs {epochs} --members {members} "
        f"--channels {channels} --seed {seed}",
        joined=[load_card(path) for path in join],
        training=dataclasses.asdict(config),
        training_data={folder.name: int(part.labels.size) for folder, part in zip(folders, parts, strict=True)},
        metrics={
            "candidates": int(joined.labels.size),
            "held_out_loss": round(progress.held_out_loss, 5),
            "held_out_accuracy": round(progress.held_out_accuracy, 5),
        },
    )


if __name__ == "__main__":
    main()
