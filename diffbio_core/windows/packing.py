"""Reads -> lanes -> planes and candidate alleles of a shard."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import UInt8

from diffbio_core.candidates.discovery import CandidateTable, IndelEvents, find_candidates
from diffbio_core.reads.records import (
    CIGAR_D,
    CIGAR_I,
    LANE_OVERFLOW,
    SET_ASIDE,
    USED,
    cigar_operation,
    little_endian_16,
)
from diffbio_core.reads.thinning import Interval, IntervalReads
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.lanes import LaneRows
from diffbio_core.windows.planes import LANES_PER_BLOCK, MAX_LANES, PlaneBuffers, ShardPlanes
from diffbio_core.windows.projection import Planes, Tally, project_reads


def shard_interval(shard: Shard, grid: WindowGrid, contig_length: int, reference_id: int) -> Interval:
    """Where the reads of a shard are wanted: its windows with their halo."""
    core = grid.core(shard, contig_length)
    first = shard.first_window * grid.reference_length - grid.halo
    return Interval(reference_id, first, shard.last_window * grid.reference_length + grid.halo, *core)


def pack_shard(
    reads: IntervalReads,
    reference: UInt8[np.ndarray, "columns"],
    shard: Shard,
    grid: WindowGrid,
    contig_length: int,
    buffers: PlaneBuffers | None = None,
) -> ShardPlanes:
    """Planes and candidate alleles of a shard.

    Reads that do not overlap share a lane: each takes the first that is free at its start, in order of start. A read's
    skipped region (CIGAR ``N``) is columns without a read that no other read of the lane may take.

    Args:
        reads: Reads of ``shard_interval(shard, ...)``.
        reference: Base codes of the contig from ``shard.first_window * reference_length - halo`` to ``halo`` past the
            end of the last window; 4 (N) outside the contig.
        shard: The windows to fill.
        grid: The grid that the shard belongs to.
        contig_length: Length of the contig (bp).
        buffers: Memory to reuse; the planes that are returned live in it.

    Raises:
        ValueError: ``reference`` has another length than the shard's windows with their halo.
    """
    first = shard.first_window * grid.reference_length - grid.halo
    columns = shard.num_windows * grid.reference_length + 2 * grid.halo
    if reference.size != columns:
        raise ValueError(f"reference must hold {columns} bases for shard {shard.name}, got {reference.size}")
    measured = _measure(
        reads.raw, reads.offset, reads.start, reads.end, first, shard.num_windows, grid.reference_length, grid.halo
    )
    room = _Room(*map(int, measured))
    blocks = -(-room.deepest // LANES_PER_BLOCK)
    planes = (buffers or PlaneBuffers()).take(blocks, shard.num_windows, grid.positions)
    tally = Tally(
        mismatches=np.zeros((columns, 4), np.uint16),
        coverage_change=np.zeros(columns + 1, np.int32),
        events=IndelEvents.empty(room.indels),
        inserted=np.empty(room.inserted, np.uint8),
        without_lane=np.zeros(len(reads), np.bool_),
        rows=LaneRows.room(room.lane_reads, room.lane_indels, room.lane_inserted),
    )
    events = project_reads(
        reads.raw,
        reads.offset,
        reads.start,
        reads.end,
        reads.mate,
        reads.rank,
        reference,
        first,
        grid.reference_length,
        grid.halo,
        Planes(**planes),
        tally,
    )
    # Most shards of a sparse contig have no read: what looks at every column is not for them.
    candidates = CandidateTable.none()
    if len(reads):
        candidates = find_candidates(
            reference,
            tally.mismatches,
            np.cumsum(tally.coverage_change[:-1]),
            tally.events.take(slice(events)),
            tally.inserted,
            reads.thinned,
            shard,
            grid,
            contig_length,
        )
    lane_reads, lane_indels = tally.rows.by_lane(shard.num_windows * blocks * LANES_PER_BLOCK)
    windows = np.lib.stride_tricks.sliding_window_view(reference, grid.positions)[:: grid.reference_length]
    return ShardPlanes(
        shard,
        grid,
        contig_length,
        np.ascontiguousarray(windows),
        base=planes["base"],
        base_quality=planes["base_quality"],
        reads=lane_reads,
        indels=lane_indels,
        candidates=candidates,
        read_counts=_count_reads(reads, tally.without_lane, *grid.core(shard, contig_length)),
    )


def _count_reads(reads: IntervalReads, without_lane: np.ndarray, core_start: int, core_stop: int) -> dict[str, int]:
    """Reads that start in the core by what became of them, so that each read of a contig is counted in one shard."""
    counts = reads.counts.copy()
    lost = reads.alignment_start[without_lane]
    number = np.count_nonzero((lost >= core_start) & (lost < core_stop))
    counts[USED] -= number
    counts[LANE_OVERFLOW] += number
    return {name: int(count) for name, count in zip(SET_ASIDE, counts, strict=True)}


class _Room(NamedTuple):
    """What the reads of a shard need at most.

    Attributes:
        deepest: Lanes.
        indels: Indels of single reads.
        inserted: Their inserted bases.
        lane_reads: Reads, one counted in each window that it touches; likewise the other two.
        lane_indels: Indels.
        lane_inserted: Their inserted bases.
    """

    deepest: int
    indels: int
    inserted: int
    lane_reads: int
    lane_indels: int
    lane_inserted: int


@numba.njit(cache=True, nogil=True)
def _measure(raw, offset, start, end, first, windows, reference_length, halo):
    """The fields of ``_Room``."""
    columns = windows * reference_length + 2 * halo
    change = np.zeros(columns + 1, np.int32)
    indels = 0
    inserted = 0
    lane_reads = 0
    lane_indels = 0
    lane_inserted = 0
    for read in range(offset.size):
        begin = max(start[read] - first, 0)
        stop = min(end[read] - first, columns)
        change[begin] += 1
        change[stop] -= 1
        lowest = max((begin - 2 * halo) // reference_length, 0)
        highest = min((stop - 1) // reference_length, windows - 1)
        touched = max(highest - lowest + 1, 0)
        lane_reads += touched
        record = offset[read]
        cigar = record + 32 + np.int64(raw[record + 8])
        for operation in range(little_endian_16(raw, record + 12)):
            kind, run = cigar_operation(raw, cigar, operation)
            if kind == CIGAR_I:
                indels += 1
                inserted += run
                lane_indels += touched
                lane_inserted += touched * run
            elif kind == CIGAR_D:
                indels += 1
                lane_indels += touched
    deepest = 0
    depth = 0
    for column in range(columns):
        depth += change[column]
        deepest = max(deepest, depth)
    return min(deepest, MAX_LANES), indels, inserted, lane_reads, lane_indels, lane_inserted
