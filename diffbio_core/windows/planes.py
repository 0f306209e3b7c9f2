"""The planes of a shard's windows, held in blocks of lanes that are also the chunks of the store."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from diffbio_core.candidates.discovery import CandidateTable
from diffbio_core.reads.slippage import Slippage
from diffbio_core.windows.encoding import PLANES
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.lanes import LaneIndels, LaneReads

LANES_PER_BLOCK = 32
"""Lanes that are allocated, cleared and stored together."""

MAX_LANES = 256
"""Lanes of a window: reads that may overlap one position."""


@dataclass
class ShardPlanes:
    """Planes, tables, reference and candidates of the windows of one shard.

    A plane is an array (blocks, windows, ``LANES_PER_BLOCK``, positions): a block is contiguous, so it is stored as one
    chunk without a copy, and lanes that no read needs take no memory. ``plane`` gives the plain (window, lane,
    position) form.

    Attributes:
        shard: Which windows these are.
        grid: The grid that the shard belongs to.
        contig_length: Length of the contig (bp).
        reference: Base codes under each window.
        base: Blocks of the plane ``base`` (see ``encoding``).
        base_quality: Blocks of the plane ``base_quality``.
        reads: What is one number per read.
        indels: Indels of single reads.
        candidates: Alleles that the reads propose.
        read_counts: Reads by what became of them.
        slippage: Of the library that the reads are of.
    """

    shard: Shard
    grid: WindowGrid
    contig_length: int
    reference: UInt8[np.ndarray, "windows positions"]
    base: UInt8[np.ndarray, "blocks windows lanes positions"]
    base_quality: UInt8[np.ndarray, "blocks windows lanes positions"]
    reads: LaneReads
    indels: LaneIndels
    candidates: CandidateTable
    read_counts: dict[str, int] = field(default_factory=dict)
    slippage: Slippage = field(default_factory=Slippage)

    @property
    def num_lanes(self) -> int:
        """Lanes held: a multiple of ``LANES_PER_BLOCK``."""
        return LANES_PER_BLOCK * self.base.shape[0]

    def plane(self, name: str) -> np.ndarray:
        """One plane as a (window, lane, position) array."""
        blocks = getattr(self, name)
        return blocks.transpose(1, 0, 2, 3).reshape(blocks.shape[1], self.num_lanes, blocks.shape[3])


class PlaneBuffers:
    """Memory for the planes of one shard at a time, reused so that its pages are touched once per worker.

    What ``take`` hands out belongs to the taker until the next ``take``.
    """

    def __init__(self) -> None:
        self._held = {name: np.empty(0, kind) for name, (kind, _) in PLANES.items()}

    def take(self, blocks: int, windows: int, positions: int, *, clear: bool = True) -> dict[str, np.ndarray]:
        """Planes, each (blocks, windows, ``LANES_PER_BLOCK``, positions); cleared, unless each cell will be written."""
        shape = blocks, windows, LANES_PER_BLOCK, positions
        planes = {}
        for name, (kind, fill) in PLANES.items():
            if self._held[name].size < math.prod(shape):
                # Pages are taken from the system only when touched, so room for all lanes costs nothing.
                self._held[name] = np.empty(MAX_LANES * windows * positions, kind)
            planes[name] = self._held[name][: math.prod(shape)].reshape(shape)
            if clear:
                planes[name].fill(fill)
        return planes
