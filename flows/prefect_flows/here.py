"""``make prefect``: a Prefect server, a work pool, a worker and the deployments, all on this machine's loopback.

They end with Ctrl-C, and what they know stays in a folder for the next time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from diffbio_flows.prefect_flows.limits import LOCAL, VARIABLE

POOL = "diffbio"
ADDRESS = "127.0.0.1"
_PATIENCE = 180.0
_LAST_WORDS = 30.0

_TEMPLATE = Path(__file__).with_name("process_pool.json")

_LIMITS = """# What runs that are started through Prefect may touch on this machine; docs/prefect.md tells the rest.
roots = ["{data}"]
reports = "http://{address}:{reports_port}/"
"""


def settings(folder: Path, port: int) -> dict[str, str]:
    """Variables for Prefect's server, worker and command.

    Args:
        folder: For Prefect's own files.
        port: Of the server.
    """
    return {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": f"http://{ADDRESS}:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # In memory they are lost with a server that is killed, and the slots that they were for stay taken for good.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # The page would look for news elsewhere.
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "NO_PROXY": ADDRESS,
        "no_proxy": ADDRESS,
        VARIABLE: str(folder / "limits.toml"),
    }


def write_limits(folder: Path, data: Path, reports_port: int) -> None:
    """Writes the file of limits where there is none: only a folder for data is allowed."""
    data.mkdir(parents=True, exist_ok=True)
    path = folder / "limits.toml"
    if not path.exists():
        path.write_text(_LIMITS.format(data=data, address=ADDRESS, reports_port=reports_port))


def start(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a process of its own group, which Ctrl-C at the terminal does not reach."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def prefect(arguments: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None) -> str:
    """Runs Prefect's command, and gives what it says.

    Raises:
        RuntimeError: It failed; with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_for_server(process: subprocess.Popen[bytes], address: str, log: Path, patience: float = _PATIENCE) -> None:
    """Waits until a server answers.

    Raises:
        RuntimeError: It ended, or did not answer.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(f"{address}/health", timeout=5.0):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"Prefect's server did not start; {log} says why")


def register(environment: Mapping[str, str], project: Path) -> None:
    """Makes the pool, one slot of the local cluster, and the deployments; again where they are there already.

    Args:
        environment: See `settings`.
        project: Folder of ``prefect.yaml``.
    """
    pool = ["work-pool", "create", POOL, "--type", "process", "--base-job-template", str(_TEMPLATE), "--overwrite"]
    prefect(pool, environment)
    slots = f"diffbio-cluster-{LOCAL}"
    # Prefect's command has no way to make one unless it is there; a number that somebody has chosen stays.
    if slots not in prefect(["gcl", "ls"], {**environment, "COLUMNS": "500"}):
        prefect(["gcl", "create", slots, "--limit", "1"], environment)
    prefect(["deploy", "--all"], environment, project)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process, kindly at first."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_LAST_WORDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_prefect_here(folder: Path, data: Path, project: Path, port: int = 4200, reports_port: int = 4201) -> None:
    """Runs all of it until Ctrl-C.

    Args:
        folder: For Prefect's files, logs and the file of limits.
        data: The one folder that runs may use, until the file of limits says otherwise.
        project: Folder of ``prefect.yaml``.
        port: Of Prefect's server.
        reports_port: Of the web server that shows reports.

    Raises:
        RuntimeError: Something did not start.
    """
    folder, data = folder.resolve(), data.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_limits(folder, data, reports_port)
    environment = {**os.environ, **settings(folder, port)}
    address = environment["PREFECT_API_URL"]
    with ExitStack() as held:
        log = folder / "server.log"
        server = start(
            ["prefect", "server", "start", "--host", ADDRESS, "--port", str(port)],
            environment,
            log,
        )
        held.callback(stop, server)
        wait_for_server(server, address, log)
        register(environment, project)
        reports = ["http.server", str(reports_port), "--bind", ADDRESS, "--directory", str(data)]
        held.callback(stop, start(reports, environment, folder / "reports.log"))
        worker = start(["prefect", "worker", "start", "--pool", POOL], environment, folder / "worker.log")
        held.callback(stop, worker)
        print(f"Prefect's page: {address.removesuffix('/api')}/deployments")
        print(
            f"Runs may use {data}, as {environment[VARIABLE]} says. Logs are in {folder}. Ctrl-C ends it.", flush=True
        )
        while server.poll() is None and worker.poll() is None:
            time.sleep(1.0)
        raise RuntimeError(f"Prefect's server or worker has ended; {folder}/*.log say why")


def main() -> int:
    """Runs it in a folder (``prefect-here`` if not given), whose ``data`` is for data unless another is named."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "prefect-here")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_prefect_here(folder, Path(sys.argv[2]) if len(sys.argv) > 2 else folder / "data", Path.cwd())
    except KeyboardInterrupt:
        return 0
    except (RuntimeError, OSError) as error:
        print(f"diffbio: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
