"""What a worker's environment holds before it imports JAX."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping

from diffbio_core.cache_folders import cache_folder


def worker_environment(inherited: Mapping[str, str] = os.environ, threads: int = 1) -> dict[str, str]:
    """Variables for a CPU worker that owns a core for each of its threads.

    Each library gets one thread, because the workers already fill the cores; XLA's compiled programs are kept between
    runs; a variable that the user has set for the cache stays as it is.

    Args:
        inherited: What is set already.
        threads: Tasks that the worker works on at a time.
    """
    flags = inherited.get("XLA_FLAGS", "")
    # On a GPU, sums in an order that varies would show in the records.
    for flag in ("--xla_cpu_multi_thread_eigen=false", "--xla_gpu_deterministic_ops=true"):
        if flag.split("=")[0] not in flags:
            flags = f"{flags} {flag}".strip()
    environment = {
        "XLA_FLAGS": flags,
        # The size of XLA's thread pools, which otherwise follows the machine's cores.
        "NPROC": str(threads),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "JAX_PLATFORMS": inherited.get("JAX_PLATFORMS", "cpu"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Nobody looks at Dask's samples of what a worker does, which take 6 % of a core.
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    }
    return environment | compile_cache_environment(inherited)


def gpu_worker_environment(gpu: str | None, threads: int, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables for a worker that owns one GPU.

    Args:
        gpu: The one device that it may see; None where a queue or a container sees to that.
        threads: Threads of the worker, which read and decode while the device works.
        inherited: Environment of the process that starts it.
    """
    environment = worker_environment(inherited, threads) | {
        "JAX_PLATFORMS": inherited.get("JAX_PLATFORMS", "cuda"),
        # The call stage needs little of a device's memory, and others may need some of it.
        "XLA_PYTHON_CLIENT_PREALLOCATE": inherited.get("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
    }
    return environment if gpu is None else environment | {"CUDA_VISIBLE_DEVICES": gpu}


def compile_cache_environment(inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that make JAX keep every compiled program in the user's cache folder; none where there can be none."""
    name = "JAX_COMPILATION_CACHE_DIR"
    folder = inherited[name] if name in inherited else cache_folder("jax", inherited)
    if folder is None:
        return {}
    defaults = {
        name: str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return {name: inherited.get(name, value) for name, value in defaults.items()}


def complete_environment(threads: int, environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Sets what a worker that somebody else has started lacks; what is set there stays, and so does its device.

    Args:
        threads: Tasks that it works on at a time.
        environment: Of the worker's process.

    Returns:
        Names of variables that would have had to be set earlier: JAX looks at them when it is imported.
    """
    wanted = worker_environment(environment, threads)
    del wanted["JAX_PLATFORMS"]
    lacking = {
        name: value
        for name, value in wanted.items()
        if (environment.get(name) != value if name == "XLA_FLAGS" else name not in environment)
    }
    environment.update(lacking)
    jax = sys.modules.get("jax")
    if jax is None:
        return []
    settable = {name for name in lacking if name.startswith("JAX_")}
    for name in settable:
        option = name.lower()
        kind = type(getattr(jax.config, option))
        jax.config.update(option, lacking[name] if kind in (str, type(None)) else kind(lacking[name]))
    return sorted(lacking.keys() & {"XLA_FLAGS", "NPROC"})
