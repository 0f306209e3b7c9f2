"""Rounds of tasks in which each place has a worker of its own, which finds there what it had made ready before."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future, KilledWorker

from diffbio_cluster.executor import TaskFailedError, describe
from diffbio_cluster.patience import Patience

logger = logging.getLogger("diffbio_cluster")

_POLL_SECONDS = 0.5


@dataclass
class _Placed:
    """A task of the round.

    Attributes:
        task: The task.
        name: For messages.
        since: When it was handed out last.
        futures: What will tell its result, and the worker that each is with.
        deaths: Workers that died over it.
    """

    task: Any
    name: str
    since: float
    futures: dict[Future, str] = field(default_factory=dict)
    deaths: int = 0


class Places:
    """Which worker each place has, from one round to the next.

    Args:
        client: Of the cluster.
        workers: Threads of the live workers, by address; asked for often.
        lost: Raises the error of a cluster without workers.
        patience: Seconds below which no task is late.
        worker_timeout: Seconds without any live worker after which the cluster counts as lost.
        allowed_failures: Workers that may die over one task.
    """

    def __init__(
        self,
        client: Client,
        workers: Callable[[], Mapping[str, int]],
        lost: Callable[[str], Exception],
        *,
        patience: float,
        worker_timeout: float,
        allowed_failures: int,
    ) -> None:
        self._client, self._workers, self._lost = client, workers, lost
        self._patience, self._worker_timeout = Patience(patience), worker_timeout
        self._allowed_failures = allowed_failures
        self._address: dict[int, str] = {}

    def run(self, function: Callable[[Any], Any], tasks: Sequence[Any], names: Sequence[str]) -> list[Any]:
        """Results of a round's tasks, in their order; each went to its place's worker, or to another if that died.

        Raises:
            TaskFailedError: One failed, or too many workers died over it.
            ClusterLostError: No worker is left.
        """
        ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        live = self._alive()
        self._assign(len(tasks), live)
        now = time.monotonic()
        waiting = {place: _Placed(task, name, now) for place, (task, name) in enumerate(zip(tasks, names, strict=True))}
        owner: dict[Future, int] = {}
        results: dict[int, Any] = {}

        def submit(place: int, address: str) -> None:
            # The task is data of its own on its worker: no other one needs it.
            future = self._client.submit(function, waiting[place].task, pure=False, workers=[address])
            waiting[place].futures[future] = address
            owner[future] = place
            future.add_done_callback(ended.put)

        try:
            for place in waiting:
                submit(place, self._address[place])
            looked = time.monotonic()
            while waiting:
                future = None
                with suppress(queue.Empty):
                    future = ended.get(timeout=_POLL_SECONDS)
                place = owner.get(future) if future is not None else None
                if future is not None and place in waiting and future in waiting[place].futures:
                    placed = waiting[place]
                    if self._take(future, placed, place, results):
                        self._patience.ended(time.monotonic() - placed.since)
                        for other in placed.futures:
                            if other is not future:
                                self._cancel(other)
                        del waiting[place]
                    else:
                        self._died(placed, future)
                if waiting and (future is None or time.monotonic() - looked > _POLL_SECONDS):
                    looked = time.monotonic()
                    live = self._alive()
                    self._look_after(waiting, live, submit)
            return [results[place] for place in range(len(tasks))]
        finally:
            for future in owner:
                if not future.done():
                    self._cancel(future)

    def _take(self, future: Future, placed: _Placed, place: int, results: dict[int, Any]) -> bool:
        """Whether a future has given the result of its task; not where its worker has gone."""
        try:
            results[place] = future.result(timeout=self._worker_timeout)
        except KilledWorker:
            return False
        except (CancelledError, TimeoutError, OSError) as error:
            if future.status == "error":
                raise TaskFailedError(placed.name, describe(error)) from error
            return False
        except Exception as error:
            raise TaskFailedError(placed.name, describe(error)) from error
        return True

    def _look_after(
        self, waiting: Mapping[int, _Placed], live: Mapping[str, int], submit: Callable[[int, str], None]
    ) -> None:
        """Gives tasks whose worker has died to others, and those that are late to another as well."""
        now = time.monotonic()
        for place, placed in waiting.items():
            for future, address in list(placed.futures.items()):
                if address not in live:
                    self._died(placed, future)
            if not placed.futures:
                self._assign(len(self._address), live)
                logger.warning("the worker of %s has died: %s does it", placed.name, self._address[place])
                placed.since = now
                submit(place, self._address[place])
            elif now - placed.since > self._patience.limit * 2 ** (len(placed.futures) - 1):
                others = [address for address in live if address not in placed.futures.values()]
                if others:
                    logger.warning("%s has taken %.0f s: %s does it, too", placed.name, now - placed.since, others[0])
                    self._address[place] = others[0]
                    submit(place, others[0])

    def _died(self, placed: _Placed, future: Future) -> None:
        del placed.futures[future]
        self._cancel(future)
        placed.deaths += 1
        if placed.deaths > self._allowed_failures:
            raise TaskFailedError(
                placed.name, f"{placed.deaths} workers died while working on it, most often for lack of memory"
            )

    def _alive(self) -> Mapping[str, int]:
        """Live workers; waits for one where there is none.

        Raises:
            ClusterLostError: None came.
        """
        until = time.monotonic() + self._worker_timeout
        while not (live := self._workers()):
            if time.monotonic() > until:
                raise self._lost(f"no worker was alive for {self._worker_timeout:.0f} s")
            time.sleep(_POLL_SECONDS)
        return live

    def _assign(self, places: int, live: Mapping[str, int]) -> None:
        """Gives a live worker to every place that has none, and to new workers places of those that have several."""
        self._address = {
            place: address for place, address in self._address.items() if place < places and address in live
        }
        for place in range(places):
            if place not in self._address:
                self._address[place] = self._idlest(live)
        while True:
            idle, held = self._idlest(live), list(self._address.values())
            busiest = max(live, key=lambda address: held.count(address) / live[address])
            if held.count(idle) / live[idle] + 1 / live[idle] >= held.count(busiest) / live[busiest]:
                return
            self._address[max(place for place, address in self._address.items() if address == busiest)] = idle

    def _idlest(self, live: Mapping[str, int]) -> str:
        held = list(self._address.values())
        return min(live, key=lambda address: (held.count(address) / live[address], address))

    def _cancel(self, future: Future) -> None:
        # A cluster that has gone has dropped it already.
        with suppress(Exception):
            self._client.cancel([future], reason="its result is not needed any more")
