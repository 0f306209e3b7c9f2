"""``diffbio ingest``: reads to a window store."""

from __future__ import annotations

from typing import Any

import click

from diffbio_flows.command.options import cluster_options, input_options, json_option, show, window_length_option


@click.command()
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
    from diffbio_flows.command.console import open_progress
    from diffbio_flows.reports.tables import as_text, work_tables
    from diffbio_flows.runs.ingest import ingest_reads
    from diffbio_flows.runs.parameters import IngestParameters

    parameters = IngestParameters(**fields)
    with open_progress() as progress:
        summary = ingest_reads(parameters, progress=progress)
    text = as_text([*work_tables(summary.work), ("Files", [("window store", summary.store)])])
    show(summary.to_json(), text, as_json)
