"""The frame of a CRAM file: its containers and its header (CRAM 3.1 specification, sections 6 to 8; also 2.1)."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

_FILE_DEFINITION = 26
_LONGEST_HEADER = 1 << 16  # bytes; a container's landmarks are few
_UNPACK: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    lambda data: zlib.decompress(data, 47),
    bz2.decompress,
    lzma.decompress,
)


class CramError(ValueError):
    """What lies at a place of a file is no part of CRAM."""


@dataclass(frozen=True)
class Container:
    """One container.

    Attributes:
        reference_id: Contig of its reads; -1 for unmapped ones, -2 for several contigs.
        start: Byte of the file at which its blocks start.
        stop: Byte after its last block: where the next container starts.
    """

    reference_id: int
    start: int
    stop: int


def read_container(file: BinaryIO, offset: int) -> Container:
    """The container that starts at a byte of the file.

    Raises:
        CramError: None does.
    """
    file.seek(4)
    major = int.from_bytes(file.read(1), "little")
    file.seek(offset)
    fields = _Fields(file.read(_LONGEST_HEADER))
    (length,) = struct.unpack("<i", fields.take(4))
    reference_id = fields.itf8()
    for _ in range(3):  # start, span, records
        fields.itf8()
    if major >= 3:
        fields.ltf8()
    else:
        fields.itf8()
    fields.ltf8()
    fields.itf8()
    for _ in range(fields.itf8()):
        fields.itf8()
    header = fields.at
    if major >= 3:
        (checksum,) = struct.unpack("<I", fields.take(4))
        if zlib.crc32(fields.data[:header]) != checksum:
            raise CramError(f"no container starts at byte {offset}")
    if length < 0:
        raise CramError(f"no container starts at byte {offset}")
    return Container(reference_id, offset + fields.at, offset + fields.at + length)


def first_container(file: BinaryIO) -> int:
    """Byte at which the first container after the header starts.

    Raises:
        CramError: The file holds no header that can be read.
    """
    return read_container(file, _FILE_DEFINITION).stop


def read_header_text(file: BinaryIO) -> bytes:
    """Text of the header.

    Raises:
        CramError: The file holds no header that can be read.
    """
    container = read_container(file, _FILE_DEFINITION)
    file.seek(container.start)
    fields = _Fields(file.read(container.stop - container.start))
    method, _ = fields.take(2)
    fields.itf8()
    packed, _ = fields.itf8(), fields.itf8()
    if method >= len(_UNPACK):
        raise CramError(f"its header is packed by method {method}")
    try:
        data = _UNPACK[method](fields.take(packed))
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        raise CramError(f"its header cannot be unpacked ({error})") from None
    length = int.from_bytes(data[:4], "little")
    return data[4 : 4 + length]


class _Fields:
    """Numbers of variable length, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        """The next bytes."""
        taken = self.data[self.at : self.at + length]
        if length < 0 or len(taken) < length:
            raise CramError("it is cut off")
        self.at += length
        return taken

    def itf8(self) -> int:
        """The next number of up to 32 bits; the leading ones of its first byte count the bytes after it."""
        first = self.take(1)[0]
        more = min(4, 8 - (first ^ 0xFF).bit_length())
        if more == 4:
            rest = self.take(4)
            value = (first & 0x0F) << 28 | int.from_bytes(rest[:3], "big") << 4 | rest[3] & 0x0F
        else:
            value = (first & 0x7F >> more) << 8 * more | int.from_bytes(self.take(more), "big")
        return value - (1 << 32) if value >> 31 else value

    def ltf8(self) -> int:
        """The next number of up to 64 bits, in the same way."""
        first = self.take(1)[0]
        more = 8 - (first ^ 0xFF).bit_length()
        return (first & 0x7F >> more) << 8 * more | int.from_bytes(self.take(more), "big")
