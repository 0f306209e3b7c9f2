"""The flow as Prefect starts it: deployed on a real server, run through its API, and what dies with whom."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.flows.prefect_flows.conftest import PATIENCE, ask, wait_for

pytestmark = pytest.mark.slow

SERVER = """
import sys
from diffbio_flows.prefect_flows.server import start_server
print(start_server(200.0), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> dict[str, str]:
    """An environment in which Prefect keeps its files apart."""
    settings = {"PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")), "DO_NOT_TRACK": "1"}
    settings |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | settings


def leader_of_a_server(home) -> tuple[subprocess.Popen, str, psutil.Process]:
    """A process that has started a server, the server's address and its process."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    leader = subprocess.Popen([sys.executable, "-c", SERVER], env=home, text=True, **pipes)
    address = leader.stdout.readline().strip()
    (server,) = psutil.Process(leader.pid).children()
    return leader, address, server


def ends(server: psutil.Process) -> bool:
    return psutil.wait_procs([server], timeout=60)[1] == []


@pytest.fixture(scope="module")
def server(home) -> Iterator[str]:
    """The address of a server's API; the server goes with the process that started it, once that is told to end."""
    leader, address, process = leader_of_a_server(home)
    yield address
    leader.communicate("", timeout=60)
    assert leader.returncode == 0
    assert ends(process)


@pytest.fixture(scope="module")
def served(home, server, tmp_path_factory) -> Iterator[httpx.Client]:
    """A client of the server, where the flow is served as a user would serve it."""
    code = "from diffbio_flows.prefect_flows.call import call_flow\ncall_flow.serve(name='served')\n"
    environment = home | {"PREFECT_API_URL": server}
    with (tmp_path_factory.mktemp("served") / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=log, stderr=log)
        with httpx.Client(base_url=server, trust_env=False, timeout=60) as client:
            place = "deployments/name/call/served"
            wait_for(lambda: client.get(place).status_code == 200 or process.poll() is not None)
            yield client
        process.terminate()
        process.wait(60)
        log.seek(0)
        print(log.read())


def run(client: httpx.Client, parameters: dict) -> dict:
    """The last state of a run that the server was asked for."""
    deployment = ask(client, "GET", "deployments/name/call/served")["id"]
    wanted = {"parameters": {"parameters": parameters}}
    asked = ask(client, "POST", f"deployments/{deployment}/create_flow_run", json=wanted)["id"]

    def ended():
        state = ask(client, "GET", f"flow_runs/{asked}")["state"]
        return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    return wait_for(ended)


def parameters(individual, folder: Path, **more) -> dict:
    cluster = folder / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    files = {"reads": individual.reads, "reference": individual.reference, "cluster": cluster}
    chosen = {name: str(path) for name, path in files.items()} | {"output": str(folder / "calls.vcf.gz")}
    return chosen | {"region": ["chr1:1-3000"], "keep_windows": False} | more


def test_a_served_flow_runs_through_the_api(served, individual, tmp_path):
    state = run(served, parameters(individual, tmp_path))
    assert state["type"] == "COMPLETED", state["message"]
    assert (tmp_path / "calls.vcf.gz.tbi").exists()


def test_a_run_that_prefect_starts_refuses_relative_paths(served, individual, tmp_path):
    state = run(served, parameters(individual, tmp_path, output="calls.vcf.gz", work_dir="work"))
    assert state["type"] == "FAILED"
    assert "output: calls.vcf.gz is a relative path. Give the whole path" in state["message"]
    assert "work_dir: work is a relative path" in state["message"]


def test_the_servers_own_command_lists_what_is_deployed(home, server, served):
    command = [sys.executable, "-m", "prefect", "deployment", "ls"]
    environment = home | {"PREFECT_API_URL": server, "COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "call/served" in done.stdout


def test_the_flow_can_be_deployed_to_a_work_pool(home, server):
    environment = home | {"PREFECT_API_URL": server}
    pool = [sys.executable, "-m", "prefect", "work-pool", "create", "here", "--type", "process"]
    subprocess.run(pool, env=environment, capture_output=True, timeout=PATIENCE, check=True)
    code = (
        "from prefect import Flow\nimport diffbio_flows\n"
        "flow = Flow.from_source(diffbio_flows.__path__[0], entrypoint='prefect_flows/call.py:call_flow')\n"
        "print(flow.deploy(name='pooled', work_pool_name='here', print_next_steps=False))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    with httpx.Client(base_url=server, trust_env=False) as client:
        assert ask(client, "GET", "deployments/name/call/pooled")["work_pool_name"] == "here"


def test_a_server_does_not_outlive_a_process_that_is_killed(home):
    leader, _, server = leader_of_a_server(home)
    leader.kill()
    leader.communicate()
    assert ends(server)
