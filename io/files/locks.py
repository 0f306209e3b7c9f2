"""One process at a time: locks that the kernel drops with the process that holds them, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from diffbio_core.problems import InputError, Problem
from diffbio_io.files.fresh_folder import fresh_folder


@contextmanager
def locked(path: Path, subject: str = "", remedy: str = "", *, wait: bool = False) -> Iterator[None]:
    """Holds a lock file, which tells who holds it, and goes when it is let go.

    Args:
        path: The lock file; one that a killed process has left is taken over.
        subject: What it guards, for the error.
        remedy: What to do where another process holds it, for the error.
        wait: Whether to wait for that process instead.

    Raises:
        InputError: Another process holds it.
        OSError: The file cannot be made, or its file system knows no locks.
    """
    while True:
        with path.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read() or "another process"
                raise InputError([Problem(subject, f"{holder} is working in it", remedy)]) from None
            if not _is_at(lock, path):  # who held it has let it go since it was opened
                continue
            try:
                lock.truncate(0)
                since = datetime.now().astimezone().isoformat(" ", "seconds")
                lock.write(f"process {os.getpid()} on {socket.gethostname()}, since {since},")
                lock.flush()
                yield
            finally:
                path.unlink(missing_ok=True)
            return


@contextmanager
def locked_folder(path: Path, subject: str = "", remedy: str = "", *, wait: bool = False) -> Iterator[Path]:
    """Makes a folder, held as `locked` holds a file, that goes with all in it; what a killed process left goes first.

    Args:
        path: The folder; its lock stands beside it.
        subject: See `locked`.
        remedy: See `locked`.
        wait: See `locked`.

    Raises:
        InputError: Another process holds it.
        OSError: It cannot be made, or its file system knows no locks.
    """
    with locked(path.with_name(f"{path.name}.lock"), subject, remedy, wait=wait), fresh_folder(path):
        yield path


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
