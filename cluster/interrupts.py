"""Who gets a terminal's interrupt: the process that leads a run, not its workers."""

from __future__ import annotations

import signal
import threading
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
        with _handler_held():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handler_held() -> Iterator[None]:
    """In the main thread, puts Python's handler off until the end.

    The kernel gives a process's signal to any thread that does not block it, and Python runs the handler in the main
    thread whichever that was.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False

    def note(_number: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True

    handler = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
        if interrupted:
            # Stays pending until this thread's mask lets it through.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
