"""A run's own log, for an operator to send in: what leader, scheduler and workers say, stage times, faults in full."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

from diffbio_core import __version__
from diffbio_core.whole_file import naming

LOGGER = logging.getLogger("diffbio")

_FORMAT = "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"
# Dask gives its client's logger handlers of its own and keeps its records from the others.
_LOGGERS = (
    LOGGER,
    logging.getLogger("diffbio_cluster"),
    logging.getLogger("distributed"),
    logging.getLogger("distributed.client"),
)


@contextmanager
def run_log(path: Path) -> Iterator[None]:
    """Adds what is logged in the with block to a file; a run that goes on has its log in one.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    with ExitStack() as stack:
        with naming(path):
            file = stack.enter_context(path.open("ab", buffering=0))
        handler = _Lines(file)
        handler.setFormatter(logging.Formatter(_FORMAT))
        for logger in _LOGGERS:
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
        # What a terminal is to show is told there by the command, in its own words.
        stack.callback(setattr, LOGGER, "propagate", LOGGER.propagate)
        stack.callback(LOGGER.setLevel, LOGGER.level)
        LOGGER.propagate = False
        LOGGER.setLevel(logging.INFO)
        packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "distributed", "zarr", "pysam"))
        LOGGER.info("diffbio %s, Python %s, %s", __version__, platform.python_version(), packages)
        LOGGER.info("on %s (%s): %s", platform.node(), platform.platform(), " ".join(sys.argv))
        yield


class _Lines(logging.Handler):
    """Writes records to a file that its maker closes.

    Not a ``StreamHandler``: Dask silences those of its logger. A record that cannot be written is lost without a word,
    since a disk that is full is told by what needs it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(logging.INFO)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            self._file.write(f"{self.format(record)}\n".encode())
        except (OSError, ValueError):
            return
