"""Tasks handed out to Dask workers, and given to another worker where one takes far longer than its like."""

from __future__ import annotations

import itertools
import logging
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from distributed import Client, Future

from diffbio_cluster.executors.preparation import Unpacking, packed
from diffbio_cluster.patience import Patience

Task = TypeVar("Task")

logger = logging.getLogger("diffbio_cluster")

# Results that are fetched together, as a share of the tasks handed out, and how long the first of them waits for the
# others (s): a message with several costs little more than one with one, and a worker has its next task already.
_TOGETHER = 1 / 16
_TOGETHER_SECONDS = 0.05


@dataclass(eq=False)
class _Handed(Generic[Task]):
    """A task that was handed out, to one worker or more.

    Attributes:
        task: The task.
        name: For messages.
        since: When it was handed out first.
        futures: What will tell its result.
        copies: How often it was given to another worker as well.
        told: How often it was told that there is none.
    """

    task: Task
    name: str
    since: float
    futures: list[Future] = field(default_factory=list)
    copies: int = 0
    told: int = 0


class HandOut(Generic[Task]):
    """Tasks that are with workers, those that have ended since, and workers that seem to be stuck.

    Args:
        client: Of the cluster.
        function: What workers run.
        name: Of a task, for messages.
        patience: Seconds below which no task is late.
        stuck: Workers that hold a late task, by address; they get no further ones until they have answered.
        resources: Of Dask, that a task asks of a worker.
        pinned: Whether tasks may run on no other workers than those that `give` and `look_after` are told of.
        clock: Seconds that only ever grow.
    """

    def __init__(
        self,
        client: Client,
        function: Callable[[Task], Any],
        name: Callable[[Task], str],
        patience: float,
        stuck: dict[str, Future],
        *,
        resources: Mapping[str, float] | None = None,
        pinned: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._function, self._name = client, function, name
        self._patience, self._stuck, self._clock = Patience(patience), stuck, clock
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._handed: dict[Future, _Handed[Task]] = {}
        self._resources = dict(resources) if resources else None
        self._pinned = pinned
        self._group: str | None = None
        self._grouped = self._threads = 0
        self._open = 0
        self._all_given = False

    def __len__(self) -> int:
        """Tasks whose result is not known yet."""
        return self._open

    @property
    def done(self) -> bool:
        """Whether no task is left: none to hand out, and none whose result is not known yet."""
        return self._all_given and not self._open

    def give(self, tasks: Iterable[Task], count: int, threads: Mapping[str, int]) -> None:
        """Hands out up to a number of tasks, to the workers that do not seem to be stuck.

        Args:
            tasks: Drawn from as far as needed.
            count: How many.
            threads: Of each live worker, by its address.
        """
        now, self._threads = self._clock(), sum(threads.values())
        handed = [_Handed(task, self._name(task), now) for task in itertools.islice(tasks, max(0, count))]
        self._all_given |= len(handed) < count
        if handed:
            self._submit(handed, self._free(threads))
            self._open += len(handed)

    def next(self, seconds: float) -> dict[Future, str]:
        """Names of the tasks that have ended, by their future: all as soon as one has, none if none has in time.

        Args:
            seconds: How long to wait for one.
        """
        until = self._clock() + seconds
        ended: dict[Future, str] = {}
        while not ended and (left := until - self._clock()) > 0:
            try:
                futures = [self._ended.get(timeout=left)]
            except queue.Empty:
                break
            futures += self._others(_TOGETHER * len(self) - 1)
            tasks: set[_Handed[Task]] = set()
            for future in futures:
                handed = self._handed.get(future)  # None where its task's result came from another worker
                if handed is not None and handed not in tasks:
                    tasks.add(handed)
                    ended[future] = handed.name
        return ended

    def _others(self, enough: float) -> list[Future]:
        """What else has ended, or ends soon if that is less than enough."""
        futures: list[Future] = []
        until = self._clock() + _TOGETHER_SECONDS
        with suppress(queue.Empty):
            while len(futures) < enough and (left := until - self._clock()) > 0:
                futures.append(self._ended.get(timeout=left))
            while True:
                futures.append(self._ended.get_nowait())
        return futures

    def close(self, future: Future) -> None:
        """Takes a task for done, whose result has been fetched."""
        handed = self._handed[future]
        self._open -= 1
        self._patience.ended(self._clock() - handed.since)
        del self._handed[future]
        future.release()
        self._drop(other for other in handed.futures if other is not future)

    def put_back(self, future: Future, threads: Mapping[str, int]) -> None:
        """Has a task done again whose worker has stopped between its end and the fetching of its result."""
        handed = self._handed[future]
        holders = cast("dict[Any, list[str]]", self._client.who_has([future])).get(future.key, [])
        for address in holders:
            leave_out(self._client, address, self._stuck)
        free = self._free(threads)
        if free and not any(other.status == "pending" for other in handed.futures):
            where = " and ".join(holders) or "its worker"
            logger.warning("the result of %s cannot be fetched from %s: another worker does it", handed.name, where)
            self._submit([handed], free)
        self._ended.put(future)

    def look_after(self, threads: Mapping[str, int]) -> None:
        """Tells of tasks that take far longer than their like, and gives each to a worker that is not stuck on one.

        Args:
            threads: Of each live worker, by its address.
        """
        now, limit = self._clock(), self._patience.limit
        late = [handed for handed in set(self._handed.values()) if now - handed.since > limit * 2**handed.copies]
        if not late:
            return
        processing = cast("dict[str, list[Any]]", self._client.processing())
        places = {key: address for address, keys in processing.items() for key in keys}
        for handed in late:
            for future in handed.futures:
                if future.key in places:
                    leave_out(self._client, places[future.key], self._stuck)
        free = self._free(threads)
        late.sort(key=lambda handed: handed.since)
        usual = self._patience.usual
        like = "" if usual is None else f"; nine in ten take less than {max(1.0, usual):.0f} s"
        if not free:
            late = [handed for handed in late if now - handed.since > limit * 2**handed.told]
        for number, handed in enumerate(late):
            where = " and ".join(places[future.key] for future in handed.futures if future.key in places)
            took = f"{handed.name} has taken {now - handed.since:.0f} s on {where or 'no worker yet'}{like}"
            if free:
                logger.warning("%s: it is given to another worker as well", took)
                handed.copies += 1
                self._submit([handed], free)
                continue
            handed.told += 1
            if number == 0:
                more = f" (and {len(late) - 1} others)" if len(late) > 1 else ""
                logger.warning("%s: there is no other worker to give it to%s", took, more)

    def stop(self) -> None:
        """Lets go of all that is still with workers."""
        self._drop(list(self._handed))

    def _submit(self, handed: Sequence[_Handed[Task]], workers: list[str]) -> None:
        # Where no worker is stuck, any may take it, those that join later too.
        restricted = (self._stuck or self._pinned) and workers
        # All at once: what the scheduler does with a graph takes as long for one task as for many.
        futures = self._client.map(
            Unpacking(self._function),
            [packed(one.task) for one in handed],
            key=self._keys(len(handed)),
            pure=False,
            workers=workers if restricted else None,
            resources=self._resources,
        )
        for one, future in zip(handed, futures, strict=True):
            self._handed[future] = one
            one.futures.append(future)
            future.add_done_callback(self._ended.put)

    def _keys(self, number: int) -> list[tuple[str, int]]:
        """Dask's names of the next tasks, in groups that are small beside the cluster.

        Tasks of a group larger than twice the cluster's threads stay with the scheduler until a thread is idle, which
        then waits for its next task.
        """
        if self._group is None or self._grouped + number > 2 * self._threads:
            self._group, self._grouped = f"{type(self._function).__name__}-{uuid.uuid4()}", 0
        first = self._grouped
        self._grouped += number
        return [(self._group, first + place) for place in range(number)]

    def _free(self, threads: Mapping[str, int]) -> list[str]:
        """Workers that do not seem to be stuck."""
        return [address for address in threads if address not in self._stuck]

    def _drop(self, futures: Iterable[Future]) -> None:
        dropped = list(futures)
        for future in dropped:
            self._handed.pop(future, None)
        if dropped:
            # A cluster that has gone has dropped them already.
            with suppress(Exception):
                self._client.cancel(dropped, reason="its result is not needed any more")


def leave_out(client: Client, address: str, stuck: dict[str, Future]) -> None:
    """Notes a worker among those that seem to be stuck, until it has answered."""
    if address not in stuck:
        stuck[address] = answer = client.submit(_answer, workers=[address], pure=False, priority=100)
        answer.add_done_callback(lambda _: stuck.pop(address, None))


def _answer() -> None:
    """Ends when a worker has a thread for it."""
