"""BAI and CSI indexes: where in a BAM file the reads of an interval start (SAM specification 5.2, CSIv1)."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class _ContigIndex:
    bins: dict[int, list[tuple[int, int]]]
    first_offset: dict[int, int]
    linear: np.ndarray


class BamIndex:
    """Index of one BAM file.

    Args:
        path: A ``.bai`` or ``.csi`` file.

    Raises:
        ValueError: The file is neither, or is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self._contigs: list[_ContigIndex] = []
        self.mapped: list[int | None] = []
        """Mapped reads per contig, where the index tells."""
        try:
            data = Path(path).read_bytes()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            if data[:4] not in (b"BAI\1", b"CSI\1"):
                raise ValueError(f"{path} is neither a BAI nor a CSI index")
            self._read(data, csi=data[:4] == b"CSI\1")
        except (struct.error, zlib.error, EOFError, OSError) as error:
            raise ValueError(f"{path} is cut off or damaged: {error}") from None

    def _read(self, data: bytes, *, csi: bool) -> None:
        self._min_shift, self._depth, at = 14, 5, 4
        if csi:
            self._min_shift, self._depth, auxiliary = struct.unpack_from("<3i", data, 4)
            if not (0 <= self._min_shift <= 31 and 0 <= self._depth <= 10 and auxiliary >= 0):
                raise ValueError("its header is damaged")
            at = 16 + auxiliary
        self._pseudo_bin = ((1 << 3 * (self._depth + 1)) - 1) // 7 + 1
        (number,) = struct.unpack_from("<i", data, at)
        at += 4
        for _ in range(number):
            at = self._read_contig(data, at, csi)

    def _read_contig(self, data: bytes, at: int, csi: bool) -> int:
        bins: dict[int, list[tuple[int, int]]] = {}
        first_offset: dict[int, int] = {}
        mapped: int | None = None
        (number,) = struct.unpack_from("<i", data, at)
        at += 4
        for _ in range(number):
            if csi:
                name, first, chunks = struct.unpack_from("<IQi", data, at)
                at += 16
                first_offset[name] = first
            else:
                name, chunks = struct.unpack_from("<Ii", data, at)
                at += 8
            offsets = struct.unpack_from(f"<{2 * chunks}Q", data, at)
            at += 16 * chunks
            if name == self._pseudo_bin:
                mapped = offsets[2] if chunks > 1 else None
            else:
                bins[name] = list(zip(offsets[::2], offsets[1::2], strict=True))
        linear = np.empty(0, np.uint64)
        if not csi:
            (intervals,) = struct.unpack_from("<i", data, at)
            at += 4
            linear = np.array(struct.unpack_from(f"<{intervals}Q", data, at), np.uint64)
            at += 8 * intervals
        first_offset.pop(self._pseudo_bin, None)
        self._contigs.append(_ContigIndex(bins, first_offset, linear))
        self.mapped.append(0 if mapped is None and not bins else mapped)
        return at

    @property
    def num_contigs(self) -> int:
        """Contigs that the index is of."""
        return len(self._contigs)

    def span(self, contig: int) -> tuple[int, int] | None:
        """Virtual offsets of a contig's first read and of what follows its last one; None where it has none."""
        chunks = [chunk for bin_chunks in self._contigs[contig].bins.values() for chunk in bin_chunks]
        return (min(begin for begin, _ in chunks), max(end for _, end in chunks)) if chunks else None

    def tiles(self, contig: int, size: int, length: int) -> np.ndarray:
        """Numbers of the pieces of ``size`` positions that may hold reads, in order; all that do are among them.

        Args:
            contig: The contig's number in the BAM header.
            size: Positions of a piece.
            length: Of the contig.
        """
        if contig >= len(self._contigs) or not self._contigs[contig].bins:
            return np.empty(0, np.int64)
        every = np.arange(-(-length // size))
        linear = self._contigs[contig].linear[: every.size]
        if not linear.size or size != 1 << self._min_shift:
            return every
        # Pieces without reads repeat the offset of the one before or behind them, as whoever wrote the index likes.
        differs = np.diff(linear, prepend=np.uint64(0)) != 0
        ends = np.append(differs[1:], True)
        return np.flatnonzero((differs | ends) & (linear > 0))

    def first_offset(self, contig: int, start: int, stop: int) -> int | None:
        """Virtual offset from which all reads of a contig that overlap [start, stop) follow; None where there are none.

        Args:
            contig: The contig's number in the BAM header.
            start: First position (0-based).
            stop: One past the last position.
        """
        if contig >= len(self._contigs):
            return None
        index = self._contigs[contig]
        lowest = self._lowest_offset(index, start)
        offsets = [
            max(begin, lowest)
            for name in self._overlapping_bins(start, stop, index.bins)
            for begin, end in index.bins[name]
            if end > lowest
        ]
        return min(offsets, default=None)

    def _lowest_offset(self, index: _ContigIndex, start: int) -> int:
        """Offset before which no read overlaps or follows ``start``."""
        if index.linear.size:
            return int(index.linear[min(start >> self._min_shift, index.linear.size - 1)])
        shift = self._min_shift
        for level in range(self._depth, -1, -1):
            name = ((1 << 3 * level) - 1) // 7 + (start >> shift)
            if name in index.first_offset:
                return index.first_offset[name]
            shift += 3
        return 0

    def _overlapping_bins(self, start: int, stop: int, bins: dict[int, list[tuple[int, int]]]) -> list[int]:
        found = []
        shift = self._min_shift + 3 * self._depth
        for level in range(self._depth + 1):
            base = ((1 << 3 * level) - 1) // 7
            low, high = base + (start >> shift), base + ((stop - 1) >> shift)
            if high - low > len(bins):
                found += [name for name in bins if low <= name <= high]
            else:
                found += [name for name in range(low, high + 1) if name in bins]
            shift -= 3
        return found
