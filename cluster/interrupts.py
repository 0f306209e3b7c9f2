"""Who gets a terminal's interrupt: the process that leads a run, not its workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Holds SIGINT back in this thread, and for good in the threads and processes that are started meanwhile.

    A terminal interrupts every process of a command at once. The one that leads the run then stops its workers, which
    would otherwise die on their own, with a traceback each.
    """
    # Where it is not running yet, multiprocessing starts it with the first worker, and lets SIGINT through after that.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
