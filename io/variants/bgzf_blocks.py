"""Bytes as BGZF blocks (SAM specification 4.1): the blocks of several pieces, one after another, are those of all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

LEVEL = 6

END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block by which a reader knows that a file is whole."""

# As many as htslib puts into one, so that it fits 64 KiB however badly it compresses.
_MOST = 0xFF00
_HEAD = struct.Struct("<4BI2BHBBHH")


def bgzf_blocks(content: bytes) -> bytes:
    """The blocks of some bytes, without the block that ends a file."""
    return b"".join(_blocks(content))


def _blocks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _MOST):
        piece = content[start : start + _MOST]
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -15)
        packed = packer.compress(piece) + packer.flush()
        size = _HEAD.size + len(packed) + 8
        yield _HEAD.pack(31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, size - 1)
        yield packed
        yield struct.pack("<II", zlib.crc32(piece), len(piece))
