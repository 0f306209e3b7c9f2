"""A shard's candidates in the store's ragged arrays."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.candidates.discovery import CandidateTable
from diffbio_io.store.candidate_arrays import read_candidates, write_candidates
from diffbio_io.store.layout import CANDIDATE_COLUMNS, RAGGED_CHUNK

WINDOWS = 3


def store(windows=2 * WINDOWS, width=5 * RAGGED_CHUNK):
    """Arrays of two shards in memory, whose cells hold rubbish."""
    arrays = {}
    for name in (*CANDIDATE_COLUMNS, "support_lane", "inserted_base"):
        kind = CANDIDATE_COLUMNS.get(name, ("uint8",))[0]
        arrays[name] = zarr.full((windows, width), 77, chunks=(WINDOWS, RAGGED_CHUNK), dtype=kind)
    return arrays | {"candidates": zarr.full((windows,), 77, chunks=(WINDOWS,), dtype="int32")}


def table(number, seed=0, longest=30):
    """Candidates in random windows, a third of each kind."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest + 1, number) * random.integers(-1, 2, number)
    supports = np.where(lengths == 0, 0, random.integers(0, 5, number))
    inserted = np.maximum(lengths, 0)
    return CandidateTable(
        np.sort(random.integers(0, WINDOWS, number)).astype(np.int32),
        random.integers(0, 5000, number).astype(np.int32),
        lengths.astype(np.int32),
        random.integers(0, 5, number).astype(np.uint8),
        random.integers(0, 900, number).astype(np.int32),
        np.concatenate([[0], np.cumsum(supports)]).astype(np.int32),
        np.concatenate([[0], np.cumsum(inserted)]).astype(np.int32),
        random.integers(0, 256, supports.sum()).astype(np.uint8),
        random.integers(0, 5, inserted.sum()).astype(np.uint8),
    )


def assert_same(one, other):
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)
        assert values.dtype == getattr(other, name).dtype


@given(st.integers(0, 40), st.integers(0, 2**20))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_what_is_read_is_what_was_written(number, seed):
    arrays, written = store(), table(number, seed)
    rows = slice(WINDOWS, 2 * WINDOWS)

    longest = write_candidates(arrays, rows, written, WINDOWS)

    assert_same(read_candidates(arrays, rows, longest), written)


def test_a_run_of_more_candidates_than_a_chunk_holds_goes_on_in_the_next():
    arrays, written = store(), table(3 * RAGGED_CHUNK + 7, longest=2)
    longest = write_candidates(arrays, slice(0, WINDOWS), written, WINDOWS)

    assert longest["candidate"] == np.bincount(written.window).max() > RAGGED_CHUNK
    assert_same(read_candidates(arrays, slice(0, WINDOWS), longest), written)


def test_the_longest_run_of_a_window_is_told_for_each_table():
    written = CandidateTable(
        np.array([0, 2, 2, 2], np.int32), np.array([9, 1, 2, 3], np.int32), np.array([3, 0, -4, 1], np.int32),
        np.array([4, 1, 4, 4], np.uint8), np.zeros(4, np.int32),
        np.array([0, 2, 2, 5, 6], np.int32), np.array([0, 3, 3, 3, 4], np.int32),
        np.arange(6, dtype=np.uint8), np.arange(4, dtype=np.uint8),
    )  # fmt: skip
    arrays = store()

    longest = write_candidates(arrays, slice(0, 3), written, 3)

    assert longest == {"candidate": 3, "support_lane": 4, "inserted_base": 3}
    assert arrays["candidates"][:3].tolist() == [1, 0, 3]
    assert arrays["candidate_length"][2, :3].tolist() == [0, -4, 1]
    assert arrays["support_lane"][2, :4].tolist() == [2, 3, 4, 5]
    assert arrays["inserted_base"][0, :3].tolist() == [0, 1, 2]


def test_some_windows_of_a_shard_are_read_alone():
    arrays, written = store(), table(30, 5)
    longest = write_candidates(arrays, slice(0, WINDOWS), written, WINDOWS)
    inside = np.flatnonzero(written.window == 1)

    part = read_candidates(arrays, slice(1, 2), longest)

    assert part.window.tolist() == [0] * inside.size
    np.testing.assert_array_equal(part.column, written.column[inside])
    start, stop = written.support_start[inside[0]], written.support_start[inside[-1] + 1]
    np.testing.assert_array_equal(part.support_lane, written.support_lane[start:stop])


@pytest.mark.parametrize("number", [0, 20])
def test_the_neighbour_s_cells_stay_as_they_are(number):
    arrays = store()
    write_candidates(arrays, slice(0, WINDOWS), table(number), WINDOWS)

    assert all((array[WINDOWS:] == 77).all() for array in arrays.values())
