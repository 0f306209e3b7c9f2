"""Tables of a shard as arrays, and back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.store.tables import TABLES, table_arrays, tables_of
from tests.alignments import pack, write_bam
from tests.random_reads import random_reads, random_reference

GRID = WindowGrid(256, 192, 8)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_tables_of_any_windows_come_back(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 2000)
    reads = random_reads(random, reference, 60)
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", [*reads, *reads], {"c1": 2000})
    with AlignmentReader(bam) as reader:
        (planes,) = pack(reader, reference, GRID)
    first, last = sorted(random.choice(9, 2, replace=False).tolist())
    arrays = table_arrays(planes)

    found = tables_of(arrays, planes.num_lanes, first, last)

    assert arrays.keys() == TABLES.keys()
    lanes = planes.num_lanes
    wanted = planes.reads.lanes(first * lanes, last * lanes), planes.indels.lanes(first * lanes, last * lanes)
    for one, other in zip(found, wanted, strict=False):
        for name, values in vars(other).items():
            np.testing.assert_array_equal(getattr(one, name), values, err_msg=name)
            assert getattr(one, name).dtype == values.dtype
    table, part = planes.candidates, found[2]
    inside = np.flatnonzero((table.window >= first) & (table.window < last))
    np.testing.assert_array_equal(part.window, table.window[inside] - first)
    for number, candidate in enumerate(inside):
        for starts, values in (("support_start", "support_lane"), ("sequence_start", "sequence")):
            own, whole = getattr(part, starts), getattr(table, starts)
            np.testing.assert_array_equal(
                getattr(part, values)[own[number] : own[number + 1]],
                getattr(table, values)[whole[candidate] : whole[candidate + 1]],
            )
    for name in ("column", "length", "code"):
        np.testing.assert_array_equal(getattr(part, name), getattr(table, name)[inside])
        assert getattr(part, name).dtype == getattr(table, name).dtype
