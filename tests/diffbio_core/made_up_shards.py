"""Shards whose candidates are made up, for tests of what comes after ingest."""

from __future__ import annotations

import numpy as np

from diffbio_core.candidates.discovery import CandidateTable
from diffbio_core.windows.encoding import BASES
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.lanes import LaneIndels, LaneReads
from diffbio_core.windows.planes import PlaneBuffers, ShardPlanes

GRID = WindowGrid(reference_length=256, halo=192, windows_per_shard=2)
REFERENCE = ("ACGTTGCAAC" * 90)[: 2 * 256 + 2 * 192]


def shard_with(alleles):
    """A shard whose candidates are (position, length, new bases), by position on the contig."""
    alleles = sorted(alleles, key=lambda allele: (allele[0], allele[1]))
    window = [position // 256 for position, _, _ in alleles]
    inserted = [new if length > 0 else "" for _, length, new in alleles]
    codes = np.array([BASES.index(base) for base in REFERENCE], np.uint8)
    table = CandidateTable(
        np.array(window, np.int16),
        np.array([p - w * 256 + GRID.halo for (p, _, _), w in zip(alleles, window, strict=True)], np.int16),
        np.array([length for _, length, _ in alleles], np.int32),
        np.array([BASES.index(new) if length == 0 else 4 for _, length, new in alleles], np.uint8),
        np.zeros(len(alleles), np.int32),
        np.zeros(len(alleles) + 1, np.int32),
        np.cumsum([0, *map(len, inserted)]).astype(np.int32),
        np.empty(0, np.uint8),
        np.array([BASES.index(base) for base in "".join(inserted)], np.uint8),
    )
    windows = np.stack([codes[: GRID.positions], codes[256 : 256 + GRID.positions]])
    nothing = PlaneBuffers().take(0, 2, GRID.positions)
    tables = LaneReads.none(0), LaneIndels.none(0)
    return ShardPlanes(Shard("c", 0, 0, 2), GRID, 512, windows, *nothing.values(), *tables, table)


def base(position, length=1):
    """Reference bases from a position of the contig on."""
    return REFERENCE[position + GRID.halo : position + GRID.halo + length]
