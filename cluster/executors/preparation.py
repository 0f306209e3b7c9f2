"""What is done on a Dask worker before its first task: its environment is completed, its versions are compared."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from distributed import Client, get_worker
from distributed.protocol import pickle

from diffbio_cluster.environment import complete_environment
from diffbio_cluster.memory import reuse_freed_memory
from diffbio_cluster.steady_clock import use_steady_clock
from diffbio_cluster.versions import check_versions, own_versions

Task = TypeVar("Task")
Result = TypeVar("Result")

_lock = threading.Lock()
_too_late: list[list[str]] = []


def prepare_worker(threads: int) -> tuple[dict[str, str], list[str]]:
    """Completes this worker's environment, the first time that it is asked.

    Returns:
        Its versions, and the variables that came too late.
    """
    with _lock:
        if not _too_late:
            _too_late.append(complete_environment(threads))
            reuse_freed_memory()
            use_steady_clock()
        return own_versions(), _too_late[0]


@dataclass(frozen=True)
class PreparedTask(Generic[Task, Result]):
    """A function as workers get it: one that has joined since the run began is prepared by its first task.

    Attributes:
        function: What they are to run.
        versions: Of the process that leads the run.
    """

    function: Callable[[Task], Result]
    versions: Mapping[str, str]

    def __call__(self, task: Task) -> Result:
        """Runs the function.

        Raises:
            OtherVersionError: The worker is of other versions.
        """
        check_versions(self.versions)
        prepare_worker(get_worker().state.nthreads)
        return self.function(task)


@dataclass(frozen=True)
class Unpacking(Generic[Task, Result]):
    """A function of tasks as a function of `packed` ones: client and scheduler pass on bytes without a look inside.

    Attributes:
        function: What gets the task.
    """

    function: Callable[[Task], Result]

    def __call__(self, task: bytes) -> Result:
        """Runs the function."""
        return self.function(pickle.loads(task))


def packed(task: object) -> bytes:
    """A task as `Unpacking` takes it."""
    return pickle.dumps(task)


def ask_workers(client: Client, threads: Mapping[str, int], seconds: float) -> dict[str, Any]:
    """What `prepare_worker` says on each worker, or the exception that came instead.

    Args:
        client: Of their cluster.
        threads: Of each worker, by its address.
        seconds: How long to wait for an answer; one that hangs gives a TimeoutError.
    """

    async def ask(address: str) -> Any:
        answer: Any = client._run(prepare_worker, threads[address], workers=[address], on_error="return")
        try:
            return (await asyncio.wait_for(answer, seconds))[address]
        except (TimeoutError, OSError, KeyError) as error:
            return error if isinstance(error, TimeoutError) else TimeoutError(str(error))

    async def ask_all() -> dict[str, Any]:
        return dict(zip(threads, await asyncio.gather(*map(ask, threads)), strict=True))

    return cast("dict[str, Any]", client.sync(ask_all))
