"""Folders for what is costly to make and may be lost: compiled kernels and programs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path


def cache_folder(name: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """A folder that can be written, made where it is not there: in the user's cache, else in the temporary folder.

    Args:
        name: What it is for.
        environment: Where to look for ``XDG_CACHE_HOME``.

    Returns:
        The folder; None where neither can be written.
    """
    for folder in _candidates(environment):
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if is_writable(folder / name):
            return folder / name
    return None


def is_writable(folder: Path) -> bool:
    """Whether a file can be made in a folder; asked by making one, since permissions do not tell all."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    home = environment.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # a user without a home, as in many containers
        yield (Path(home) if home else Path.home() / ".cache") / "diffbio"
    with suppress(OSError):
        # What is kept here gets executed, and others may write to the temporary folder.
        folder = Path(tempfile.gettempdir()) / f"diffbio-{os.geteuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if status.st_uid == os.geteuid() and status.st_mode & 0o170022 == 0o040000:
            yield folder
