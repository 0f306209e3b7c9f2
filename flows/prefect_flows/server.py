"""A Prefect server that lives as long as the process that started it, however that ends; its own process runs this."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

PATIENCE = 120.0
"""Seconds that a server may take to start: it lays out its database first."""

_LAST_WORDS = 5.0


class ServerError(RuntimeError):
    """A server that did not start."""


def start_server(patience: float = PATIENCE) -> str | None:
    """Starts a server on a free port of this machine, which ends when this process does; also when it is killed.

    It is the server's process that looks at Prefect's settings: who imports them here has them for good.

    Args:
        patience: Seconds that it may take to answer.

    Returns:
        The address of its API; None where the user's settings name a server, or allow none to be started.

    Raises:
        ServerError: It did not start.
    """
    # The kernel closes the writing end with this process, and that is what the server waits for.
    reader, writer = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        command = [sys.executable, "-m", __name__, str(listening.fileno()), str(reader)]
        process = subprocess.Popen(command, pass_fds=(listening.fileno(), reader), stdin=subprocess.DEVNULL)
    os.close(reader)
    # Registered before Prefect's own threads are, so it comes after they have sent what they hold.
    atexit.register(_stop, process, writer)
    deadline = time.monotonic() + patience
    # Not by way of a proxy, which could not reach it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), opener.open(f"{address}/health", timeout=5.0):
            return address
        time.sleep(0.1)
    if process.poll() == 0:
        return None
    why = "did not answer" if process.poll() is None else f"ended with exit status {process.returncode}"
    raise ServerError(f"a temporary Prefect server {why}; set PREFECT_API_URL to use one that runs")


def _stop(process: subprocess.Popen[bytes], writer: int) -> None:
    os.close(writer)
    try:
        process.wait(_LAST_WORDS + 5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serve(listening: int, leader: int) -> None:
    """Serves on a socket until nobody holds the other end of a pipe any more."""
    threading.Thread(target=_end_with, args=(leader,), daemon=True).start()
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is not None or not settings.server.ephemeral.enabled:
        return
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=listening)])


def _end_with(leader: int) -> None:
    os.read(leader, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LAST_WORDS)
    os._exit(1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
