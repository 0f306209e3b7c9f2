"""Planes of reads against samtools' pileup, and the laws that hold for packing."""

from collections import Counter

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.reads.records import SET_ASIDE
from diffbio_core.reads.thinning import IntervalReads
from diffbio_core.windows.encoding import (
    CODE_MASK,
    NO_READ,
    READ_START,
)
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_core.windows.planes import MAX_LANES
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, all_core_cells, beside_homopolymers, core_cells, pack, pileup_cells, write_bam
from tests.random_reads import random_reads, random_reference

GRIDS = (WindowGrid(256, 192, 3), WindowGrid(512, 256, 2), WindowGrid(1024, 512, 8))


def test_a_read_past_the_contigs_end_proposes_no_candidate_there(planes_of):
    reads = [Sam(500, "8M6D8M", "TGCAACGTGGGGGGGG", name=name) for name in "abc"]
    planes = planes_of(*reads)
    assert np.flatnonzero(planes.plane("base")[0, 0] & CODE_MASK != NO_READ).max() - 256 == 521
    assert len(planes.candidates) == 0


def test_a_place_without_reads_has_no_lanes(planes_of):
    planes = planes_of()
    assert planes.num_lanes == 0
    assert planes.base.shape == (0, 1, 32, 1024)
    assert len(planes.candidates) == 0


def test_a_reference_of_another_length_is_refused():
    shard, grid = Shard("c1", 0, 0, 2), WindowGrid(256, 192, 2)
    none = IntervalReads.none(shard_interval(shard, grid, 512, 0))
    with pytest.raises(ValueError, match=r"must hold 896 bases for shard c1\.000000, got 5"):
        pack_shard(none, np.zeros(5, np.uint8), shard, grid, 512)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_planes_hold_what_samtools_piles_up_in_windows_of_any_length(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 2500)
    reads = random_reads(random, reference, 100)
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", reads, {"c1": 2500, "c2": 9})
    wanted = {position: cells for position, cells in pileup_cells(bam).items() if position < 2500}
    assert sum(cells.total() for cells in wanted.values()) > 2000
    for grid in GRIDS:
        with AlignmentReader(bam) as reader:
            found = all_core_cells(pack(reader, reference, grid))
        assert beside_homopolymers(found, reference) == beside_homopolymers(wanted, reference)


def test_reads_past_the_last_lane_are_counted(planes_of):
    # One name for all, and one that thinning keeps.
    planes = planes_of(*(Sam(100, name="amplicon1") for _ in range(300)))
    assert planes.num_lanes == MAX_LANES
    assert planes.read_counts["used"] == np.count_nonzero(planes.plane("base")[0, :, 356] & CODE_MASK != NO_READ)
    assert planes.read_counts["used"] == MAX_LANES
    assert planes.read_counts["lane_overflow"] == 44


def test_deep_places_are_thinned_alike_in_windows_of_any_length(tmp_path):
    random = np.random.default_rng(9)
    reference = random_reference(random, 2500)
    reads = random_reads(random, reference, 60)
    for number in range(1500):
        start = int(random.integers(900, 1400))
        reads.append(Sam(start, "60M", reference[start : start + 60].upper().replace("R", "N"), name=f"d{number}"))
    bam = write_bam(tmp_path / "reads.bam", reads, {"c1": 2500})
    with AlignmentReader(bam) as reader:
        first, *more = (all_core_cells(pack(reader, reference, grid)) for grid in GRIDS)
    deepest = max(cells.total() for cells in first.values())
    assert 120 < deepest <= MAX_LANES
    assert all(found == first for found in more)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_shard_called_in_parts_has_the_cells_of_the_whole(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 3000)
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", random_reads(random, reference, 100), {"c1": 3000})
    grid = WindowGrid(256, 192, 6)
    start = int(random.integers(0, 2900))
    region = start, start + int(random.integers(1, 600))
    with AlignmentReader(bam) as reader:
        whole = all_core_cells(pack(reader, reference, grid))
        part = {}
        for planes in pack(reader, reference, grid, region):
            cells = core_cells(planes)
            low, high = grid.core(planes.shard, len(reference))
            assert cells == {position: found for position, found in whole.items() if low <= position < high}
            part |= cells
    asked = range(region[0], min(region[1], 3000))
    assert {at: part[at] for at in asked if at in part} == {at: whole[at] for at in asked if at in whole}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_read_is_counted_in_one_shard_under_what_became_of_it(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 2500)
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", random_reads(random, reference, 100), {"c1": 2500})
    with AlignmentReader(bam) as reader, pysam.AlignmentFile(str(bam)) as file:
        shards = list(pack(reader, reference, GRIDS[0]))
        records = list(file)
    counts = {name: sum(planes.read_counts[name] for planes in shards) for name in SET_ASIDE}
    assert sum(counts.values()) == len(records)
    reasons = {0x4: "unmapped", 0x100: "secondary", 0x800: "supplementary", 0x200: "qc_fail", 0x400: "duplicate"}
    first = Counter(next((name for bit, name in reasons.items() if record.flag & bit), "") for record in records)
    assert {name: counts[name] for name in reasons.values()} == {name: first[name] for name in reasons.values()}
    assert counts["no_sequence"] == sum(not record.flag & 0xF04 and not record.query_sequence for record in records)
    assert counts["malformed"] == counts["lane_overflow"] == counts["thinned"] == 0


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_read_appears_once_in_each_window_that_it_touches(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 2500)
    reads = random_reads(random, reference, 100, mates=False)
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", reads, {"c1": 2500})
    with AlignmentReader(bam) as reader, pysam.AlignmentFile(str(bam)) as file:
        used = [record for record in file if not record.flag & 0xF04 and record.query_sequence]
        columns = [_columns(record) for record in used]
        for planes in pack(reader, reference, GRIDS[1]):
            base = planes.plane("base")
            starts = (base & CODE_MASK != NO_READ) & (base & READ_START != 0)
            for window, marks in enumerate(starts):
                origin = (planes.shard.first_window + window) * 512 - 256
                assert marks.sum() == sum(any(origin <= at < origin + 1024 for at in held) for held in columns)


def _columns(record):
    """Positions that a read covers with a base or a deletion behind its first base."""
    held, at, aligned = [], record.reference_start, False
    for kind, run in record.cigartuples:
        if kind in (0, 7, 8):
            aligned = True
        if kind in (0, 7, 8) or (kind == 2 and aligned):
            held += range(at, at + run)
        at += run if kind in (0, 2, 3, 7, 8) else 0
    return held
