"""Bulk decompression of BGZF blocks from a virtual offset on (SAM specification 4.1)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from isal import isal_zlib

_HEADER = struct.Struct("<4BI2BH")
_READ_AHEAD = 1 << 20


class CorruptBlock(ValueError):
    """A BGZF block that cannot be decompressed, or whose checksum differs."""


def read_blocks(file: BinaryIO, virtual_offset: int, read_ahead: int = _READ_AHEAD) -> Iterator[bytes]:
    """Uncompressed contents of the blocks from a virtual offset to the end of the file.

    Args:
        file: BGZF file, opened for reading bytes.
        virtual_offset: Offset of the block in the file << 16, plus the offset within its uncompressed contents.
        read_ahead: Bytes of the file that are read at once.

    Raises:
        CorruptBlock: A block is cut off, is no BGZF block, or fails its checksum, or the file ends before the offset.
    """
    at = virtual_offset >> 16
    skip = virtual_offset & 0xFFFF
    if file.seek(0, os.SEEK_END) < at:
        raise CorruptBlock(f"the file ends before byte {at}")
    file.seek(at)
    held = b""
    start = 0
    while True:
        if len(held) - start < 1 << 16:
            more = file.read(read_ahead)
            held, start = held[start:] + more, 0
            if not held:
                return
        size = _block_size(held, start, at)
        if start + size > len(held):
            raise CorruptBlock(f"the block at byte {at} is cut off")
        checksum, length = struct.unpack_from("<II", held, start + size - 8)
        extra = struct.unpack_from("<H", held, start + 10)[0]
        try:
            data = isal_zlib.decompress(memoryview(held)[start + 12 + extra : start + size - 8], -15, max(length, 1))
        except isal_zlib.error as error:  # pyright: ignore[reportGeneralTypeIssues]  (its stub says an instance)
            raise CorruptBlock(f"the block at byte {at} cannot be decompressed: {error}") from None
        if len(data) != length or isal_zlib.crc32(data) != checksum:
            raise CorruptBlock(f"the block at byte {at} fails its checksum")
        if skip > length:
            raise CorruptBlock(f"the block at byte {at} ends before byte {skip} of its contents")
        yield data[skip:] if skip else data
        skip = 0
        start += size
        at += size


def _block_size(held: bytes, start: int, at: int) -> int:
    """Size of a whole block, from the BC subfield of its header."""
    if len(held) - start < 18:
        raise CorruptBlock(f"the block at byte {at} is cut off")
    magic_1, magic_2, method, flags, _, _, _, extra = _HEADER.unpack_from(held, start)
    if (magic_1, magic_2, method) != (31, 139, 8) or not flags & 4:
        raise CorruptBlock(f"no BGZF block starts at byte {at}")
    field = start + 12
    end = field + extra
    while field + 4 <= min(end, len(held)):
        length = struct.unpack_from("<H", held, field + 2)[0]
        if held[field : field + 2] == b"BC" and length == 2 and field + 6 <= len(held):
            size = struct.unpack_from("<H", held, field + 4)[0] + 1
            if size < 12 + extra + 8:
                break
            return size
        field += 4 + length
    raise CorruptBlock(f"no BGZF block starts at byte {at}")
