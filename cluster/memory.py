"""How much memory this process has needed, and how it deals with what it frees."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

# malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

_KEPT = 256 << 20
_LARGEST_REUSED = 32 << 20  # the most that glibc takes
_ARENAS = 2


def peak_memory_mb() -> float:
    """Highest resident memory of this process (MB).

    The kernel's own high-water mark is read where there is one: the usual ``ru_maxrss`` also counts the process that
    this one was started from.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reuse_freed_memory() -> bool:
    """Has the C library keep the memory that this process frees, for what it allocates next.

    Dask has its workers give memory back as soon as 64 KiB of it are free. Each shard's arrays would then be pages that
    the kernel clears and maps anew, which takes as long as working on them. Few arenas make up for what is kept.

    Returns:
        Whether it could be told so; only glibc can.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = {_M_TRIM_THRESHOLD: _KEPT, _M_MMAP_THRESHOLD: _LARGEST_REUSED, _M_ARENA_MAX: _ARENAS}
    return all([mallopt(name, value) == 1 for name, value in settings.items()])
