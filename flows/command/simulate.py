"""``diffbio simulate``: a genome, variants and reads with known truth."""

from __future__ import annotations

from typing import Any

import click

from diffbio_flows.command.options import FILE, SEED, json_option, region_option, show


@click.command()
@click.option("--output", type=FILE, required=True, metavar="DIR", help="Folder to write.")
@click.option("--reference", type=FILE, metavar="FASTA", help="Genome to draw variants on; a random one if not given.")
@region_option
@click.option("--length", type=int, default=1_000_000, show_default=True, help="Of the random genome (bp).")
@click.option("--depth", type=float, default=30.0, show_default=True, help="Reads over a position.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="The same seed draws the same.")
@json_option
def simulate(*, as_json: bool, region: tuple[str, ...], **fields: Any) -> None:
    """Simulate reference, reads, true variants and confident regions."""
    from dataclasses import asdict

    from diffbio_core.problems import InputError
    from diffbio_flows.command.stage_progress import open_stage_progress
    from diffbio_flows.runs.places import check_new_folder
    from diffbio_io.simulation.dataset import simulate_dataset

    problems = check_new_folder(fields["output"])
    if problems:
        raise InputError(problems)
    try:
        with open_stage_progress() as report:
            dataset = simulate_dataset(
                regions=region, **fields, progress=lambda stage, done, steps: report(stage, done, steps, None)
            )
    except InputError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    files = {name: str(path) for name, path in asdict(dataset).items()}
    show(files, "\n".join(f"{name:<10} {path}" for name, path in files.items()), as_json)
