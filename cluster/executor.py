"""The one interface through which stages hand out work, and its simplest form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, Protocol, Self, TypeVar

from diffbio_cluster.config import ClusterConfig

Task = TypeVar("Task")
Result = TypeVar("Result")
Device = Literal["CPU", "GPU"]


class Executor(Protocol):
    """Runs a function over tasks. Tasks and results are small: bulk data goes through files."""

    @property
    def workers(self) -> int:
        """Tasks that can run at the same time."""
        ...

    @property
    def gpu_workers(self) -> int:
        """Tasks that can run at the same time on workers with a GPU."""
        ...

    def warm_up(self, function: Callable[[], object]) -> None:
        """Starts ``function`` once on every worker and returns at once; later tasks queue behind it."""
        ...

    def map_unordered(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        name: Callable[[Task], str] = str,
        in_flight_per_worker: int = 2,
        device: Device | None = None,
    ) -> Iterator[Result]:
        """Yields results as tasks finish, in any order.

        Args:
            function: Importable by the workers.
            tasks: Drawn lazily, so that any number of them takes little memory.
            name: Of a task, for error messages.
            in_flight_per_worker: Tasks handed out per worker; the second hides the way there and back.
            device: Only workers with a GPU get tasks, or only those without one; all where none is named.

        Raises:
            TaskFailedError: A task raised, or took its workers down with it; tasks not yet started are dropped.
            ClusterLostError: No worker or scheduler is left to finish the work.
        """
        ...

    def map_through(
        self,
        first: Callable[[Task], Task],
        second: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        name: Callable[[Task], str] = str,
        ahead: int = 16,
    ) -> Iterator[Result]:
        """Yields what ``second`` makes, on a worker with a GPU, of what ``first`` makes of each task on one without.

        Args:
            first: Importable by the workers.
            second: Importable by the workers; begins with a task as soon as ``first`` has ended.
            tasks: Drawn lazily.
            name: Of a task, for error messages.
            ahead: Tasks between the two at most, so that what lies there stays small.

        Raises:
            TaskFailedError: See `map_unordered`.
            ClusterLostError: See `map_unordered`.
        """
        ...

    def run_placed(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        name: Callable[[Task], str] = str,
        device: Device | None = None,
    ) -> list[Result]:
        """Results of one round of tasks, in their order.

        The worker of each place of the sequence is the same from round to round for as long as it lives, so that it
        finds there what it has made ready; one that died is replaced.

        Args:
            function: Importable by the workers.
            tasks: One for each worker, or fewer; more take turns.
            name: Of a task, for error messages.
            device: See `map_unordered`.

        Raises:
            TaskFailedError: See `map_unordered`.
            ClusterLostError: See `map_unordered`.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class TaskFailedError(RuntimeError):
    """A task could not be finished.

    Attributes:
        task: Its name.
        cause: What went wrong, in one line.
    """

    def __init__(self, task: str, cause: str):
        super().__init__(f"{task}: {cause}")
        self.task = task
        self.cause = cause


class ClusterLostError(RuntimeError):
    """The cluster could not be reached, or has no worker left."""


def open_executor(config: ClusterConfig) -> Executor:
    """The executor for a cluster description; it starts when entered. Dask is imported only where it is used."""
    if config.kind == "in-process":
        return InProcessExecutor()
    from diffbio_cluster.executors.dask import DaskExecutor

    return DaskExecutor(config)


class InProcessExecutor:
    """Runs tasks one after another in this process."""

    workers = 1
    gpu_workers = 0

    def warm_up(self, function: Callable[[], object]) -> None:
        """Does nothing: here the first task would only wait for it."""

    def map_unordered(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        name: Callable[[Task], str] = str,
        in_flight_per_worker: int = 2,
        device: Device | None = None,
    ) -> Iterator[Result]:
        """See `Executor.map_unordered`; results come in the order of the tasks."""
        for task in tasks:
            try:
                result = function(task)
            except Exception as error:
                raise TaskFailedError(name(task), describe(error)) from error
            yield result

    def map_through(
        self,
        first: Callable[[Task], Task],
        second: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        name: Callable[[Task], str] = str,
        ahead: int = 16,
    ) -> Iterator[Result]:
        """See `Executor.map_through`; each task goes through both before the next."""
        return self.map_unordered(second, self.map_unordered(first, tasks, name=name), name=name)

    def run_placed(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        name: Callable[[Task], str] = str,
        device: Device | None = None,
    ) -> list[Result]:
        """See `Executor.run_placed`."""
        return list(self.map_unordered(function, tasks, name=name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def describe(error: BaseException) -> str:
    """An exception in one line that a user can read."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
