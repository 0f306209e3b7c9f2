"""The planes of a shard's windows, held in blocks of lanes that are also the chunks of the store."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int8, UInt8

from diffbio_core.candidates.discovery import CandidateTable
from diffbio_core.windows.encoding import PLANES
from diffbio_core.windows.grid import Shard, WindowGrid

LANES_PER_BLOCK = 32
"""Lanes that are allocated, cleared and stored together."""

MAX_LANES = 256
"""Lanes of a window: reads that may overlap one position."""


@dataclass
class ShardPlanes:
    """Planes, reference and candidates of the windows of one shard.

    A plane is an array (blocks, windows, ``LANES_PER_BLOCK``, positions): a block is contiguous, so it is stored as one
    chunk without a copy, and lanes that no read needs take no memory. ``plane`` gives the plain (window, lane,
    position) form.

    Attributes:
        shard: Which windows these are.
        grid: The grid that the shard belongs to.
        contig_length: Length of the contig (bp).
        reference: Base codes under each window.
        base: Blocks of the plane ``base``; likewise the other three (see ``encoding``).
        candidates: Alleles that the reads propose.
        read_counts: Reads by what became of them.
    """

    shard: Shard
    grid: WindowGrid
    contig_length: int
    reference: UInt8[np.ndarray, "windows positions"]
    base: UInt8[np.ndarray, "blocks windows lanes positions"]
    base_quality: UInt8[np.ndarray, "blocks windows lanes positions"]
    mapping_quality: UInt8[np.ndarray, "blocks windows lanes positions"]
    indel: Int8[np.ndarray, "blocks windows lanes positions"]
    candidates: CandidateTable
    read_counts: dict[str, int] = field(default_factory=dict)

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
        self._held: dict[str, np.ndarray] = {}
        self._shape: tuple[int, int] | None = None

    def take(self, blocks: int, windows: int, positions: int) -> dict[str, np.ndarray]:
        """Cleared planes, each (blocks, windows, ``LANES_PER_BLOCK``, positions)."""
        if self._shape != (windows, positions):
            # Pages are taken from the system only when touched, so the unused blocks at the end cost nothing.
            shape = MAX_LANES // LANES_PER_BLOCK, windows, LANES_PER_BLOCK, positions
            self._held = {name: np.empty(shape, kind) for name, (kind, _) in PLANES.items()}
            self._shape = windows, positions
        planes = {name: held[:blocks] for name, held in self._held.items()}
        for name, (_, fill) in PLANES.items():
            planes[name].fill(fill)
        return planes
