"""Tasks on Dask workers: a cluster of this machine's cores, or the workers of a running scheduler."""

from __future__ import annotations

import itertools
import logging
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from typing import Any, Self, TypeVar, cast

import dask.config
from distributed import Client, Future, KilledWorker, LocalCluster

from diffbio_cluster.config import ClusterConfig
from diffbio_cluster.environment import worker_environment
from diffbio_cluster.executor import ClusterLostError, TaskFailedError, describe
from diffbio_cluster.interrupts import interrupts_held

Task = TypeVar("Task")
Result = TypeVar("Result")

# How often a wait for results looks whether any worker is left (s).
POLL_SECONDS = 5.0


class DaskExecutor:
    """An `Executor` whose tasks run in worker processes of one thread each."""

    def __init__(self, config: ClusterConfig):
        self.config = config
        self._stack = ExitStack()
        self._client: Client | None = None
        self._warm_ups: list[Future] = []

    @property
    def client(self) -> Client:
        """The Dask client, for what this interface does not offer.

        Raises:
            RuntimeError: The executor has not been entered.
        """
        if self._client is None:
            raise RuntimeError("the executor is not running: use it in a with statement")
        return self._client

    @property
    def workers(self) -> int:
        """Threads of all live workers."""
        try:
            return sum(self._threads().values())
        except (OSError, TimeoutError, CancelledError) as error:
            raise self._lost(describe(error)) from error

    def warm_up(self, function: Callable[[], object]) -> None:
        """See `Executor.warm_up`. A failure is left to the first task, which knows its name."""
        self._warm_ups = [
            self.client.submit(function, workers=[address], pure=False, priority=1) for address in self._threads()
        ]

    def map_unordered(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        name: Callable[[Task], str] = str,
        in_flight_per_worker: int = 2,
    ) -> Iterator[Result]:
        """See `Executor.map_unordered`."""
        pending = iter(tasks)
        finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        in_flight: dict[Future, str] = {}

        def hand_out(count: int) -> None:
            for task in itertools.islice(pending, max(0, count)):
                future = self.client.submit(function, task, pure=False)
                in_flight[future] = name(task)
                future.add_done_callback(finished.put)

        try:
            hand_out(in_flight_per_worker * self.workers)
            while in_flight:
                future = self._next(finished)
                result = self._result(future, in_flight.pop(future))
                future.release()
                hand_out(in_flight_per_worker * self.workers - len(in_flight))
                yield result
        finally:
            if in_flight and self._client is not None:
                # A cluster that has gone has dropped them already.
                with suppress(Exception):
                    self._client.cancel(list(in_flight), reason="the run stopped")

    def _next(self, finished: queue.SimpleQueue[Future]) -> Future:
        """The next finished future; gives up when no worker has been alive for the configured time."""
        idle = 0.0
        while True:
            try:
                return finished.get(timeout=POLL_SECONDS)
            except queue.Empty:
                idle = 0.0 if self.workers else idle + POLL_SECONDS
                if idle >= self.config.worker_timeout:
                    raise self._lost(f"no worker was alive for {idle:.0f} s") from None

    def _result(self, future: Future, name: str) -> Any:
        try:
            return future.result(timeout=self.config.worker_timeout)
        except KilledWorker as error:
            raise TaskFailedError(
                name,
                f"{error.allowed_failures + 1} workers died while working on it, most often for lack of memory "
                f"({self.config.memory_mb} MB are expected to be enough for a worker)",
            ) from error
        except (CancelledError, TimeoutError, OSError) as error:
            if future.status == "error":
                raise TaskFailedError(name, describe(error)) from error
            raise self._lost(f"while working on {name}: {describe(error)}") from error
        except Exception as error:
            raise TaskFailedError(name, describe(error)) from error

    def _threads(self) -> dict[str, int]:
        """Threads of each live worker by its address."""
        return cast("dict[str, int]", self.client.nthreads())

    def _lost(self, why: str) -> ClusterLostError:
        where = self.config.address or "on this machine"
        return ClusterLostError(f"the Dask cluster {where} was lost: {why}")

    def __enter__(self) -> Self:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        settings = {
            "distributed.scheduler.allowed-failures": self.config.allowed_failures,
            # Nothing lives in Dask's own memory, so pausing or spilling could not free any; a peak is reported instead.
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": False,
            "distributed.comm.timeouts.connect": "20s",
            "distributed.admin.log-length": 0,
        }
        self._stack.enter_context(dask.config.set(settings))
        patience = self.config.worker_timeout
        try:
            with interrupts_held():
                address = self.config.address or self._stack.enter_context(self._local_cluster())
            client = Client(address, timeout=min(20.0, patience), set_as_default=False)
            self._client = self._stack.enter_context(client)
            client.wait_for_workers(1, timeout=patience)
        except (TimeoutError, OSError, RuntimeError, ValueError) as error:
            self._stack.close()
            where = f"at {self.config.address}" if self.config.address else "on this machine"
            raise ClusterLostError(f"no Dask cluster could be reached or started {where}: {describe(error)}") from error
        return self

    def _local_cluster(self) -> LocalCluster:
        return LocalCluster(
            n_workers=self.config.local_workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=f"{self.config.memory_mb}MB",
            dashboard_address=None,  # type: ignore[arg-type]
            # Without a dashboard the scheduler would still listen on Dask's usual port, for all the network.
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
            local_directory=self.config.scratch,
            env=worker_environment() | self._temporary_folder() | dict(self.config.environment),
        )

    def _temporary_folder(self) -> dict[str, str]:
        """Temporary files of a worker that is killed stay; in the scratch folder its owner finds and removes them."""
        return {"TMPDIR": self.config.scratch} if self.config.scratch else {}

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._client = None
