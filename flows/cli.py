"""The ``diffbio`` command. Each subcommand imports what it needs, so that help and usage errors come at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import click

from diffbio_core import __version__

FILE = click.Path(path_type=Path)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and ends the process with 0 (done), 1 (failed while running) or 2 (bad usage or bad input)."""
    from diffbio_flows.exit_status import exit_status

    sys.exit(exit_status(lambda: diffbio.main(arguments, prog_name="diffbio", standalone_mode=False)))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="diffbio")
def diffbio() -> None:
    """Germline small variants from aligned reads, by a caller whose every stage is differentiable."""


def options(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, shown in this order."""
    return lambda function: reduce(lambda inner, decorator: decorator(inner), reversed(decorators), function)


reads_option = click.option("--reads", type=FILE, required=True, help="Sorted, indexed BAM or CRAM of one sample.")
reference_option = click.option("--reference", type=FILE, required=True, help="FASTA, plain or bgzipped.")
region_option = click.option(
    "--region", multiple=True, metavar="CONTIG[:START-END]", help="Part to work on, 1-based; may be repeated."
)
regions_option = click.option("--regions", type=FILE, metavar="BED", help="BED file of parts to work on.")
sample_option = click.option("--sample", metavar="NAME", help="Sample to take, where the reads name several or none.")
window_length_option = click.option(
    "--window-length", type=int, default=4096, show_default=True, help="Core positions of a window, a power of two."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
input_options = options(reads_option, reference_option, region_option, regions_option, sample_option)
cluster_options = options(
    click.option("--workers", type=int, metavar="N", help="Worker processes; one per core if not given."),
    click.option("--scheduler", metavar="ADDR", help="Use the workers of this running Dask scheduler."),
    click.option("--cluster", type=FILE, metavar="TOML", help="Use the cluster that this file describes."),
)


@diffbio.command()
@input_options
@click.option("--output", type=FILE, required=True, metavar="VCF.GZ", help="VCF to write.")
@click.option("--gvcf", type=FILE, metavar="G.VCF.GZ", help="gVCF to write too.")
@click.option("--model", type=FILE, metavar="DIR", help="Model directory; the shipped model if not given.")
@click.option("--haploid-contigs", metavar="C,...", default="", help="Contigs with one copy, such as chrX,chrY.")
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
    from diffbio_flows.console import open_progress
    from diffbio_flows.parameters import CallParameters
    from diffbio_flows.report import as_text, tables

    contigs = tuple(name.strip() for name in haploid_contigs.split(",") if name.strip())
    parameters = CallParameters(haploid_contigs=contigs, **fields)
    if prefect:
        from diffbio_flows.prefect_run import call_in_prefect

        summary = call_in_prefect(parameters)
    else:
        from diffbio_flows.run import call_variants

        with open_progress() as progress:
            summary = call_variants(parameters, progress=progress)
    show(summary.to_json(), as_text(tables(summary)), as_json)


@diffbio.command()
@input_options
@click.option("--store", required=True, metavar="DIR|URL", help="Window store to fill.")
@window_length_option
@cluster_options
@click.option("--force", is_flag=True, help="Replace windows that were made from other reads.")
@json_option
def ingest(*, as_json: bool, **fields: Any) -> None:
    """Fill a window store only, to train on or to call from later.

    A run that was interrupted goes on where it stood when the same command is given again.
    """
    from diffbio_flows.console import open_progress
    from diffbio_flows.ingest import ingest_reads
    from diffbio_flows.parameters import IngestParameters
    from diffbio_flows.report import as_text, work_tables

    parameters = IngestParameters(**fields)
    with open_progress() as progress:
        summary = ingest_reads(parameters, progress=progress)
    text = as_text([*work_tables(summary.work), ("Files", [("window store", summary.store)])])
    show(summary.to_json(), text, as_json)


@diffbio.command(short_help="Compare calls with the truth, by haplotype.")
@click.option("--truth", type=FILE, required=True, metavar="VCF", help="True variants.")
@click.option("--calls", type=FILE, required=True, metavar="VCF", help="Variants to judge.")
@reference_option
@click.option("--confident", type=FILE, metavar="BED", help="Where the truth is complete.")
@region_option
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the table as JSON, too; - prints it.")
def evaluate(*, json_file: Path | None, truth: Path, calls: Path, region: tuple[str, ...], **files: Any) -> None:
    """Compare calls with the truth, by haplotype; prints hap.py's summary columns."""
    from diffbio_flows.evaluation import evaluate_calls

    to_screen = str(json_file) == "-"
    table = evaluate_calls(truth, calls, regions=region, json=None if to_screen else json_file, **files)
    click.echo(table.to_json() if to_screen else table.to_text())


@diffbio.command()
@click.option("--output", type=FILE, required=True, metavar="DIR", help="Folder to write.")
@click.option("--reference", type=FILE, metavar="FASTA", help="Genome to draw variants on; a random one if not given.")
@region_option
@click.option("--length", type=int, default=1_000_000, show_default=True, help="Of the random genome (bp).")
@click.option("--depth", type=float, default=30.0, show_default=True, help="Reads over a position.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed draws the same.")
@json_option
def simulate(*, as_json: bool, region: tuple[str, ...], **fields: Any) -> None:
    """Simulate reference, reads, true variants and confident regions."""
    from dataclasses import asdict

    from diffbio_core.problems import InputError
    from diffbio_flows.preflight import check_new_folder
    from diffbio_io.simulation import simulate_dataset

    problems = check_new_folder(fields["output"])
    if problems:
        raise InputError(problems)
    try:
        dataset = simulate_dataset(regions=region, **fields)
    except InputError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    files = {name: str(path) for name, path in asdict(dataset).items()}
    show(files, "\n".join(f"{name:<10} {path}" for name, path in files.items()), as_json)


@diffbio.group()
def model() -> None:
    """Look at models."""


@model.command("show")
@click.argument("directory", type=FILE, required=False)
@json_option
def show_model(*, directory: Path | None, as_json: bool) -> None:
    """Print the card of a model, by default of the shipped one."""
    from diffbio_core.models import ModelError, default_model_path, load_card

    try:
        card = load_card(directory or default_model_path())
    except ModelError as error:
        raise click.UsageError(str(error)) from error
    show(card, "\n".join(card_lines(card)), as_json)


def show(entries: dict[str, Any], text: str, as_json: bool) -> None:
    """Prints a result for people or for a script."""
    import json

    click.echo(json.dumps(entries, indent=2) if as_json else text)


def card_lines(card: dict[str, Any], indent: str = "") -> list[str]:
    """A card as indented lines."""
    lines: list[str] = []
    for name, value in card.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *card_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines


if __name__ == "__main__":
    main()
