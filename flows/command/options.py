"""Options that several commands share, and how their results are printed."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**32 - 1)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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


def show(entries: dict[str, Any], text: str, as_json: bool) -> None:
    """Prints a result for people or for a script."""
    import json

    click.echo(json.dumps(entries, indent=2) if as_json else text)
