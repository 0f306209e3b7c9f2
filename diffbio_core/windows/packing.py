"""Reads -> lanes -> planes: projects every read through its CIGAR onto the columns of the windows that it touches."""

from __future__ import annotations

import numba
import numpy as np
from jaxtyping import UInt8

from diffbio_core.windows.candidates import MIN_BASE_QUALITY, MIN_MAPPING_QUALITY, IndelEvents, find_candidates
from diffbio_core.windows.encoding import (
    CODE_OF_NIBBLE,
    DELETED,
    MAX_INDEL,
    MISSING_QUALITY,
    N_BASE,
    READ_START,
    REVERSE_STRAND,
)
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.planes import LANES_PER_BLOCK, MAX_LANES, PlaneBuffers, ShardPlanes
from diffbio_core.windows.records import (
    CIGAR_D,
    CIGAR_EQ,
    CIGAR_I,
    CIGAR_M,
    CIGAR_N,
    CIGAR_S,
    CIGAR_X,
    LANE_OVERFLOW,
    USED,
    little_endian_16,
    little_endian_32,
    scan_records,
)


def pack_shard(
    raw: UInt8[np.ndarray, "bytes"],
    reference_id: int,
    reference: UInt8[np.ndarray, "columns"],
    shard: Shard,
    grid: WindowGrid,
    contig_length: int,
    buffers: PlaneBuffers | None = None,
) -> ShardPlanes:
    """Planes and candidate alleles of a shard from the raw BAM records that overlap it.

    Reads that do not overlap share a lane: each takes the first that is free at its start, in order of start. A read's
    skipped region (CIGAR ``N``) is columns without a read that no other read of the lane may take.

    Args:
        raw: Concatenated BAM records that overlap the shard's windows, halo included, in file order.
        reference_id: The contig's number in the BAM header.
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
    table = scan_records(raw, reference_id, first, first + columns)
    used = np.flatnonzero(table.fate == USED)
    used = used[np.argsort(table.start[used], kind="stable")]
    deepest, events_number, inserted_bases = _measure(raw, table.offset, table.start, table.end, used, first, columns)
    planes = (buffers or PlaneBuffers()).take(-(-deepest // LANES_PER_BLOCK), shard.num_windows, grid.positions)
    mismatches = np.zeros((columns, 4), np.uint16)
    coverage = np.zeros(columns + 1, np.int32)
    events = IndelEvents.empty(events_number)
    inserted = np.empty(inserted_bases, np.uint8)
    found = _project(
        raw,
        table.offset,
        table.start,
        table.end,
        table.fate,
        used,
        reference,
        first,
        grid.reference_length,
        grid.halo,
        planes["base"],
        planes["base_quality"],
        planes["mapping_quality"],
        planes["indel"],
        mismatches,
        coverage,
        *events.columns(),
        inserted,
    )
    candidates = find_candidates(
        reference, mismatches, np.cumsum(coverage[:-1]), events.first(found), inserted, shard, grid, contig_length
    )
    windows = np.lib.stride_tricks.sliding_window_view(reference, grid.positions)[:: grid.reference_length]
    return ShardPlanes(
        shard,
        grid,
        contig_length,
        np.ascontiguousarray(windows),
        candidates=candidates,
        read_counts=table.counts(),
        **planes,
    )


@numba.njit(cache=True)
def _measure(raw, offset, start, end, used, first, columns):
    """Deepest place, at most the lanes there are; number of indels; number of inserted bases."""
    change = np.zeros(columns + 1, np.int32)
    indels = 0
    inserted = 0
    for read in used:
        change[max(start[read] - first, 0)] += 1
        change[min(end[read] - first, columns)] -= 1
        record = offset[read]
        cigar = record + 32 + np.int64(raw[record + 8])
        for operation in range(little_endian_16(raw, record + 12)):
            value = little_endian_32(raw, cigar + 4 * operation)
            kind = value & 15
            if kind == CIGAR_I or kind == CIGAR_D:
                indels += 1
                if kind == CIGAR_I:
                    inserted += value >> 4
    deepest = 0
    depth = 0
    for column in range(columns):
        depth += change[column]
        deepest = max(deepest, depth)
    return min(deepest, MAX_LANES), indels, inserted


@numba.njit(cache=True)
def _project(
    raw,
    offset,
    start,
    end,
    fate,
    used,
    reference,
    first,
    reference_length,
    halo,
    base,
    base_quality,
    mapping_quality,
    indel,
    mismatches,
    coverage,
    event_window,
    event_lane,
    event_column,
    event_length,
    event_hash,
    event_offset,
    event_counts,
    inserted,
):
    """Fill the planes and list indels, each in the window whose core holds its leftmost anchor; returns their number."""
    windows = base.shape[1]
    positions = base.shape[3]
    lanes = base.shape[0] * LANES_PER_BLOCK
    lane_end = np.full((windows, lanes), -(2**31), np.int64)
    events = 0
    inserted_size = 0
    for read in used:
        record = offset[read]
        begin = np.int64(start[read]) - first
        stop = np.int64(end[read]) - first
        position = little_endian_32(raw, record + 4) - first
        quality = raw[record + 9]
        flag = little_endian_16(raw, record + 14)
        length = little_endian_32(raw, record + 16)
        operations = little_endian_16(raw, record + 12)
        cigar = record + 32 + np.int64(raw[record + 8])
        sequence = cigar + 4 * operations
        phred = sequence + (length + 1) // 2
        # SAM specification 4.2: 0xFF in every place where qualities are missing.
        no_quality = raw[phred] == 255
        strand = np.uint8(REVERSE_STRAND if flag & 16 else 0)
        counts = quality >= MIN_MAPPING_QUALITY
        if counts:
            coverage[min(max(begin, 0), coverage.size - 1)] += 1
            coverage[min(stop, coverage.size - 1)] -= 1
        window_low = max((begin - 2 * halo) // reference_length, 0)
        window_high = min((stop - 1) // reference_length, windows - 1)
        for window in range(window_low, window_high + 1):
            origin = window * reference_length
            if stop <= origin or begin >= origin + positions:
                continue
            lane = -1
            for free in range(lanes):
                if lane_end[window, free] <= begin:
                    lane = free
                    break
            if lane < 0:
                fate[read] = LANE_OVERFLOW
                continue
            lane_end[window, lane] = stop
            block = lane // LANES_PER_BLOCK
            row = lane % LANES_PER_BLOCK
            bases = base[block, window, row]
            qualities = base_quality[block, window, row]
            mapping = mapping_quality[block, window, row]
            indels = indel[block, window, row]
            # From here on, columns are the window's own.
            clip = max(begin - origin, 0)
            column = position - origin
            query = np.int64(0)
            mark = np.uint8(READ_START)
            aligned = False
            for operation in range(operations):
                value = little_endian_32(raw, cigar + 4 * operation) & np.int64(0xFFFFFFFF)
                kind = value & 15
                run = value >> 4
                if kind == CIGAR_M or kind == CIGAR_EQ or kind == CIGAR_X:
                    low = max(np.int64(0), clip - column)
                    high = min(run, positions - column)
                    for step in range(low, high):
                        at = query + step
                        pair = raw[sequence + (at >> 1)]
                        code = CODE_OF_NIBBLE[(pair >> np.uint8(4)) if (at & 1) == 0 else (pair & np.uint8(15))]
                        here = column + step
                        phred_here = np.uint8(MISSING_QUALITY) if no_quality else raw[phred + at]
                        bases[here] = code | mark | strand
                        mark = np.uint8(0)
                        qualities[here] = phred_here
                        mapping[here] = quality
                        if code != reference[origin + here] and code < N_BASE and phred_here >= MIN_BASE_QUALITY:
                            if counts and halo <= here < halo + reference_length:
                                mismatches[origin + here, code] += np.uint16(1)
                    column += run
                    query += run
                    aligned = True
                elif kind == CIGAR_I or kind == CIGAR_D:
                    anchor = column - 1
                    signed = run if kind == CIGAR_I else -run
                    if clip <= anchor < positions and bases[anchor] & 7 <= DELETED:
                        indels[anchor] = np.int8(min(max(signed, -MAX_INDEL), MAX_INDEL))
                        # Shifted to its leftmost place within this stretch of the read, as VCF writes it.
                        shift = np.int64(0)
                        while anchor - shift > clip:
                            there = anchor - shift
                            code = reference[origin + there]
                            if code >= N_BASE or bases[there] & 7 != code or indels[there - 1] != 0:
                                break
                            if kind == CIGAR_D:
                                if origin + there + run >= reference.size or reference[origin + there + run] != code:
                                    break
                            elif _query_code(raw, sequence, query - shift + run - 1) != code:
                                break
                            shift += 1
                        left = anchor - shift
                        if halo <= left < halo + reference_length:
                            hashed = np.uint64(14695981039346656037)
                            event_offset[events] = inserted_size
                            if kind == CIGAR_I:
                                for step in range(run):
                                    code = _query_code(raw, sequence, query - shift + step)
                                    inserted[inserted_size] = code
                                    inserted_size += 1
                                    hashed = (hashed ^ np.uint64(code)) * np.uint64(1099511628211)
                            event_window[events] = window
                            event_lane[events] = lane
                            event_column[events] = left
                            event_length[events] = signed
                            event_hash[events] = hashed
                            event_counts[events] = counts
                            events += 1
                    if kind == CIGAR_I:
                        query += run
                    else:
                        # A read starts with a base: a deletion before its first base is no column of the read.
                        if aligned:
                            before = np.uint8(MISSING_QUALITY) if no_quality else raw[phred + query - 1]
                            for here in range(max(column, clip), min(column + run, positions)):
                                bases[here] = np.uint8(DELETED) | mark | strand
                                mark = np.uint8(0)
                                qualities[here] = before
                                mapping[here] = quality
                        column += run
                elif kind == CIGAR_N:
                    column += run
                elif kind == CIGAR_S:
                    query += run
    return events


@numba.njit(cache=True, inline="always")
def _query_code(raw, sequence, at):
    pair = raw[sequence + (at >> 1)]
    return CODE_OF_NIBBLE[(pair >> np.uint8(4)) if (at & 1) == 0 else (pair & np.uint8(15))]
