"""Clusters that a run starts itself, by kind."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from diffbio_cluster.config import ClusterConfig
from diffbio_cluster.environment import worker_environment
from diffbio_cluster.executor import Device
from diffbio_cluster.executors.scratch import scratch_environment

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from distributed import LocalCluster
    from distributed.deploy.cluster import Cluster

GPU: Device = "GPU"
"""Dask resource of which a worker with a device has 1."""


def start_cluster(config: ClusterConfig) -> AbstractContextManager[Cluster]:
    """Starts what a description asks for; it is stopped when the context ends.

    Raises:
        ClusterConfigError: It cannot be had here; the message says what is missing.
    """
    if config.kind == "local-gpu":
        from diffbio_cluster.executors.local_gpu import open_local_gpu_cluster as start
    elif config.kind == "slurm":
        from diffbio_cluster.executors.slurm import open_slurm_cluster as start
    elif config.kind == "kubernetes":
        from diffbio_cluster.executors.kubernetes import open_kubernetes_cluster as start
    else:
        start = open_local_cluster
    return cast("AbstractContextManager[Cluster]", start(config))


def open_local_cluster(config: ClusterConfig) -> LocalCluster:
    """A worker process of one thread per core of this machine, or as many as were asked for."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=config.local_workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=f"{config.memory_mb}MB",
        dashboard_address=None,  # type: ignore[arg-type]
        # Without a dashboard the scheduler would still listen on Dask's usual port, for all the network.
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        silence_logs=logging.CRITICAL,
        local_directory=config.scratch,
        env=worker_environment() | scratch_environment(config) | config.environment,
    )
