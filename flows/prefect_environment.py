"""Prefect's settings for a run that was started from a terminal; they must be made before Prefect is imported."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path


def prepare_prefect(home: Path | None = None, environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets what the user has not set: no usage reports, and a patient start of the embedded server.

    Args:
        home: Folder for Prefect's own files instead of the user's, with a server of its own.
        environment: Where to set variables.
    """
    environment.setdefault("DO_NOT_TRACK", "1")
    environment.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    environment.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    if home is not None:
        environment["PREFECT_HOME"] = str(home.resolve())
        environment["PREFECT_SERVER_EPHEMERAL_ENABLED"] = "true"
        environment.pop("PREFECT_API_URL", None)
        environment.pop("PREFECT_PROFILE", None)
