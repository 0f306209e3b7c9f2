"""A call run as a Prefect flow that was started from a terminal, with the settings that suit it."""

from __future__ import annotations

import logging
import os
from collections.abc import MutableMapping
from pathlib import Path

from diffbio_cluster.interrupts import interrupts_held
from diffbio_flows.prefect_flows.checked import checked
from diffbio_flows.prefect_flows.server import start_server
from diffbio_flows.reports.progress import Progress
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.runs.call import CallRun
from diffbio_flows.runs.parameters import CallParameters


def call_in_prefect(
    parameters: CallParameters, home: Path | None = None, progress: Progress | None = None
) -> CallSummary:
    """Runs the flow here, against the user's Prefect server or else one that lives as long as the run.

    Args:
        parameters: What to do.
        home: Folder for Prefect's own files instead of the user's, with a server of its own.
        progress: Told how far the run is, besides Prefect's page.

    Raises:
        InputError: The input cannot be used; told before a server is started.
        TaskFailedError: A shard could not be processed. Finished shards are kept.
        ClusterLostError: No worker could be started, or none is left. Finished shards are kept.
    """
    run = CallRun(parameters, progress)
    run.time(run.steps[0])
    prepare_prefect(home)
    # An interrupt at the terminal would end the server before the flow could tell it that it was interrupted.
    with interrupts_held():
        address = None if os.environ.get("PREFECT_API_URL") else start_server()
    if address is not None:
        os.environ["PREFECT_API_URL"] = address
    from diffbio_flows.prefect_flows.call import call_flow

    # The terminal's handlers come last, after the one that sends a record to the server.
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_traceback)
    with checked(run):
        return call_flow(parameters)


def prepare_prefect(home: Path | None = None, environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets what the user has not set: no usage reports.

    Prefect reads its settings when it is imported, so this comes first.

    Args:
        home: Folder for Prefect's own files instead of the user's, with a server of its own.
        environment: Where to set variables.
    """
    environment.setdefault("DO_NOT_TRACK", "1")
    environment.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    if home is not None:
        environment["PREFECT_HOME"] = str(home.resolve())
        environment["PREFECT_SERVER_EPHEMERAL_ENABLED"] = "true"
        environment.pop("PREFECT_API_URL", None)
        environment.pop("PREFECT_PROFILE", None)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Lets a record pass without its traceback: the command tells an error in its own words."""
    record.exc_info = record.exc_text = None
    return True
