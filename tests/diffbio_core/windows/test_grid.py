"""The grid of windows and shards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.windows.grid import MIN_HALO, Shard, WindowGrid


def test_a_halo_too_short_for_candidate_views_is_refused():
    with pytest.raises(ValueError, match=f"halo must lie between {MIN_HALO}"):
        WindowGrid(4096, MIN_HALO - 1)


def test_a_halo_longer_than_a_window_is_refused():
    with pytest.raises(ValueError, match="reference_length"):
        WindowGrid(256, 257)


@pytest.mark.parametrize("lengths", [(0, 0, 1), (-1, 256, 1), (4096, 256, 0)])
def test_lengths_that_are_not_positive_are_refused(lengths):
    with pytest.raises(ValueError, match="got"):
        WindowGrid(*lengths)


def test_a_region_gets_the_windows_that_it_touches():
    grid = WindowGrid(1000, 200, 4)
    assert list(grid.shards("c", 10_500, [(999, 1001), (4500, 4501), (10_000, 99_999)])) == [
        Shard("c", 0, 0, 2),
        Shard("c", 1, 4, 5),
        Shard("c", 2, 10, 11),
    ]


def test_windows_beside_an_interval_are_taken_in_the_shards_that_it_touches():
    grid = WindowGrid(1000, 200, 4)
    assert list(grid.shards("c", 10_500, [(1100, 1101), (4050, 4100), (7950, 7999)], 200)) == [
        Shard("c", 0, 0, 2),
        Shard("c", 1, 4, 8),
    ]
    assert list(grid.shards("c", 2500, [(2100, 2500)], 200)) == [Shard("c", 0, 1, 3)]


def test_an_interval_outside_the_contig_gets_no_shard():
    assert list(WindowGrid(1000, 200, 4).shards("c", 500, [(500, 600), (-10, 0)])) == []


def test_the_core_of_the_last_shard_ends_with_the_contig():
    grid = WindowGrid(1000, 200, 4)
    assert grid.core(Shard("c", 2, 8, 11), 10_500) == (8000, 10_500)


@given(
    length=st.integers(1, 20_000),
    window=st.integers(MIN_HALO, 3000),
    windows_per_shard=st.integers(1, 9),
)
def test_cores_of_a_contigs_shards_cover_it_once(length, window, windows_per_shard):
    grid = WindowGrid(window, MIN_HALO, windows_per_shard)
    cores = [grid.core(shard, length) for shard in grid.shards("c", length, [(0, length)])]
    assert [start for start, _ in cores] == [0, *(stop for _, stop in cores[:-1])]
    assert cores[-1][1] == length
