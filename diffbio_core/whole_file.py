"""A file that appears under its name whole or not at all, whatever ends the process that writes it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ASIDE = ".partial"
"""Ending of a file that is not whole yet; one that nobody writes to any more was left by a killed process."""


@contextmanager
def whole_file(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """Gives a path beside a file's own to write to, and renames it at the end of the with block, unless that fails.

    Args:
        path: The file; an older one is replaced.
        durable: See `put_in_place`.

    Raises:
        OSError: It cannot be written; names the file.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{ASIDE}")
    try:
        with naming(path):
            yield aside
            put_in_place(aside, path, durable=durable)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def write_whole(path: str | os.PathLike[str], content: bytes | str, *, durable: bool = True) -> None:
    """Writes a file, see `whole_file`.

    Args:
        path: The file; an older one is replaced.
        content: Of all of it; a text as UTF-8.
        durable: See `put_in_place`.

    Raises:
        OSError: It cannot be written; names the file.
    """
    with whole_file(path, durable=durable) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def put_in_place(aside: str | os.PathLike[str], path: str | os.PathLike[str], *, durable: bool = True) -> None:
    """Renames a file that is whole to the name by which it counts.

    Args:
        aside: The file as it was written, on the same file system.
        path: Its name; an older file is replaced.
        durable: Whether it is on the disk before it has its name, so that it is whole after a power cut, too. Not
            needed where whoever reads it compares checksums.

    Raises:
        OSError: It cannot be renamed, or not be written to the disk.
    """
    if durable:
        _sync(aside)
    os.replace(aside, path)
    if durable:
        # The name itself; some file systems cannot sync a folder, and need not.
        with suppress(OSError):
            _sync(Path(path).parent)


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Has an error of the system that names no file, such as that of a full disk, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def _sync(path: str | os.PathLike[str]) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
