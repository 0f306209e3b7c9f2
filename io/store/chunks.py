"""Chunks of a window store as Zarr v3 writes them, without its cost per chunk: what is read back here, Zarr reads too.

A chunk of a table is one Zstandard frame and its CRC-32C (codecs ``bytes``, ``zstd``, ``crc32c``). A plane's chunk is a
Zarr shard (codec ``sharding_indexed``): such frames one after the other, and at the end an index of their offsets and
sizes with a CRC-32C of its own. What is all fill is left out of it, so lanes that no read needs cost nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c
import numpy as np
from numcodecs.zstd import compress, decompress

from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.planes import LANES_PER_BLOCK, MAX_LANES

LEVEL = 1
"""Of Zstandard. Higher ones take longer than they save."""

_INNER_BYTES = 1_250_000
_ABSENT = 2**64 - 1
_CRC = struct.Struct("<I")


class DamagedChunk(ValueError):
    """Bytes that are not what was written."""


def crc32c(data: bytes | memoryview) -> int:
    """CRC-32C (Castagnoli) of some bytes, as Zarr's codec of that name has it."""
    return google_crc32c.value(bytes(data))


def pack_array(values: np.ndarray) -> bytes:
    """The chunk of an array that is one chunk."""
    frame = compress(np.ascontiguousarray(values), LEVEL)
    return bytes(frame) + _CRC.pack(crc32c(frame))


def unpack_array(data: bytes, out: np.ndarray) -> None:
    """Read such a chunk into an array of its shape and type.

    Raises:
        DamagedChunk: It is not such a chunk.
    """
    _unpack(memoryview(data), out)


def _unpack(data: memoryview, out: np.ndarray) -> None:
    frame = data[: -_CRC.size]
    if len(data) <= _CRC.size or _CRC.unpack(data[-_CRC.size :])[0] != crc32c(frame):
        raise DamagedChunk("a checksum differs")
    try:
        decompress(frame, out)
    except (RuntimeError, ValueError) as error:
        raise DamagedChunk(f"it cannot be decompressed: {error}") from error


@dataclass(frozen=True)
class PlaneLayout:
    """How a shard's plane is cut: inner chunks of some windows and one block of lanes each.

    Attributes:
        windows_per_shard: Windows of a shard.
        windows: Windows of an inner chunk.
        positions: Columns of a window.
    """

    windows_per_shard: int
    windows: int
    positions: int

    @classmethod
    def of(cls, grid: WindowGrid) -> PlaneLayout:
        """The layout of a grid: as many windows as make about a megabyte, so that few can be read alone."""
        fitting = max(1, _INNER_BYTES // (LANES_PER_BLOCK * grid.positions))
        windows = max(n for n in range(1, fitting + 1) if grid.windows_per_shard % n == 0)
        return cls(grid.windows_per_shard, windows, grid.positions)

    @property
    def inner_shape(self) -> tuple[int, int, int]:
        """Windows, lanes and positions of an inner chunk."""
        return self.windows, LANES_PER_BLOCK, self.positions

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Inner chunks along windows and along lanes."""
        return self.windows_per_shard // self.windows, MAX_LANES // LANES_PER_BLOCK

    def pack(self, blocks: np.ndarray, offset: int, fill: int, rows: np.ndarray) -> bytes:
        """The Zarr shard of a plane.

        Args:
            blocks: (blocks, windows, lanes of a block, positions) cells.
            offset: Windows of the shard before the first of them.
            fill: Value of a cell without a read.
            rows: (windows, blocks) number of reads there; where there is none, all is fill.
        """
        index = np.full((*self.grid_shape, 2), _ABSENT, "<u8")
        frames: list[bytes] = []
        at = 0
        for chunk, inside, outside in self._chunks(offset, blocks.shape[1]):
            for block in range(blocks.shape[0]):
                if not rows[outside, block].any():
                    continue
                cells = blocks[block, outside]
                if cells.shape[0] < self.windows:
                    whole = np.full(self.inner_shape, fill, blocks.dtype)
                    whole[inside] = cells
                    cells = whole
                frames.append(pack_array(cells))
                index[chunk, block] = at, len(frames[-1])
                at += len(frames[-1])
        tail = index.tobytes()
        return b"".join([*frames, tail, _CRC.pack(crc32c(tail))])

    def unpack(self, data: bytes, blocks: np.ndarray, offset: int, fill: int) -> None:
        """Read some windows of a Zarr shard of a plane; those that it lacks become fill.

        Args:
            data: The shard.
            blocks: (blocks, windows, lanes of a block, positions) to be filled.
            offset: Windows of the shard before the first of them.
            fill: Value of a cell without a read.

        Raises:
            DamagedChunk: It is not such a shard.
        """
        view = memoryview(data)
        size = 16 * self.grid_shape[0] * self.grid_shape[1]
        tail = view[-size - _CRC.size : -_CRC.size]
        if len(tail) != size or _CRC.unpack(view[-_CRC.size :])[0] != crc32c(tail):
            raise DamagedChunk("its index is damaged")
        index = np.frombuffer(tail, "<u8").reshape(*self.grid_shape, 2)
        for chunk, inside, outside in self._chunks(offset, blocks.shape[1]):
            for block in range(blocks.shape[0]):
                at, length = map(int, index[chunk, block])
                cells = blocks[block, outside]
                if at == _ABSENT:
                    cells.fill(fill)
                elif cells.shape[0] == self.windows:
                    _unpack(view[at : at + length], cells)
                else:
                    whole = np.empty(self.inner_shape, blocks.dtype)
                    _unpack(view[at : at + length], whole)
                    cells[:] = whole[inside]

    def _chunks(self, offset: int, windows: int) -> Iterator[tuple[int, slice, slice]]:
        """Inner chunks that hold some of the windows: their number, and which of its and of our windows those are."""
        for chunk in range(offset // self.windows, -(-(offset + windows) // self.windows)):
            first = chunk * self.windows
            low, high = max(first, offset), min(first + self.windows, offset + windows)
            yield chunk, slice(low - first, high - first), slice(low - offset, high - offset)
