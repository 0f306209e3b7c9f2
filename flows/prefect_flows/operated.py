"""How a run behaves that nobody watches: it waits for its turn, has a time limit, and says what it failed of.

What a retry can mend is retried; bad input is not.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.runtime import flow_run
from prefect.utilities.timeout import timeout

from diffbio_cluster import ClusterConfigError, ClusterLostError, TaskFailedError
from diffbio_core.problems import InputError
from diffbio_flows.prefect_flows.artifacts import as_cell, show_markdown, unanswered
from diffbio_flows.prefect_flows.forms import MachineGroup, RunNames
from diffbio_flows.prefect_flows.limits import DeploymentLimits
from diffbio_flows.runs.cohort_plan import CohortParameters
from diffbio_flows.runs.parameters import RunParameters
from diffbio_flows.training.parameters import TrainParameters

# What a full disk, a full quota and a file server that is gone say. Errors come from workers as text.
_PASSING = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO))

# Seconds that a slot is held beyond the last sign of its run: the least that Prefect takes.
_LEASE = 60.0

GPUS = "diffbio-gpu"
"""Name of Prefect's concurrency limit whose slots are GPUs."""


class RunTooLongError(TimeoutError):
    """A run that took longer than it may."""


@contextmanager
def operated(limits: DeploymentLimits) -> Iterator[None]:
    """A flow's body: an error that leaves it is told on the page, and decides whether Prefect tries again."""
    _outlive_worker()
    try:
        yield
    except Exception as error:
        mends = may_pass(error)
        with unanswered():
            _set_retries(limits.retries if mends else 0, limits.retry_seconds)
        show_markdown("failure", failure_text(error, retried=mends), "Why the run failed, and what to do")
        raise


@contextmanager
def on_machine(machine: MachineGroup, parameters: RunParameters | CohortParameters | TrainParameters) -> Iterator[None]:
    """Waits for a slot of the cluster, and one per GPU, then holds them for as long as the run may take.

    Raises:
        RunTooLongError: It took longer.
    """
    with _slots(slot_name(machine.cluster)), _gpus(parameters):
        try:
            with timeout(machine.hours * 3600.0, RunTooLongError):
                yield
        except RunTooLongError:
            raise RunTooLongError(f"the run took more than its {machine.hours:g} hours") from None


def _outlive_worker() -> None:
    """Has the run go on where the worker that started it dies, and with it who reads what this process prints.

    Rich, which writes what Prefect logs, ends a process whose output nobody reads.
    """
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, PrefectConsoleHandler):
                setattr(handler.console, "on_broken_pipe", _print_nowhere)  # noqa: B010 (a method, to type checkers)


def _print_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _slots(name: str, number: int = 1) -> AbstractContextManager[None]:
    """Slots of a limit, which come free soon after a run that was killed; a server that is gone does not end a run."""
    return concurrency(name, number, lease_duration=_LEASE, raise_on_lease_renewal_failure=False)


def slot_name(cluster: str) -> str:
    """Name of Prefect's concurrency limit whose slots are runs that use a cluster at a time."""
    return f"diffbio-cluster-{cluster}"


@contextmanager
def _gpus(parameters: RunParameters | CohortParameters | TrainParameters) -> Iterator[None]:
    config = parameters.cluster_config()
    if config.kind != "local-gpu":
        yield
        return
    from diffbio_cluster.executors.local_gpu import visible_gpus

    with _slots(GPUS, len(config.gpus or visible_gpus()) or 1):
        yield


def run_names() -> RunNames:
    """Of the flow run that this is called in."""
    scheduled = flow_run.scheduled_start_time
    return RunNames(run=flow_run.name or "run", scheduled=scheduled or datetime.now(UTC))


def may_pass(error: BaseException) -> bool:
    """Whether the same run may succeed later without anyone changing its input."""
    if isinstance(error, ClusterLostError):
        return True
    return isinstance(error, TaskFailedError | OSError) and any(words in str(error) for words in _PASSING)


def failure_text(error: BaseException, *, retried: bool) -> str:
    """What failed, why, and what to do, as Markdown; with the path of the run's log where the error has it."""
    rows: list[tuple[str, str]] = []
    if isinstance(error, InputError):
        for problem in error.problems:
            rows += [(problem.subject, f"{problem.what}. {problem.remedy}")]
    elif isinstance(error, ClusterConfigError):
        rows += [("cluster", str(error))]
    elif isinstance(error, TaskFailedError):
        rows += [("where", error.task), ("cause", error.cause)]
    else:
        rows += [("cause", f"{type(error).__name__}: {error}")]
    if not isinstance(error, InputError | ClusterConfigError):
        later = "It is tried again after a while, and goes on where it stood." if retried else ""
        rows += [("what to do", later or "Remove the cause, then retry this run: what is finished is kept.")]
    rows += [("log", note) for note in getattr(error, "__notes__", ())]
    return "\n".join(["| | |", "|---|---|", *(f"| {as_cell(name)} | {as_cell(text)} |" for name, text in rows)])


def _set_retries(retries: int, seconds: int) -> None:
    """Has Prefect try this run again, up to so many times in all, or not at all."""
    if flow_run.id is None:
        return
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run.id)  # type: ignore[arg-type]
        policy = run.empirical_policy.model_copy(update={"retries": retries, "retry_delay": seconds})
        client.update_flow_run(run.id, empirical_policy=policy)
    if retries and run.run_count <= retries:
        get_run_logger().warning("the run is tried again in %d s", seconds)
