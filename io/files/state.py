"""The state of a file, by which another one, or a later one of the same path, is told from it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime


class FileChangedError(RuntimeError):
    """A file is not what it was when the run began."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells an input file from another or from its own later state, without reading it all.

    Attributes:
        path: The file.
        size: Its length (bytes).
        modified: When it was last written, UTC, to the microsecond.
    """

    path: str
    size: int
    modified: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileState:
        """The state that a file is in.

        Raises:
            OSError: It cannot be looked at.
        """
        return cls._seen(os.fspath(path), os.stat(path))

    @classmethod
    def _seen(cls, path: str, status: os.stat_result) -> FileState:
        changed = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="microseconds")
        return cls(path, status.st_size, changed)

    def check(self) -> tuple[int, int]:
        """Looks whether the file is still in this state.

        Returns:
            What tells it, on this machine only, from another file of the same state: its number and the time of the
            last change to its entry (ns).

        Raises:
            FileChangedError: It is not, or is gone.
        """
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise FileChangedError(
                f"{self.path} cannot be looked at any more ({error.strerror}); the run began with it"
            ) from None
        found = self._seen(self.path, status)
        if found != self:
            raise FileChangedError(
                f"{self.path} was changed during the run: it had {self.size:,} bytes of {self.modified}, "
                f"now {found.size:,} of {found.modified}"
            )
        return status.st_ino, status.st_ctime_ns


@contextmanager
def unchanged(states: Iterable[FileState]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Looks before and after a with block whether files are what they were; gives what `FileState.check` returns.

    Whatever goes wrong inside while one of them has changed is told as that change.

    Raises:
        FileChangedError: One has changed.
    """
    states = tuple(states)
    before = tuple(state.check() for state in states)
    try:
        yield before
    except Exception:
        for state in states:
            state.check()
        raise
    for state in states:
        state.check()
