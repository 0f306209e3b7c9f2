"""Both executors keep the same promises, on real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from distributed import Client, get_worker

from diffbio_cluster import ClusterConfig, ClusterLostError, TaskFailedError, open_executor


def square(value: int) -> int:
    return value * value


def square_unless_three(value: int) -> int:
    if value == 3:
        raise ValueError("three is\nnot allowed")
    return value * value


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(flag: str) -> int:
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 7


def environment(name: str) -> tuple[str | None, bool]:
    return os.environ.get(name), "jax" in sys.modules


def own_callbacks(_: int) -> set[str]:
    return set(get_worker().periodic_callbacks)


def mark(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()


@pytest.fixture(scope="module")
def local():
    with open_executor(ClusterConfig(workers=2, allowed_failures=1)) as executor:
        yield executor


@pytest.fixture(params=["in-process", "local"])
def executor(request):
    if request.param == "local":
        yield request.getfixturevalue("local")
    else:
        with open_executor(ClusterConfig(kind="in-process")) as executor:
            yield executor


def test_every_task_gives_its_result_once(executor):
    assert sorted(executor.map_unordered(square, range(20))) == [value * value for value in range(20)]


def test_no_tasks_give_no_results(executor):
    assert list(executor.map_unordered(square, [])) == []


def test_a_failing_task_is_reported_by_its_name_and_cause_in_one_line(executor):
    with pytest.raises(TaskFailedError) as caught:
        list(executor.map_unordered(square_unless_three, range(6), name=lambda value: f"chr{value}.000000"))
    assert str(caught.value) == "chr3.000000: ValueError: three is not allowed"
    assert caught.value.task == "chr3.000000"


def test_the_executor_works_on_after_a_failed_task(executor):
    with pytest.raises(TaskFailedError):
        list(executor.map_unordered(square_unless_three, [3]))
    assert list(executor.map_unordered(square, [4])) == [16]


def test_tasks_are_drawn_only_as_workers_become_free(executor):
    drawn = []

    def tasks():
        for value in range(50):
            drawn.append(value)
            yield value

    # As many as are handed out, and as many that ended while those before them were looked at.
    bound = 2 * 2 * executor.workers
    results = executor.map_unordered(square, tasks(), in_flight_per_worker=2)
    for given, _ in enumerate(results):
        assert len(drawn) - given <= bound
    assert len(drawn) == 50


def test_a_worker_has_its_environment_before_jax_is_imported(local):
    values = dict(zip(["NPROC", "OMP_NUM_THREADS"], local.map_unordered(environment, ["NPROC"] * 2), strict=True))
    assert set(values.values()) == {("1", False)}


def test_a_worker_does_not_sample_itself(local):
    (found,) = local.map_unordered(own_callbacks, [0])
    assert "heartbeat" in found
    assert not {"profile", "profile-cycle"} & found


def test_warming_up_runs_once_on_every_worker(local, tmp_path):
    import functools

    local.warm_up(functools.partial(mark, str(tmp_path)))
    list(local.map_unordered(square, range(8)))
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_task_whose_worker_died_once_is_done_by_another(local, tmp_path):
    assert list(local.map_unordered(die_once, [str(tmp_path / "flag")])) == [7]


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_given_up(local):
    with pytest.raises(TaskFailedError, match=r"^chr9\.000001: 2 workers died while working on it"):
        list(local.map_unordered(die, [1], name=lambda _: "chr9.000001"))


@pytest.mark.slow
def test_the_address_of_a_running_scheduler_is_enough(local):
    address = local.client.scheduler.address
    with open_executor(ClusterConfig(kind="address", address=address)) as other:
        assert sorted(other.map_unordered(square, range(5))) == [0, 1, 4, 9, 16]
    assert list(local.map_unordered(square, [2])) == [4]


@pytest.mark.slow
def test_an_address_where_nothing_listens_is_an_error_that_names_it():
    with (
        pytest.raises(ClusterLostError, match=r"tcp://127\.0\.0\.1:9"),
        open_executor(ClusterConfig(kind="address", address="tcp://127.0.0.1:9", worker_timeout=1)),
    ):
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_run_with_an_error_that_names_it():
    script = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    quiet = {"dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, dashboard_address=None, scheduler_kwargs=quiet) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as scheduler:
        address = scheduler.stdout.readline().decode().strip()
        with open_executor(ClusterConfig(kind="address", address=address, worker_timeout=5)) as executor:
            results = executor.map_unordered(time.sleep, [0.0, 60.0, 60.0])
            assert next(results) is None
            scheduler.kill()
            with pytest.raises(ClusterLostError, match=f"the Dask cluster {address} was lost"):
                next(results)


def test_two_clusters_of_one_machine_do_not_get_in_each_other_s_way(local, recwarn):
    with open_executor(ClusterConfig(workers=1)) as other:
        assert list(other.map_unordered(square, [3])) == [9]
    assert list(local.map_unordered(square, [2])) == [4]
    assert [str(warning.message) for warning in recwarn] == []


def test_workers_that_do_not_stop_in_time_take_nothing_of_what_they_have_made(monkeypatch, caplog):
    close = Client.close

    def slow(client):
        monkeypatch.undo()
        close(client)
        raise TimeoutError("busy machine")

    with open_executor(ClusterConfig(workers=1)) as executor:
        assert list(executor.map_unordered(square, [3])) == [9]
        monkeypatch.setattr(Client, "close", slow)
    assert "the workers did not stop in time (TimeoutError: busy machine)" in caplog.text
