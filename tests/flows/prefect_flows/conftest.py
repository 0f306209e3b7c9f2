"""A Prefect server, a work pool and a worker, as ``make prefect`` starts them, that tests may kill and start again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from diffbio_flows.prefect_flows.here import POOL, register, settings, start, stop, wait_for_server

PROJECT = Path(__file__).parents[3]
PATIENCE = 240.0
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE, pause: float = 0.2) -> Any:
    """What a condition gives once it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not get that far"
        time.sleep(pause)
    return found


def ask(client: httpx.Client, method: str, place: str, **more: Any) -> Any:
    """What a server answers once it is not too busy to; asked again where that changes nothing."""
    changes = method not in ("GET", "DELETE") and not place.endswith("/filter")

    def answer() -> httpx.Response | None:
        try:
            response = client.request(method, place, timeout=PATIENCE if changes else 60, **more)
        except httpx.TimeoutException:
            if changes:
                raise
            return None
        gone = method == "DELETE" and response.status_code == 404
        return None if response.status_code == 503 else response if gone else response.raise_for_status()

    found = wait_for(answer)
    return found.json() if found.content else None


def clean_environment() -> dict[str, str]:
    """This process's, without what the user has told Prefect."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DIFFBIO_"))}


class Site:
    """A server and a worker on this machine, and what one does to them.

    Attributes:
        folder: Of all their files.
        data: The one folder that runs may use.
        environment: Of both.
        client: Of the server's API.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.data.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self._port = listening.getsockname()[1]
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "0.5", "PREFECT_WORKER_HEARTBEAT_SECONDS": "2"}
        quick |= {"PREFECT_CLIENT_RETRY_JITTER_FACTOR": "0", "PREFECT_CLIENT_MAX_RETRIES": "20"}
        self.environment = clean_environment() | settings(folder, self._port) | quick
        self.client = httpx.Client(base_url=self.environment["PREFECT_API_URL"], trust_env=False)
        self.server = self.worker = None

    def limit(self, **fields: str) -> None:
        """Writes the file of limits; values are TOML."""
        fields = {"roots": f'["{self.data}"]', "retries": "1", "retry_seconds": "1"} | fields
        text = "\n".join(f"{name} = {value}" for name, value in fields.items())
        (self.folder / "limits.toml").write_text(text)

    @property
    def database(self) -> Path:
        """Of the server; what is there when it starts is taken."""
        return self.folder / "home" / "prefect.db"

    def start_server(self) -> None:
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port)]
        log = self.folder / "server.log"
        self.server = start(command, self.environment, log)
        wait_for_server(self.server, self.environment["PREFECT_API_URL"], log)

    def start_worker(self) -> None:
        command = ["prefect", "worker", "start", "--pool", POOL, "--type", "process"]
        self.worker = start(command, self.environment, self.folder / "worker.log")

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """As a machine does that runs out of memory: this process, and nothing that it has started."""
        process.kill()
        process.wait()

    def ask(self, method: str, place: str, **more: Any) -> Any:
        return ask(self.client, method, place, **more)

    def trigger(self, deployment: str, parameters: dict[str, Any], **more: Any) -> str:
        """Has a run scheduled, by its deployment; gives its id."""
        found = self.ask("GET", f"deployments/name/{deployment}")["id"]
        body = {"parameters": parameters, **more}
        return self.ask("POST", f"deployments/{found}/create_flow_run", json=body)["id"]

    def flow_run(self, run: str) -> dict[str, Any]:
        return self.ask("GET", f"flow_runs/{run}")

    def state(self, run: str, *kinds: str) -> dict[str, Any]:
        """The state of a run once it is of one of some kinds; of those that end it if none are named."""

        def reached() -> dict[str, Any] | None:
            state = self.flow_run(run)["state"]
            return state if state["type"] in (kinds or ENDED) else None

        return wait_for(reached)

    def set_state(self, run: str, **state: str) -> None:
        self.ask("POST", f"flow_runs/{run}/set_state", json={"state": state, "force": state["type"] == "SCHEDULED"})

    def artifacts(self, run: str) -> dict[str, dict[str, Any]]:
        """Of a run, by key."""
        chosen = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        return {found["key"]: found for found in self.ask("POST", "artifacts/filter", json=chosen) if found["key"]}

    def family(self, run: str) -> list[psutil.Process]:
        """The process of a run, and all that it has started; none before it is there."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("PREFECT__FLOW_RUN_ID") == run and "prefect.engine" in process.cmdline():
                    return [process, *process.children(recursive=True)]
        return []

    def pause_at_first_shard(self, run: str, work: Path) -> list[psutil.Process]:
        """Stops a run when a shard is finished and others are not; gives its processes."""
        family = wait_for(lambda: self.family(run))
        wait_for(lambda: finished(work), pause=0.005)
        family[0].send_signal(signal.SIGSTOP)
        return self.family(run)

    def end(self) -> None:
        self.client.close()
        for process in (self.worker, self.server):
            if process is not None and process.poll() is None:
                stop(process)
        for log in sorted(self.folder.glob("*.log")):
            print(log.read_text()[-20_000:])


def finished(work: Path) -> list[Path]:
    """Markers of a run's finished shards."""
    return list(work.glob("calls/[!.]*.json"))


