"""Packs damaged records in every way; run with NUMBA_BOUNDSCHECK=1, where an index out of bounds raises.

NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=folder python -m tests.diffbio_core.reads.corrupt_records rounds folder
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from diffbio_core.candidates.views import candidate_depth, cut_views
from diffbio_core.reads.records import MalformedRecords
from diffbio_core.reads.thinning import scan_pieces, scan_records
from diffbio_core.windows.encoding import CODE_OF_ASCII
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from tests.alignments import record_bytes, shard_codes, write_bam
from tests.random_reads import random_reads, random_reference

GRIDS = WindowGrid(256, 192, 3), WindowGrid(256, 256, 2), WindowGrid(4096, 256, 1)


def main() -> None:
    rounds, folder = int(sys.argv[1]), Path(sys.argv[2])
    number = refused = 0
    for seed in range(rounds):
        random = np.random.default_rng(seed)
        reference = random_reference(random, 1500)
        reads = random_reads(random, reference, int(random.choice([5, 40, 40, 900])))
        raw = record_bytes(write_bam(folder / "reads.bam", reads, {"c1": 1500}))
        for damage in range(12):
            number += 1
            try:
                _pack(
                    damaged(random, raw) if damage else raw, reference, GRIDS[damage % 3], 1500 if damage % 2 else 700
                )
            except MalformedRecords:
                refused += 1
    print(f"{number} packed, {refused} refused")


def damaged(random: np.random.Generator, raw: np.ndarray) -> np.ndarray:
    """Records with some bytes changed, most of them within the fixed fields and CIGARs, or cut, or all random."""
    raw = raw.copy()
    starts, at = [], 0
    while at < raw.size:
        starts.append(at)
        at += 4 + int(raw[at : at + 4].view("<i4")[0])
    kind = random.random()
    if kind < 0.1:
        return random.integers(0, 256, int(random.integers(0, 500)), dtype=np.uint8)
    if kind < 0.2:
        return raw[: int(random.integers(0, raw.size))]
    for _ in range(int(random.integers(1, 40))):
        place = int(random.choice(starts)) + int(random.integers(4, 90))
        if place < raw.size:
            raw[place] = random.integers(0, 256)
    if kind < 0.3:
        raw[int(random.choice(starts))] ^= int(random.integers(1, 256))
    return raw


def _pack(raw: np.ndarray, reference: str, grid: WindowGrid, contig_length: int) -> None:
    codes = CODE_OF_ASCII[np.frombuffer(reference[:contig_length].encode(), np.uint8)]
    for shard in grid.shards("c1", contig_length, [(0, contig_length)]):
        interval = shard_interval(shard, grid, contig_length, 0)
        scan_pieces(lambda: iter([raw]), interval)
        planes = pack_shard(scan_records(raw, interval), shard_codes(codes, shard, grid), shard, grid, contig_length)
        candidate_depth(planes, 1)
        cut_views(planes, np.arange(len(planes.candidates), dtype=np.int32), 256)


if __name__ == "__main__":
    main()
