"""Where diffbio's work runs: in this process or on a Dask cluster (import name ``diffbio_cluster``)."""

from diffbio_cluster.config import ClusterConfig, ClusterConfigError
from diffbio_cluster.executor import (
    ClusterLostError,
    Executor,
    InProcessExecutor,
    TaskFailedError,
    describe,
    open_executor,
)
from diffbio_cluster.memory import peak_memory_mb

__all__ = [
    "ClusterConfig",
    "ClusterConfigError",
    "ClusterLostError",
    "Executor",
    "InProcessExecutor",
    "TaskFailedError",
    "describe",
    "open_executor",
    "peak_memory_mb",
]
