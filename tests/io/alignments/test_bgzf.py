"""Decompression of BGZF blocks."""

import io
import struct
import zlib

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_io.alignments.bgzf import CorruptBlock, read_blocks

EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def block(data: bytes, *, before: bytes = b"") -> bytes:
    """One BGZF block; ``before`` goes before its BC subfield."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    extra = len(before) + 6
    size = 12 + extra + len(packed) + 8
    header = struct.pack("<4BI2BH", 31, 139, 8, 4, 0, 0, 255, extra) + before + struct.pack("<2sHH", b"BC", 2, size - 1)
    return header + packed + struct.pack("<II", zlib.crc32(data), len(data))


def contents(data: bytes, offset: int = 0) -> bytes:
    return b"".join(read_blocks(io.BytesIO(data), offset))


def test_blocks_that_htslib_wrote_are_read_back(tmp_path):
    data = np.random.default_rng(1).integers(0, 4, 3_000_000, dtype=np.uint8).tobytes()
    with pysam.BGZFile(str(tmp_path / "x.gz"), "wb") as file:
        file.write(data)
    with open(tmp_path / "x.gz", "rb") as file:
        assert b"".join(read_blocks(file, 0)) == data


def test_reading_starts_at_the_virtual_offset():
    first = block(b"abc")
    data = first + block(b"defgh") + EOF_BLOCK
    assert contents(data, len(first) << 16 | 2) == b"fgh"


def test_an_offset_at_a_blocks_end_gives_what_follows():
    assert contents(block(b"abc") + block(b"de"), 3) == b"de"


def test_other_subfields_are_passed_over():
    assert contents(block(b"abc", before=struct.pack("<2sH3s", b"XY", 3, b"123"))) == b"abc"


def test_a_block_of_the_largest_size_is_read():
    data = np.random.default_rng(2).integers(0, 256, 65_280, dtype=np.uint8).tobytes()
    assert contents(block(data) * 40) == data * 40


@pytest.mark.parametrize("length", [1, 17, 27, 40])
def test_a_block_that_is_cut_off_is_told_with_its_place(length):
    whole = block(b"abc" * 10)
    with pytest.raises(CorruptBlock, match=f"block at byte {len(whole)} is cut off"):
        contents(whole + block(b"x" * 100)[: min(length, len(block(b"x" * 100)) - 1)])


def test_bytes_that_are_no_block_are_told():
    with pytest.raises(CorruptBlock, match="no BGZF block starts at byte 0"):
        contents(b"GATTACA" * 10)


def test_a_plain_gzip_file_is_no_bgzf():
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    with pytest.raises(CorruptBlock, match="no BGZF block starts at byte 0"):
        contents(packer.compress(b"abc" * 20) + packer.flush())


def test_a_block_smaller_than_its_header_is_told():
    damaged = bytearray(block(b"abc"))
    struct.pack_into("<H", damaged, 16, 3)
    with pytest.raises(CorruptBlock, match="no BGZF block starts at byte 0"):
        contents(bytes(damaged))


def test_a_changed_byte_fails_the_checksum():
    damaged = bytearray(block(bytes(range(256))))
    damaged[60] ^= 1
    with pytest.raises(CorruptBlock, match="block at byte 0"):
        contents(bytes(damaged))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_damage_is_never_read_as_something_else(data):
    text = bytes(range(200)) * 3
    whole = bytearray(block(text) + block(text[::-1]) + EOF_BLOCK)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = contents(bytes(whole))
    except CorruptBlock:
        return
    assert found == text + text[::-1]


def test_corrupt_block_is_a_value_error():
    assert issubclass(CorruptBlock, ValueError)


def test_a_file_that_ends_before_the_offset_is_told_and_one_that_ends_there_is_not():
    data = block(b"ACGT")
    assert contents(data, len(data) << 16) == b""
    with pytest.raises(CorruptBlock, match=f"the file ends before byte {len(data) + 1}"):
        contents(data, (len(data) + 1) << 16)
