"""How much memory this process has needed."""

from __future__ import annotations

import resource
from pathlib import Path


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
