"""How far work in stages is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

Report = Callable[[str, int, int, float | None], None]

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def open_stage_progress() -> Iterator[Report]:
    """What to tell stages, steps and losses to."""
    if not sys.stderr.isatty():
        yield PlainReport(lambda line: click.echo(f"diffbio: {line}", err=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task("starting", total=None, loss="")

        def report(stage: str, done: int, steps: int, loss: float | None) -> None:
            told = f"{done}/{steps}" if steps > 1 else ""
            told += "" if loss is None else f", loss {loss:.2f}"
            bar.update(task, description=stage, completed=done, total=steps if steps > 1 else None, loss=told)

        yield report


class PlainReport:
    """Lines for logs: one as a stage begins, and one every ten seconds while its steps go on.

    Args:
        say: Takes a line.
        clock: Seconds that only ever grow.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self._say, self._clock = say, clock
        self._stage, self._told = "", clock()

    def __call__(self, stage: str, done: int, steps: int, loss: float | None) -> None:
        """See `Report`."""
        now = self._clock()
        if stage != self._stage:
            self._stage, self._told = stage, now
            self._say(stage)
        elif done == steps or now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            self._say(f"{stage}: {done}/{steps}" + ("" if loss is None else f", loss {loss:.2f}"))
