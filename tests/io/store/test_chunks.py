"""Chunks as they are written, against zarr itself."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec, ZstdCodec

from diffbio_core.windows.grid import WindowGrid
from diffbio_io.store.chunks import DamagedChunk, PlaneLayout, crc32c, pack_array, unpack_array

LAYOUT = PlaneLayout(windows_per_shard=6, windows=2, positions=8)


def plane(folder):
    """An array of zarr's own, of two shards of LAYOUT."""
    return zarr.create_array(
        folder, shape=(12, 256, 8), chunks=(2, 32, 8), shards=(6, 256, 8), dtype="uint8", fill_value=7,
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
    )  # fmt: skip


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1), first=st.integers(0, 5), windows=st.integers(1, 6), blocks=st.integers(1, 3),
    read_first=st.integers(0, 5), read_windows=st.integers(1, 6),
)  # fmt: skip
def test_zarr_reads_what_is_packed_and_so_do_we(
    tmp_path_factory, seed, first, windows, blocks, read_first, read_windows
):
    random = np.random.default_rng(seed)
    windows, read_windows = min(windows, 6 - first), min(read_windows, 6 - read_first)
    cells = random.integers(0, 256, (blocks, windows, 32, 8)).astype(np.uint8)
    rows = random.integers(0, 2, (windows, blocks))
    cells[rows.T == 0] = 7
    folder = tmp_path_factory.mktemp("zarr")
    array = plane(folder)
    data = LAYOUT.pack(cells, first, 7, rows)
    (folder / "c/1/0").mkdir(parents=True)
    (folder / "c/1/0/0").write_bytes(data)

    wanted = np.full((12, 256, 8), 7, np.uint8)
    wanted[6 + first : 6 + first + windows, : 32 * blocks] = cells.transpose(1, 0, 2, 3).reshape(windows, -1, 8)
    np.testing.assert_array_equal(array[:], wanted)
    found = np.zeros((blocks, read_windows, 32, 8), np.uint8)
    LAYOUT.unpack(data, found, read_first, 7)
    part = wanted[6 + read_first : 6 + read_first + read_windows, : 32 * blocks]
    np.testing.assert_array_equal(found.transpose(1, 0, 2, 3).reshape(read_windows, -1, 8), part)


def test_we_read_what_zarr_packs(tmp_path):
    cells = np.random.default_rng(1).integers(0, 256, (6, 256, 8)).astype(np.uint8)
    plane(tmp_path)[:6] = cells
    found = np.zeros((8, 6, 32, 8), np.uint8)
    LAYOUT.unpack((tmp_path / "c/0/0/0").read_bytes(), found, 0, 7)
    np.testing.assert_array_equal(found.transpose(1, 0, 2, 3).reshape(6, 256, 8), cells)


def test_a_table_is_one_frame_with_its_checksum(tmp_path):
    values = np.arange(1000, dtype=np.int32).reshape(4, 250)
    array = zarr.create_array(
        tmp_path, shape=(4, 250), chunks=(4, 250), dtype="int32", compressors=[ZstdCodec(level=1), Crc32cCodec()]
    )
    (tmp_path / "c/0").mkdir(parents=True)
    (tmp_path / "c/0/0").write_bytes(pack_array(values))
    np.testing.assert_array_equal(array[:], values)
    found = np.empty_like(values)
    unpack_array(pack_array(values), found)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("at", [0, -1, None])
def test_an_altered_frame_is_told(at):
    data = bytearray(pack_array(np.arange(99)))
    if at is None:
        del data[:-3]
    else:
        data[at] ^= 1
    with pytest.raises(DamagedChunk, match="a checksum differs"):
        unpack_array(bytes(data), np.empty(99, np.int64))


def test_an_altered_index_is_told():
    data = bytearray(LAYOUT.pack(np.zeros((1, 6, 32, 8), np.uint8), 0, 7, np.ones((6, 1))))
    data[-9] ^= 1
    for damaged in (data, data[-20:]):
        with pytest.raises(DamagedChunk, match="its index is damaged"):
            LAYOUT.unpack(bytes(damaged), np.empty((1, 6, 32, 8), np.uint8), 0, 7)


def test_an_inner_chunk_is_about_a_megabyte_and_parts_a_shard_evenly():
    assert PlaneLayout.of(WindowGrid()).inner_shape == (8, 32, 4608)
    assert PlaneLayout.of(WindowGrid(65_536, 256, 4)).inner_shape == (1, 32, 66_048)
    assert PlaneLayout.of(WindowGrid(512, 256, 15)).inner_shape == (15, 32, 1024)


def test_the_checksum_is_castagnoli_s():
    assert crc32c(b"123456789") == 0xE3069283
