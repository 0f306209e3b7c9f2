"""Workers that somebody else has started: what they lack is set, and those of other versions are refused."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

import diffbio_core
from diffbio_cluster import ClusterConfig, open_executor
from diffbio_core.problems import InputError
from tests.dask_processes import DaskProcesses

pytestmark = pytest.mark.slow


def environment(names: list[str]) -> tuple[dict[str, str | None], bool]:
    return {name: os.environ.get(name) for name in names}, "jax" in sys.modules


def square(value: int) -> int:
    return value * value


@pytest.fixture
def dask(tmp_path):
    with DaskProcesses(tmp_path) as processes:
        yield processes


def config(dask, **more):
    return ClusterConfig(kind="address", address=dask.address, **more)


def test_a_worker_gets_threads_and_compile_cache_before_it_imports_jax(dask, tmp_path, caplog):
    theirs = {"XLA_FLAGS": "--xla_dump_to=d", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "7"}
    dask.start_worker(2, {**theirs, "XDG_CACHE_HOME": str(tmp_path), "JAX_COMPILATION_CACHE_DIR": None})
    names = ["XLA_FLAGS", "NPROC", "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]
    with open_executor(config(dask)) as executor:
        ((found, has_jax),) = executor.map_unordered(environment, [names])
    assert not has_jax
    assert found == {
        "XLA_FLAGS": "--xla_dump_to=d --xla_cpu_multi_thread_eigen=false --xla_gpu_deterministic_ops=true",
        "NPROC": "2",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "diffbio" / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "7",
    }
    assert caplog.messages == []


def test_workers_of_another_diffbio_are_refused_with_the_list(dask, tmp_path):
    package = Path(diffbio_core.__file__).parent
    old = Path(shutil.copytree(package, tmp_path / "old" / "diffbio_core", ignore=shutil.ignore_patterns("__pyc*")))
    text = (old / "__init__.py").read_text()
    (old / "__init__.py").write_text(re.sub(r'__version__ = ".*"', '__version__ = "0.0.9"', text))
    dask.start_worker(1)
    dask.start_worker(1, {"PYTHONPATH": str(old.parent)})
    with pytest.raises(InputError) as caught, open_executor(config(dask)):
        pass
    (problem,) = caught.value.problems
    assert problem.subject.startswith("worker tcp://")
    assert "has other versions than this run: diffbio 0.0.9 (sources " in problem.what
    assert f"not {diffbio_core.__version__} (sources " in problem.what


def test_a_worker_that_does_not_answer_is_told_and_left_out(dask, caplog):
    stopped = dask.start_worker(1)
    dask.start_worker(1)
    stopped.send_signal(signal.SIGSTOP)
    with open_executor(config(dask, worker_timeout=4.0)) as executor:
        assert sorted(executor.map_unordered(square, range(8))) == [value * value for value in range(8)]
    (told,) = caplog.messages
    assert re.fullmatch(r"worker tcp://\S+ does not answer: it gets no work until it does", told)


def test_a_worker_whose_memory_is_short_for_its_threads_is_told(dask, caplog):
    dask.start_worker(2, memory="2GB")
    with open_executor(config(dask)) as executor:
        assert list(executor.map_unordered(square, [3])) == [9]
    (told,) = caplog.messages
    assert told.endswith(
        "may take 2,000 MB, but 1500 MB are expected for each of its 2 threads: "
        "start it with fewer threads or more memory"
    )
