"""A worker per GPU, pinned before JAX is imported; the ids are pretended, the workers are real processes."""

from __future__ import annotations

import os

import pytest
from distributed import Client

from diffbio_cluster import ClusterConfig, ClusterConfigError, open_executor
from diffbio_cluster.executors.local_gpu import open_local_gpu_cluster, visible_gpus
from diffbio_core.problems import InputError

CONFIG = ClusterConfig(kind="local-gpu", workers=1, gpus=["3", "7"], environment={"JAX_PLATFORMS": "cpu"})


@pytest.mark.slow
def test_every_gpu_worker_sees_one_id_of_its_own_and_cpu_workers_none():
    with open_local_gpu_cluster(CONFIG) as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(3, timeout=60)
        seen = client.run(os.getenv, "CUDA_VISIBLE_DEVICES")
        workers = client.scheduler_info()["workers"]
        with_gpu = {address for address, worker in workers.items() if worker["resources"].get("GPU")}
        assert sorted(seen[address] for address in with_gpu) == ["3", "7"]
        assert [seen[address] for address in seen.keys() - with_gpu] == [""]
        assert {workers[address]["nthreads"] for address in with_gpu} == {CONFIG.threads_per_gpu}


def where(task):
    return [*task, os.environ.get("CUDA_VISIBLE_DEVICES")]


@pytest.mark.slow
def test_the_first_stage_runs_where_there_is_no_gpu_and_the_second_where_there_is_one():
    with open_executor(CONFIG) as executor:
        assert executor.workers == 1 + 2 * CONFIG.threads_per_gpu
        assert executor.gpu_workers == 2 * CONFIG.threads_per_gpu
        found = sorted(executor.map_through(where, where, ([number] for number in range(40)), ahead=3))
    assert [result[0] for result in found] == list(range(40))
    assert {result[1] for result in found} == {""}
    assert {result[2] for result in found} <= {"3", "7"}


@pytest.mark.slow
def test_a_worker_that_sees_two_devices_is_refused():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    config = ClusterConfig(kind="local-gpu", workers=1, gpus=["3"], environment={**CONFIG.environment, **flags})
    with pytest.raises(InputError, match="has the resource GPU but sees cpu:0, cpu:1"), open_executor(config):
        pass


def test_the_gpus_are_those_that_this_process_may_use():
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2, 0"}) == ["2", "0"]


def test_no_gpu_is_told_with_what_to_do(monkeypatch, tmp_path):
    with pytest.raises(ClusterConfigError, match=r'no GPU may be used: give gpus = \["0", ...\], or kind = "local"'):
        visible_gpus({"CUDA_VISIBLE_DEVICES": ""})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterConfigError, match="nvidia-smi cannot be run"):
        visible_gpus({})
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\n")
    smi.chmod(0o755)
    with pytest.raises(ClusterConfigError, match="nvidia-smi lists no GPU"):
        visible_gpus({})
    smi.write_text("#!/bin/sh\necho 0\necho 1\n")
    assert visible_gpus({}) == ["0", "1"]
