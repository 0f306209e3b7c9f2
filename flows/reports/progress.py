"""How far a run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from diffbio_flows.shards.message import ShardResult


class Progress(Protocol):
    """Told what a run does; every method returns quickly."""

    def stage(self, name: str) -> None:
        """A stage begins."""
        ...

    def warn(self, text: str) -> None:
        """Something about the input is odd, but can be worked with."""
        ...

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """The shards are known, how many of them an earlier run has finished, and how many are worked on at a time."""
        ...

    def advanced(self, result: ShardResult) -> None:
        """A shard was finished."""
        ...


class Silence:
    """A `Progress` that says nothing."""

    def stage(self, name: str) -> None:
        """See `Progress`."""

    def warn(self, text: str) -> None:
        """See `Progress`."""

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """See `Progress`."""

    def advanced(self, result: ShardResult) -> None:
        """See `Progress`."""


class Several:
    """A `Progress` that tells others.

    Args:
        others: Which.
    """

    def __init__(self, others: Sequence[Progress]):
        self._others = others

    def stage(self, name: str) -> None:
        """See `Progress`."""
        for other in self._others:
            other.stage(name)

    def warn(self, text: str) -> None:
        """See `Progress`."""
        for other in self._others:
            other.warn(text)

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """See `Progress`."""
        for other in self._others:
            other.planned(shards, bp, finished_shards, finished_bp, workers)

    def advanced(self, result: ShardResult) -> None:
        """See `Progress`."""
        for other in self._others:
            other.advanced(result)


class Pace:
    """Counts of finished work, and what they say about speed and the time left; several threads may add to them.

    Args:
        clock: Seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._start = clock()
        self._lock = threading.Lock()
        self._workers, self._own = 1, 0
        # When every worker had done its first shard, which takes as long as several: programs are loaded in it.
        self._mark: tuple[float, int] | None = None
        self.shards = self.done = self.bp = self.done_bp = self._found_bp = 0

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """See `Progress`."""
        self.shards, self.bp = shards, bp
        self.done, self.done_bp, self._found_bp = finished_shards, finished_bp, finished_bp
        self._start = self._clock()
        self._workers, self._mark = max(1, workers), None

    def advanced(self, result: ShardResult) -> None:
        """See `Progress`."""
        with self._lock:
            self.done += 1
            self.done_bp += result.core_bp
            self._own += 1
            if self._own == self._workers:
                self._mark = self._clock(), self.done_bp

    @property
    def megabases_per_second(self) -> float:
        """Speed of this run's own work."""
        seconds = self._clock() - self._start
        return (self.done_bp - self._found_bp) / 1e6 / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest takes at the pace since every worker has done a shard; None before each has done two."""
        if self._mark is None or self._own < 2 * self._workers:
            return None
        seconds, bp = self._clock() - self._mark[0], self.done_bp - self._mark[1]
        return (self.bp - self.done_bp) * seconds / bp if bp > 0 else None

    def __str__(self) -> str:
        left = self.seconds_left
        rest = "" if left is None or self.done == self.shards else f", {duration(left)} left"
        return f"{self.done:,}/{self.shards:,} shards, {self.megabases_per_second:.2f} Mb/s{rest}"


class PlainProgress:
    """Lines for logs: one per stage, and one per ``every`` seconds while shards are worked on."""

    def __init__(self, say: Callable[[str], None], every: float = 10.0, clock: Callable[[], float] = time.monotonic):
        self._say, self._every, self._clock = say, every, clock
        self._pace = Pace(clock)
        self._told = clock()

    def stage(self, name: str) -> None:
        """See `Progress`."""
        self._say(name)

    def warn(self, text: str) -> None:
        """See `Progress`."""
        self._say(f"warning: {text}")

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """See `Progress`."""
        self._pace.planned(shards, bp, finished_shards, finished_bp, workers)
        self._say(planned_line(shards, bp, finished_shards))

    def advanced(self, result: ShardResult) -> None:
        """See `Progress`."""
        self._pace.advanced(result)
        now = self._clock()
        if self._pace.done == self._pace.shards or now - self._told >= self._every:
            self._told = now
            self._say(str(self._pace))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class BarProgress:
    """A bar that redraws itself on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bar

        self._pace = Pace()
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[pace]}"),
            console=Console(file=sys.stderr),
        )
        self._task = self._bar.add_task("starting", total=None, pace="")

    def stage(self, name: str) -> None:
        """See `Progress`."""
        self._bar.update(self._task, description=name)

    def warn(self, text: str) -> None:
        """See `Progress`."""
        self._bar.console.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=True)

    def planned(self, shards: int, bp: int, finished_shards: int, finished_bp: int, workers: int) -> None:
        """See `Progress`."""
        self._pace.planned(shards, bp, finished_shards, finished_bp, workers)
        if finished_shards:
            self._bar.print(planned_line(shards, bp, finished_shards))
        self._bar.update(self._task, total=shards, completed=finished_shards, pace=f"{finished_shards}/{shards} shards")

    def advanced(self, result: ShardResult) -> None:
        """See `Progress`."""
        self._pace.advanced(result)
        self._bar.update(self._task, completed=self._pace.done, pace=str(self._pace))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()


def planned_line(shards: int, bp: int, finished_shards: int) -> str:
    """What is to be done, and what an earlier run has done of it."""
    plan = f"{shards:,} shard{'s' * (shards != 1)}, {bp / 1e6:,.2f} Mb"
    return f"{plan}; {finished_shards:,} finished before, going on with the rest" if finished_shards else plan


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 5 s, 2 h 4 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
