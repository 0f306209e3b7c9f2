"""Positions of a shard by depth."""

from dataclasses import replace

from diffbio_core.windows.depths import count_depths
from diffbio_core.windows.encoding import DELETED, N_BASE
from diffbio_core.windows.planes import PlaneBuffers
from tests.diffbio_core.made_up_shards import GRID, shard_with


def test_positions_are_counted_by_the_reads_over_them():
    planes = replace(shard_with([]), **PlaneBuffers().take(1, 2, GRID.positions))
    assert count_depths(planes, [(0, 512)]).tolist() == [512]
    planes.base[0, 0, 0, GRID.halo + 10 : GRID.halo + 30] = 2
    planes.base[0, 0, 5, GRID.halo + 20 : GRID.halo + 40] = DELETED
    # In the halo of the second window, and in its core.
    planes.base[0, 1, 0, : GRID.halo + 1] = 0
    planes.reference[0, GRID.halo + 25] = N_BASE
    assert count_depths(planes, [(0, 512)]).tolist() == [512 - 31, 21, 9]
    assert count_depths(planes, [(0, 20), (28, 256)]).tolist() == [10 + 216, 10 + 10, 2]
    assert count_depths(planes, []).tolist() == []
