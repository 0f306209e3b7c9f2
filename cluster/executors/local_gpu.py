"""A Dask cluster of this machine's GPUs: a worker for each, which sees no other, and CPU workers beside them."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from distributed import Nanny, Scheduler, SpecCluster

from diffbio_cluster.config import ClusterConfig, ClusterConfigError
from diffbio_cluster.environment import gpu_worker_environment, worker_environment
from diffbio_cluster.executors.clusters import GPU
from diffbio_cluster.executors.scratch import scratch_environment


def open_local_gpu_cluster(config: ClusterConfig) -> SpecCluster:
    """Starts the workers that a description of kind ``local-gpu`` asks for.

    Raises:
        ClusterConfigError: No GPU is found, or fewer than were asked for.
    """
    return SpecCluster(
        workers=worker_specifications(config, config.gpus or visible_gpus()),
        # Without a dashboard the scheduler would still listen on Dask's usual port, for all the network.
        scheduler={
            "cls": Scheduler,
            "options": {"dashboard": False, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0},
        },
        silence_logs=logging.CRITICAL,  # type: ignore[arg-type]
    )


def worker_specifications(config: ClusterConfig, gpus: list[str]) -> dict[str, dict[str, Any]]:
    """What Dask is to start, by name: a worker per GPU, and one per CPU core.

    A worker that saw several devices would make JAX take memory on all of them. So the id goes into the environment of
    the worker's process, which its nanny sets before JAX can be imported there.
    """
    scratch = scratch_environment(config)
    common = {
        "memory_limit": f"{config.memory_mb}MB",
        "local_directory": config.scratch,
        "host": "127.0.0.1",
        "silence_logs": logging.CRITICAL,
    }
    return {
        f"gpu-{gpu}": {
            "cls": Nanny,
            "options": {
                **common,
                "nthreads": config.threads_per_gpu,
                "resources": {GPU: 1},
                "env": gpu_worker_environment(gpu, config.threads_per_gpu) | scratch | config.environment,
            },
        }
        for gpu in gpus
    } | {
        f"cpu-{number}": {
            "cls": Nanny,
            "options": {
                **common,
                "nthreads": 1,
                "env": worker_environment() | {"CUDA_VISIBLE_DEVICES": ""} | scratch | config.environment,
            },
        }
        for number in range(config.local_workers)
    }


def visible_gpus(inherited: Mapping[str, str] = os.environ) -> list[str]:
    """Ids of the GPUs that this process may use.

    Raises:
        ClusterConfigError: There is none.
    """
    remedy = 'give gpus = ["0", ...], or kind = "local" to use the CPU'
    if "CUDA_VISIBLE_DEVICES" in inherited:
        found = [gpu.strip() for gpu in inherited["CUDA_VISIBLE_DEVICES"].split(",") if gpu.strip()]
        if not found:
            raise ClusterConfigError(f"CUDA_VISIBLE_DEVICES is empty, so that no GPU may be used: {remedy}")
        return found
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ClusterConfigError(f"no GPU was found, since nvidia-smi cannot be run ({error}): {remedy}") from error
    found = listed.split()
    if not found:
        raise ClusterConfigError(f"nvidia-smi lists no GPU: {remedy}")
    return found
