"""What Prefect's page shows of a run: how far it is, what it made, why it failed.

A page is a convenience: a run never ends because Prefect's server did not answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from diffbio_flows.reports.progress import Pace
from diffbio_flows.shards.message import ShardResult


class ArtifactProgress:
    """A `Progress` that Prefect's page shows as a bar.

    Args:
        key: Of the artifact.
        every: Seconds between updates, so that shards do not wait for Prefect's server.
        clock: Seconds that only ever grow.
    """

    def __init__(self, key: str, every: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._pace = Pace(clock)
        self._lock = threading.Lock()
        self._told = clock()
        self._artifact: UUID | None = None
        with unanswered():
            self._artifact = create_progress_artifact(0.0, key=key, description="starting")  # type: ignore[assignment]

    def stage(self, name: str) -> None:
        """See `Progress`: here a stage is a task, which the page shows anyway."""

    def warn(self, text: str) -> None:
        """See `Progress`: here the summary's artifact tells it, and the run's log."""
        get_run_logger().warning(text)

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """See `Progress`."""
        self._pace.planned(shards, bp, finished_shards, finished_bp, workers)
        self._update()

    def advanced(self, result: ShardResult) -> None:
        """See `Progress`; called by several tasks at once."""
        with self._lock:
            self._pace.advanced(result)
            now = self._clock()
            if self._pace.done < self._pace.shards and now - self._told < self._every:
                return
            self._told = now
        self._update()

    def _update(self) -> None:
        if self._artifact is not None:
            percent = 100.0 * self._pace.done / max(1, self._pace.shards)
            with unanswered():
                update_progress_artifact(self._artifact, percent, description=str(self._pace))


class ArtifactSteps:
    """How far a training is, as a bar on Prefect's page; called with a stage, steps done, steps in all and the loss.

    Args:
        key: Of the artifact.
        every: Seconds between updates, so that steps do not wait for Prefect's server.
        clock: Seconds that only ever grow.
    """

    def __init__(self, key: str, every: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock, self._told = every, clock, clock()
        self._artifact: UUID | None = None
        with unanswered():
            self._artifact = create_progress_artifact(0.0, key=key, description="starting")  # type: ignore[assignment]

    def __call__(self, stage: str, done: int, steps: int, loss: float | None) -> None:
        """See `diffbio_flows.runs.train.Told`."""
        now = self._clock()
        if self._artifact is None or (done < steps and now - self._told < self._every):
            return
        self._told = now
        told = f"{stage}: {done:,}/{steps:,}" + ("" if loss is None else f", loss {loss:.4f}")
        with unanswered():
            update_progress_artifact(self._artifact, 100.0 * done / max(1, steps), description=told)


def show_image(key: str, url: str | None, description: str) -> None:
    """Shows a picture on the page of the run, where a web server has it."""
    if url is not None:
        with unanswered():
            create_image_artifact(url, key=key, description=description)


def show_markdown(key: str, text: str, description: str) -> None:
    """Shows a text on the page of the run."""
    with unanswered():
        create_markdown_artifact(text, key=key, description=description)


def show_link(key: str, url: str | None, text: str) -> None:
    """Shows a link on the page of the run, where there is one."""
    if url is not None:
        with unanswered():
            create_link_artifact(url, link_text=text, key=key, description=text)


@contextmanager
def unanswered() -> Iterator[None]:
    """Lets a run go on where Prefect's server does not answer, or not as it should."""
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("Prefect's server did not take it: %s", error)


def as_cell(value: Any) -> str:
    """Text that keeps its cell in a Markdown table, and that no page takes for markup."""
    text = " ".join(str(value).split())
    for mark in "\\`*_{}[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
