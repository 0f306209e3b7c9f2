"""How deep reads lie over the core of a shard."""

from __future__ import annotations

from collections.abc import Iterable

import numba
import numpy as np
from jaxtyping import Int64

from diffbio_core.windows.encoding import CODE_MASK, N_BASE, NO_READ
from diffbio_core.windows.planes import ShardPlanes


def count_depths(planes: ShardPlanes, intervals: Iterable[tuple[int, int]]) -> Int64[np.ndarray, " depths"]:
    """Positions by the number of reads in the planes that cover them, deletions counted; the last is not 0.

    Args:
        planes: A shard.
        intervals: Positions within its core (0-based half-open); those without a base of the reference are left out.
    """
    grid, origin = planes.grid, planes.shard.first_window * planes.grid.reference_length
    core = slice(grid.halo, grid.halo + grid.reference_length)
    wanted = np.zeros(planes.shard.num_windows * grid.reference_length, np.bool_)
    for start, stop in intervals:
        wanted[start - origin : stop - origin] = True
    wanted &= np.ascontiguousarray(planes.reference[:, core]).reshape(-1) < N_BASE
    depth = _depth(planes.base, grid.halo, grid.reference_length)
    return np.bincount(depth[wanted]).astype(np.int64)


@numba.njit(cache=True, nogil=True)
def _depth(base, halo, length):
    depth = np.zeros(base.shape[1] * length, np.uint16)
    for block in range(base.shape[0]):
        for window in range(base.shape[1]):
            sums = depth[window * length : (window + 1) * length]
            for row in range(base.shape[2]):
                cells = base[block, window, row, halo : halo + length]
                # Bytes in, no branch: this loop runs on vectors.
                for column in range(length):
                    sums[column] += cells[column] & np.uint8(CODE_MASK) != NO_READ
    return depth
