"""Ctrl-C and SIGTERM as an exception that is not lost on its way."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

RETRY_SECONDS = 0.02


def raise_interrupts() -> None:
    """Has SIGINT and SIGTERM raise KeyboardInterrupt, also where a shell has started the command with them ignored.

    Python would raise it wherever the main thread happens to be. A callback of the garbage collector would only print
    it, and the run would go on; the import system could keep a lock that every later import waits for. In both places
    it comes again a moment later.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    sys.unraisablehook = _unraisable


def ignore_interrupts() -> None:
    """Leaves what is done as it is: nothing may interrupt a process that only has to end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    # Python ends with the signal, whatever the exit status, where an interrupt has left code that ran from a string,
    # such as a dataclass in the making; the next such code that ends well makes it forget that.
    exec("")


def _interrupt(number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        _retry()
    else:
        raise KeyboardInterrupt


def _unraisable(lost: UnraisableHookArgs, /) -> None:
    if lost.exc_type is KeyboardInterrupt:
        _retry()
    else:
        sys.__unraisablehook__(lost)


def _retry() -> None:
    signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
