"""Groups of fresh processes, one per worker, that form one program: started, watched and ended together.

A process of a group lives as long as its worker does and the run wants it: it ends when the pipe from its worker
closes, whatever ends that one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from diffbio_cluster.executor import Device, Executor

STOP_SECONDS = 5
"""Time that a process has to end by itself before it is killed."""


class GroupBrokenError(RuntimeError):
    """A process of a group ended too early; nothing more will come of the others.

    Attributes:
        place: Of the process.
    """

    def __init__(self, place: int, what: str) -> None:
        super().__init__(what)
        self.place = place


@dataclass(frozen=True)
class Member:
    """One process of a group.

    Attributes:
        group: Name of this start of the group, unlike any other's.
        place: From 0.
        command: What it runs.
        log: File for its output.
    """

    group: str
    place: int
    command: tuple[str, ...] = ()
    log: str = ""

    def __str__(self) -> str:
        return f"process {self.place + 1} of group {self.group}"


class ProcessGroup:
    """Processes on the workers of an executor, as a context: they are gone when it is left.

    Args:
        executor: Whose workers.
        name: Unlike that of any other group.
        size: Processes; no more than workers, so that each has one of its own.
        command: What the process of a place runs, of the place and the address (host and port) of the first one.
        logs: Folder for their output.
        device: Only workers with a GPU, or only those without one.
    """

    def __init__(
        self,
        executor: Executor,
        name: str,
        size: int,
        command: Callable[[int, str], Sequence[str]],
        logs: Path,
        *,
        device: Device | None = None,
    ) -> None:
        self._executor = executor
        self._device: Device | None = device
        self._members = [Member(name, place) for place in range(size)]
        self._command, self._logs = command, logs

    def __enter__(self) -> Self:
        address, *_ = self._run(free_address, self._members)
        orders = [
            Member(m.group, m.place, tuple(self._command(m.place, address)), str(self._logs / f"{m.place}.log"))
            for m in self._members
        ]
        try:
            self._run(start_member, orders)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def is_done(self) -> bool:
        """Whether all processes have ended well.

        Raises:
            GroupBrokenError: One has not: it failed, was killed, or went with its worker.
        """
        states = self._run(look_at_member, self._members)
        for member, state in zip(self._members, states, strict=True):
            if state not in (RUNNING, "0"):
                raise GroupBrokenError(member.place, f"{member} {_told(state)}")
        return all(state == "0" for state in states)

    def _stop(self) -> None:
        # The workers may be gone, and their processes with them.
        with suppress(Exception):
            self._run(stop_member, self._members)

    def _run(self, function: Callable[[Member], str], members: Sequence[Member]) -> list[str]:
        return self._executor.run_placed(function, members, device=self._device)


RUNNING = "running"
GONE = "gone"

_held: dict[tuple[str, int], subprocess.Popen[bytes]] = {}


def free_address(_: Member) -> str:
    """Host and port of a worker on which its first process may listen."""
    from distributed import get_worker

    host = "127.0.0.1"
    with suppress(ValueError):  # in process there is no worker
        host = get_worker().address.partition("://")[2].rpartition(":")[0] or host
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host.strip("[]"), 0))
        return f"{host}:{listener.getsockname()[1]}"


def start_member(member: Member) -> str:
    """Starts a process on this worker."""
    Path(member.log).parent.mkdir(parents=True, exist_ok=True)
    with open(member.log, "ab") as log:
        _held[member.group, member.place] = subprocess.Popen(
            member.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
        )
    return RUNNING


def look_at_member(member: Member) -> str:
    """`RUNNING`, the exit status, or `GONE` where this worker has no such process."""
    process = _held.get((member.group, member.place))
    if process is None:
        return GONE
    status = process.poll()
    return RUNNING if status is None else str(status)


def stop_member(member: Member) -> str:
    """Ends a process of this worker, if it is there."""
    process = _held.pop((member.group, member.place), None)
    if process is None:
        return GONE
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return str(process.returncode)


def end_with_worker() -> None:
    """Ends this process, one of a group, as soon as its worker has ended or wants it to."""

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 1):
                pass
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name="end with worker", daemon=True).start()


def _told(state: str) -> str:
    if state == GONE:
        return "went with its worker"
    status = int(state)
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
