"""A Dask cluster whose workers are SLURM jobs, by dask-jobqueue."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from diffbio_cluster.config import ClusterConfig, ClusterConfigError, SlurmJobs
from diffbio_cluster.environment import gpu_worker_environment, worker_environment
from diffbio_cluster.executors.clusters import GPU

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMCluster


def open_slurm_cluster(config: ClusterConfig) -> SLURMCluster:
    """Submits the jobs that a description of kind ``slurm`` asks for; they are cancelled when the cluster is closed.

    Raises:
        ClusterConfigError: dask-jobqueue is not installed.
    """
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise ClusterConfigError("kind 'slurm' needs dask-jobqueue: pip install 'diffbio-core[slurm]'") from error
    cluster = SLURMCluster(**job_options(config))
    cluster.scale(jobs=config.workers or 1)
    return cluster


def job_options(config: ClusterConfig) -> dict[str, Any]:
    """What dask-jobqueue is told of a job.

    A job of CPU workers has a process per core. A job with GPUs has one worker process, whose threads read ahead: SLURM
    shows a job only the devices that it was given, so one with several is refused here.

    Raises:
        ClusterConfigError: A job asks for several GPUs.
    """
    jobs = config.slurm or SlurmJobs()
    if jobs.gpus > 1:
        raise ClusterConfigError(
            f"slurm.gpus must be 0 or 1, got {jobs.gpus}: a worker sees one device, so ask for more jobs (workers)"
        )
    environment = worker_environment()
    extra: list[str] = []
    options = list(jobs.options)
    if jobs.gpus:
        environment = gpu_worker_environment(None, config.threads_per_gpu)
        extra = ["--resources", f"{GPU}=1", "--nthreads", str(config.threads_per_gpu)]
        options.append("--gpus-per-node=1")
    environment |= config.environment
    processes = 1 if jobs.gpus else jobs.cores
    return {
        "queue": jobs.partition,
        "account": jobs.account,
        "walltime": jobs.walltime,
        "cores": jobs.cores,
        "processes": processes,
        "memory": f"{config.memory_mb * processes}MB",
        "interface": jobs.interface,
        "python": jobs.python or sys.executable,
        "job_name": "diffbio",
        "local_directory": config.scratch,
        "log_directory": config.scratch,
        "job_extra_directives": options,
        "job_script_prologue": [
            *jobs.prologue,
            *(f"export {name}={_quoted(value)}" for name, value in sorted(environment.items())),
        ],
        "worker_extra_args": extra,
        "death_timeout": str(round(config.worker_timeout)),
        "scheduler_options": {"dashboard": False, "dashboard_address": ":0"},
    }


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
