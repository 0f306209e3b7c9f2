"""A Dask scheduler and its workers as operators start them: processes of their own, told by an address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

DASK = [sys.executable, "-c", "from dask.__main__ import main\nif __name__ == '__main__':\n    main()"]
PATIENCE = 120
ROOT = Path(__file__).parents[1]


class DaskProcesses:
    """A scheduler on this machine; it and its workers are gone after the with block.

    Attributes:
        address: Of the scheduler.
        workers: The processes of its workers.

    Args:
        folder: Where they work.
        certificate: PEM file of a certificate and its key that all sides show and trust; without one nothing is
            encrypted.
    """

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        self._folder = folder
        self._certificate = certificate
        self._tls: tuple[object, ...] = ()
        if certificate is not None:
            self._tls = "--tls-ca-file", certificate, "--tls-cert", certificate, "--tls-key", certificate
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        told = self._folder / "scheduler.json"
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
        protocol = ("--protocol", "tls") if self._tls else ()
        self._scheduler = self._start("scheduler", *options, *protocol, *self._tls, "--scheduler-file", told)
        until = time.monotonic() + PATIENCE
        while not told.exists() or not told.read_text():
            assert self._scheduler.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        self.address = json.loads(told.read_text())["address"]
        return self

    def start_worker(
        self, threads: int, environment: Mapping[str, str | None] | None = None, memory: str = "0"
    ) -> subprocess.Popen[bytes]:
        """Starts a worker without a nanny and waits until the scheduler knows it."""
        from distributed import Client, Security

        options = ("--nthreads", threads, "--no-nanny", "--no-dashboard", "--local-directory", self._folder)
        options += ("--memory-limit", memory)
        worker = self._start("worker", self.address, *options, *self._tls, environment=environment)
        self.workers.append(worker)
        pem = None if self._certificate is None else str(self._certificate)
        security = pem and Security(tls_ca_file=pem, tls_client_cert=pem, tls_client_key=pem, require_encryption=True)
        with Client(self.address, set_as_default=False, security=security) as client:
            client.wait_for_workers(sum(process.poll() is None for process in self.workers), timeout=PATIENCE)
        return worker

    def _start(
        self, *arguments: object, environment: Mapping[str, str | None] | None = None
    ) -> subprocess.Popen[bytes]:
        merged = os.environ | (environment or {})
        # Tests' own functions are found last: a folder of the checkout must not hide what a test puts on the path.
        merged["PYTHONPATH"] = os.pathsep.join(filter(None, (merged.get("PYTHONPATH"), str(ROOT))))
        with (self._folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [*DASK, *map(str, arguments)],
                cwd=self._folder,
                env={name: value for name, value in merged.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()
