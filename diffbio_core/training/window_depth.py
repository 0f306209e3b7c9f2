"""Windows thinned to another depth, by the hash of reads' names as the caller thins: both mates go or stay."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from jaxtyping import Float, Int, Int32

from diffbio_core.candidates.discovery import MIN_FRACTION, MIN_LONG_INDEL, MIN_READS
from diffbio_core.candidates.view_encoding import SUPPORTS
from diffbio_core.candidates.views import CandidateDepth, CandidateViews
from diffbio_core.windows.encoding import CODE_MASK, NO_READ, NUM_RANKS
from diffbio_core.windows.lanes import row_at
from diffbio_core.windows.planes import LANES_PER_BLOCK, ShardPlanes


def rotated(planes: ShardPlanes, by: int) -> ShardPlanes:
    """The same planes whose reads are thinned in another order: ranks moved on, so that other names go first."""
    rank = (planes.reads.rank + np.uint8(by % NUM_RANKS)) % np.uint8(NUM_RANKS)
    return replace(planes, reads=replace(planes.reads, rank=rank.astype(np.uint8)))


def thinned_depth(
    planes: ShardPlanes,
    which: Int32[np.ndarray, "chosen"],
    shares: Float[np.ndarray, "windows"],
    max_reads: int,
    thinned_reads: int,
) -> CandidateDepth:
    """Depth of candidates where each window keeps a share of its reads only.

    Args:
        planes: The shard.
        which: Candidates that are looked at; the others count as bare.
        shares: Of the reads that each window keeps, in 64ths.
        max_reads: Reads over a candidate above which it is thinned further, as for a call.
        thinned_reads: What it is thinned to then.
    """
    most = np.clip(np.rint(shares * NUM_RANKS), 1, NUM_RANKS).astype(np.int64)
    table = planes.candidates
    read = planes.reads.first, planes.reads.column, planes.reads.rank
    return CandidateDepth(
        *_depth(planes.base, *read, which, table.window, table.column, most, max_reads, thinned_reads)
    )


def mean_depth(planes: ShardPlanes) -> Float[np.ndarray, "windows"]:
    """Reads over a position of each window, on average."""
    return ((planes.base & CODE_MASK) != NO_READ).sum((0, 2, 3), dtype=np.int64) / planes.base.shape[3]


def still_proposed(views: CandidateViews, covering: Int[np.ndarray, "candidates"]) -> np.ndarray:
    """Which candidates enough of the reads that are left show for the caller to look at them at all.

    Args:
        views: After thinning.
        covering: Reads that cover each of them, after thinning.
    """
    supports = (views.roles() == SUPPORTS).sum(1)
    least = np.maximum(MIN_READS, np.ceil(MIN_FRACTION * covering))
    return supports >= np.where(np.abs(views.length) >= MIN_LONG_INDEL, 1, least)


@numba.njit(cache=True, nogil=True)
def _depth(base, read_first, read_column, read_rank, which, window, column, most, max_reads, thinned_reads):
    lanes = base.shape[0] * LANES_PER_BLOCK
    covering = np.zeros(window.size, np.int32)
    shown = np.zeros(window.size, np.int32)
    cut = np.full(window.size, NUM_RANKS, np.uint8)
    reads_of_rank = np.zeros(NUM_RANKS, np.int32)
    for candidate in which:
        reads_of_rank[:] = 0
        for lane in range(lanes):
            cells = base[lane // LANES_PER_BLOCK, window[candidate], lane % LANES_PER_BLOCK]
            if cells[column[candidate]] & CODE_MASK != NO_READ:
                covering[candidate] += 1
                read = row_at(read_first, read_column, window[candidate] * lanes + lane, column[candidate])
                reads_of_rank[read_rank[read]] += 1
        limit = most[window[candidate]]
        left = np.sum(reads_of_rank[:limit])
        goal = left if left <= max_reads else thinned_reads
        shown[candidate] = reads_of_rank[0]
        cut[candidate] = 1
        while cut[candidate] < limit and shown[candidate] + reads_of_rank[cut[candidate]] <= goal:
            shown[candidate] += reads_of_rank[cut[candidate]]
            cut[candidate] += 1
    return covering, shown, cut