@pytest.fixture(scope="session")
def registered(tmp_path_factory) -> Path:
    """A server's database with the pool and all deployments, made once for all processes that share a run's tests."""
    own = tmp_path_factory.getbasetemp()
    kept = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "prefect.db"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            made = Site(tmp_path_factory.mktemp("registered"))
            made.limit()
            try:
                made.start_server()
                register(made.environment, PROJECT)
            finally:
                made.end()
            made.database.rename(kept)
    return kept


@pytest.fixture(scope="package")
def new_site(registered, tmp_path_factory) -> Callable[..., AbstractContextManager[Site]]:
    """Starts server and worker, with more variables in their environment if given."""

    @contextmanager
    def started(**more: str) -> Iterator[Site]:
        found = Site(tmp_path_factory.mktemp("site"))
        found.environment |= more
        found.limit()
        found.database.parent.mkdir()
        shutil.copy(registered, found.database)
        try:
            found.start_server()
            found.start_worker()
            yield found
        finally:
            found.end()

    return started


# Not of the session: a server and a worker that wait take a tenth of a core.
@pytest.fixture(scope="package")
def site(new_site) -> Iterator[Site]:
    with new_site() as found:
        yield found


@pytest.fixture(scope="session")
def undisturbed(individual, tmp_path_factory) -> bytes:
    """The VCF of a plain run."""
    from diffbio_flows import call_variants

    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "cluster.toml").write_text('kind = "in-process"\n')
    call_variants(
        reads=individual.reads,
        reference=individual.reference,
        output=folder / "calls.vcf.gz",
        cluster=folder / "cluster.toml",
        keep_windows=False,
    )
    return (folder / "calls.vcf.gz").read_bytes()


@pytest.fixture(scope="package")
def inputs(site, individual) -> dict[str, str]:
    """Reads and reference below the root."""
    for path in individual.reads.parent.glob("re*"):
        # The tests of this module may come in two goes, with those of another in between.
        if not (site.data / path.name).exists():
            (site.data / path.name).hardlink_to(path)
    return {"reads": f"{site.data}/{individual.reads.name}", "reference": f"{site.data}/{individual.reference.name}"}


class Called:
    """A run of ``call/on-demand`` with one worker, whose output has the name of its test."""

    def __init__(self, site: Site, inputs: dict[str, str], name: str) -> None:
        self.site, self._inputs = site, inputs
        self.output = site.data / f"{name}.simulated.vcf.gz"
        self._name = f"{name}.{{sample}}.vcf.gz"
        self.id = ""

    def trigger(self, machine: dict[str, object] | None = None) -> None:
        output = {"folder": str(self.site.data), "name": self._name}
        parameters = {"input": self._inputs, "output": output, "machine": {"workers": 1} | (machine or {})}
        self.id = self.site.trigger("call/on-demand", parameters)

    @property
    def work(self) -> Path:
        return self.output.with_name(f"{self.output.name}.work")

    @property
    def resumed(self) -> int:
        return json.loads((self.work / "summary.json").read_text())["work"]["resumed_shards"]

    def pause(self) -> list[psutil.Process]:
        return self.site.pause_at_first_shard(self.id, self.work)

    def completes(self) -> bytes:
        state = self.site.state(self.id)
        assert state["type"] == "COMPLETED", state["message"]
        return self.output.read_bytes()


@pytest.fixture
def called(site, inputs, request) -> Called:
    return Called(site, inputs, request.node.name)


def go_on(family: list[psutil.Process]) -> None:
    family[0].send_signal(signal.SIGCONT)


def all_gone(family: list[psutil.Process]) -> bool:
    return psutil.wait_procs(family, timeout=60)[1] == []
