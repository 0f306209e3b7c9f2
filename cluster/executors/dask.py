"""Tasks on Dask workers: a cluster of this machine's cores, or the workers of a running scheduler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from typing import Any, Self, TypeVar, cast

import dask.config
from distributed import Client, Future, KilledWorker, Security
from distributed.utils import silence_logging_cmgr

from diffbio_cluster import steady_clock
from diffbio_cluster.config import ClusterConfig, ClusterConfigError
from diffbio_cluster.executor import ClusterLostError, Device, TaskFailedError, describe
from diffbio_cluster.executors.ahead import Ahead
from diffbio_cluster.executors.clusters import GPU, start_cluster
from diffbio_cluster.executors.devices import ask_devices, device_problems
from diffbio_cluster.executors.handout import HandOut, leave_out
from diffbio_cluster.executors.placed import Places
from diffbio_cluster.executors.preparation import PreparedTask, ask_workers
from diffbio_cluster.interrupts import interrupts_held
from diffbio_cluster.versions import differing, own_versions
from diffbio_core.problems import InputError, Problem

Task = TypeVar("Task")
Result = TypeVar("Result")

logger = logging.getLogger("diffbio_cluster")

# Of a worker's device, which its threads share.
GPU_SHARE = 1 / 1024

# How long a worker may be silent, in units of the patience: kernels that compile keep it from answering for a while.
SILENT_TIMES_PATIENCE = 10.0

# How often a wait for results looks whether any worker is left (s).
POLL_SECONDS = 5.0

# How long what the scheduler says of its workers is taken for true (s): asked for each result, it would be all it does.
WORKERS_SECONDS = 1.0


class DaskExecutor:
    """An `Executor` whose tasks run on the threads of worker processes."""

    def __init__(self, config: ClusterConfig):
        self.config = config
        self._stack = ExitStack()
        self._client: Client | None = None
        self._warm_ups: list[Future] = []
        self._stuck: dict[str, Future] = {}
        self._has_gpu: dict[str, bool] = {}
        self._places: dict[Device | None, Places] = {}

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
        return sum(self._threads().values())

    @property
    def gpu_workers(self) -> int:
        """Threads of all live workers with a GPU, as Dask's resource ``GPU`` tells."""
        return sum(self._threads(GPU).values())

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
        device: Device | None = None,
    ) -> Iterator[Result]:
        """See `Executor.map_unordered`."""
        pending = iter(tasks)
        handout = HandOut(
            self.client,
            PreparedTask(function, own_versions()),
            name,
            self.config.patience,
            self._stuck,
            resources={GPU: GPU_SHARE} if device == GPU else None,
            pinned=device is not None,
        )
        try:
            threads = self._threads(device)
            handout.give(pending, in_flight_per_worker * self._slots(threads), threads)
            looked = time.monotonic()
            idle_since: float | None = None
            while not handout.done:
                ended = handout.next(POLL_SECONDS)
                results = self._results(ended)
                for future in ended:
                    if future in results:
                        handout.close(future)
                    else:
                        handout.put_back(future, self._threads(device))
                now = time.monotonic()
                if not ended or now - looked > WORKERS_SECONDS:
                    looked, threads = now, self._threads(device)
                    handout.look_after(threads)
                    idle_since = None if threads else idle_since or now
                    if idle_since is not None and now - idle_since >= self.config.worker_timeout:
                        raise self._lost(f"no worker was alive for {now - idle_since:.0f} s")
                # There may have been no worker to give one to when the last of them ended.
                if results or not len(handout):
                    handout.give(pending, in_flight_per_worker * self._slots(threads) - len(handout), threads)
                yield from results.values()
        finally:
            if self._client is not None:
                handout.stop()

    def map_through(
        self,
        first: Callable[[Task], Task],
        second: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        name: Callable[[Task], str] = str,
        ahead: int = 16,
    ) -> Iterator[Result]:
        """See `Executor.map_through`; where every worker has a GPU, they do both."""
        on_cpu = "CPU" if self._threads("CPU") else None
        made = self.map_unordered(first, tasks, name=name, device=on_cpu)
        with Ahead(made, ahead) as between:
            yield from self.map_unordered(second, between, name=name, device=GPU)

    def run_placed(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        name: Callable[[Task], str] = str,
        device: Device | None = None,
    ) -> list[Result]:
        """See `Executor.run_placed`."""
        if device not in self._places:
            self._places[device] = Places(
                self.client,
                lambda: {address: n for address, n in self._threads(device).items() if address not in self._stuck},
                self._lost,
                patience=self.config.patience,
                worker_timeout=self.config.worker_timeout,
                allowed_failures=self.config.allowed_failures,
            )
        prepared = PreparedTask(function, own_versions())
        return self._places[device].run(prepared, tasks, [name(task) for task in tasks])

    def _results(self, ended: Mapping[Future, str]) -> dict[Future, Any]:
        """Results of tasks that have ended, without those that no worker hands out."""
        seconds = min(self.config.worker_timeout, self.config.patience)
        if len(ended) > 1 and all(future.status == "finished" for future in ended):
            # What stops this is told for each task apart.
            with suppress(Exception):
                found: Any = self.client.sync(self.client._gather, list(ended), callback_timeout=seconds)
                return dict(zip(ended, found, strict=True))
        results: dict[Future, Any] = {}
        for future, name in ended.items():
            with suppress(_Unreachable):
                results[future] = self._result(future, name)
        return results

    def _result(self, future: Future, name: str) -> Any:
        try:
            return future.result(timeout=min(self.config.worker_timeout, self.config.patience))
        except KilledWorker as error:
            raise TaskFailedError(
                name,
                f"{error.allowed_failures + 1} workers died while working on it, most often for lack of memory "
                f"({self.config.memory_mb:,} MB are expected to be enough for each thread of a worker)",
            ) from error
        except (CancelledError, TimeoutError, OSError) as error:
            if future.status == "error":
                raise TaskFailedError(name, describe(error)) from error
            if isinstance(error, TimeoutError):
                raise _Unreachable from error
            raise self._lost(f"while working on {name}: {describe(error)}") from error
        except Exception as error:
            raise TaskFailedError(name, describe(error)) from error

    def _threads(self, device: Device | None = None) -> dict[str, int]:
        """Threads of each live worker by its address; of those with a GPU, or without one, where a device is named."""
        try:
            threads = cast("dict[str, int]", self.client.nthreads())
            if device is None:
                return threads
            if threads.keys() - self._has_gpu.keys():
                workers = self.client.scheduler_info(n_workers=-1)["workers"]
                self._has_gpu = {address: GPU in worker["resources"] for address, worker in workers.items()}
        except (OSError, TimeoutError, CancelledError) as error:
            raise self._lost(describe(error)) from error
        return {
            address: number
            for address, number in threads.items()
            if self._has_gpu.get(address, False) == (device == GPU)
        }

    def _slots(self, threads: Mapping[str, int]) -> int:
        """Threads of the workers that do not seem to be stuck; of all, where all do."""
        return sum(number for address, number in threads.items() if address not in self._stuck) or sum(threads.values())

    def _lost(self, why: str) -> ClusterLostError:
        where = self.config.address or "on this machine"
        return ClusterLostError(f"the Dask cluster {where} was lost: {why}")

    def __enter__(self) -> Self:
        settings = {
            "distributed.scheduler.allowed-failures": self.config.allowed_failures,
            # Nothing lives in Dask's own memory, so pausing or spilling could not free any; a peak is reported instead.
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": False,
            "distributed.comm.timeouts.connect": "20s",
            # A worker that sends no sign of life is stopped and another started in its place, also where it is the only
            # one; where it is not, its tasks have been given to others by then.
            "distributed.scheduler.worker-ttl": SILENT_TIMES_PATIENCE * self.config.patience,
            "distributed.admin.log-length": 0,
            # A worker takes this process's word over that of its environment.
            "distributed.worker.profile.enabled": False,
            "distributed.worker.preload": [
                *cast("list[str]", dask.config.get("distributed.worker.preload")),
                steady_clock.__name__,
            ],
        }
        steady_clock.use_steady_clock()
        self._stack.enter_context(dask.config.set(settings))
        # Kept from the terminal, not from whoever else listens to Dask's logger.
        self._stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
        dasks = logging.getLogger("distributed")
        self._stack.callback(setattr, dasks, "propagate", dasks.propagate)
        dasks.propagate = False
        patience = self.config.worker_timeout
        try:
            with interrupts_held():
                address = self.config.address or self._stack.enter_context(start_cluster(self.config))
            client = Client(address, timeout=min(20.0, patience), security=_security(self.config), set_as_default=False)
            self._client = self._stack.enter_context(client)
            client.wait_for_workers(1, timeout=patience)
            # Workers of this machine are forked from this very state of the sources.
            if self.config.kind != "local":
                self._prepare_workers()
            if self._threads(GPU):
                self._check_devices()
            # It waits for each of them.
            if not self._stuck:
                self._forward_logs(client)
        except (InputError, ClusterConfigError):
            self._stack.close()
            raise
        except (TimeoutError, OSError, RuntimeError, ValueError) as error:
            self._stack.close()
            where = f"at {self.config.address}" if self.config.address else "on this machine"
            raise ClusterLostError(f"no Dask cluster could be reached or started {where}: {describe(error)}") from error
        return self

    def _prepare_workers(self) -> None:
        """Completes the environment of workers that somebody else has started.

        Raises:
            InputError: Some are of other versions.
        """
        threads = self._threads()
        ours = own_versions()
        problems: list[Problem] = []
        answers = ask_workers(self.client, threads, self.config.worker_timeout)
        limits = {
            address: worker["memory_limit"] or 0 for address, worker in self.client.scheduler_info()["workers"].items()
        }
        for address, answer in answers.items():
            needed = threads[address] * self.config.memory_mb
            if isinstance(answer, TimeoutError):
                logger.warning("worker %s does not answer: it gets no work until it does", address)
                leave_out(self.client, address, self._stuck)
            elif isinstance(answer, BaseException):
                problems.append(_other(address, f"it cannot tell its versions ({describe(answer)})"))
            elif told := differing(answer[0], ours):
                problems.append(_other(address, told))
            elif answer[1]:
                names = " and ".join(answer[1])
                logger.warning(
                    "worker %s had imported JAX before its %s could be set; it stays as it is", address, names
                )
            if 0 < limits.get(address, 0) < needed * 1_000_000:
                logger.warning(
                    "worker %s may take %s MB, but %d MB are expected for each of its %d threads: "
                    "start it with fewer threads or more memory",
                    address, f"{limits[address] // 1_000_000:,}", self.config.memory_mb, threads[address],
                )  # fmt: skip
        if problems:
            raise InputError(problems)
        if len(self._stuck) == len(threads):
            raise TimeoutError(f"none of its workers answers within {self.config.worker_timeout:.0f} s")

    def _forward_logs(self, client: Client) -> None:
        """Has what workers log logged here, too, for as long as this lasts."""
        for name, level in (("diffbio", logging.INFO), ("distributed", logging.WARNING)):
            client.forward_logging(name, level)
            if self.config.address is not None:
                self._stack.callback(self._unforward_logs, client, name)

    @staticmethod
    def _unforward_logs(client: Client, name: str) -> None:
        if client.status == "running":
            # A cluster that has gone forwards nothing.
            with suppress(Exception):
                client.unforward_logging(name)

    def _check_devices(self) -> None:
        """Looks whether every worker with a GPU sees one device, and no two the same.

        Raises:
            InputError: One sees several, or none.
        """
        seen = ask_devices(self.client, self._threads(GPU), self.config.worker_timeout)
        if problems := device_problems(seen):
            raise InputError(problems)

    def __exit__(self, *error: object) -> None:
        try:
            self._stack.close()
        except (TimeoutError, OSError) as late:
            # All that they were asked for is there: what they have made is not lost for a farewell.
            where = "jobs" if self.config.kind in ("slurm", "kubernetes") else "processes"
            logger.warning(
                "the workers did not stop in time (%s); look whether %s of theirs are left", describe(late), where
            )
        self._client = None
        self._stuck.clear()
        self._places.clear()


def _security(config: ClusterConfig) -> Security | None:
    if config.tls is None:
        return None
    key = config.tls.key or config.tls.cert
    return Security(
        tls_ca_file=config.tls.ca_file, tls_client_cert=config.tls.cert, tls_client_key=key, require_encryption=True
    )


class _Unreachable(Exception):
    """The worker that holds a result does not hand it out."""


def _other(address: str, what: str) -> Problem:
    remedy = "Start it from the same installation of diffbio as this run."
    return Problem(f"worker {address}", f"has other versions than this run: {what}", remedy)
