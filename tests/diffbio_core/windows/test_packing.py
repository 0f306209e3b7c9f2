"""Planes of reads against samtools' pileup, and the laws that hold for packing."""

from collections import Counter

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.windows.encoding import (
    CODE_MASK,
    DELETED,
    MISSING_QUALITY,
    NO_READ,
    READ_START,
    REVERSE_STRAND,
    UNKNOWN_MAPPING_QUALITY,
)
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.packing import pack_shard
from diffbio_core.windows.planes import MAX_LANES
from diffbio_core.windows.records import SET_ASIDE
from diffbio_core.windows.thinning import IntervalReads
from diffbio_io.alignments import AlignmentReader
from tests.alignments import Sam, all_core_cells, core_cells, pack, pileup_cells, write_bam
from tests.random_reads import random_reads, random_reference

GRIDS = (WindowGrid(256, 192, 3), WindowGrid(512, 256, 2), WindowGrid(1024, 512, 8))
REFERENCE = "ACGTTGCA" * 64
A, C, G, T = range(4)


@pytest.fixture
def planes_of(tmp_path):
    """Packs reads on a contig of 512 bp, in one window."""

    def make(*reads, reference=REFERENCE):
        bam = write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)})
        with AlignmentReader(bam) as reader:
            (planes,) = pack(reader, reference, WindowGrid(512, 256, 1))
        return planes

    return make


def row(planes, lane=0):
    """What lies under one lane of the only window: position -> (code, quality, mapping quality, indel)."""
    halo = planes.grid.halo
    base, *others = (planes.plane(name)[0, lane] for name in ("base", "base_quality", "mapping_quality", "indel"))
    held = np.flatnonzero(base & CODE_MASK != NO_READ)
    return {int(at) - halo: (int(base[at]) & CODE_MASK, *(int(plane[at]) for plane in others)) for at in held}


def codes(planes, lane=0):
    return {position: cell[0] for position, cell in row(planes, lane).items()}


def indels(planes, lane=0):
    return {position: cell[3] for position, cell in row(planes, lane).items() if cell[3]}


def test_a_read_is_written_from_its_start_with_its_qualities(planes_of):
    planes = planes_of(Sam(100, "4M", "ACGN", "!+5?", mapping_quality=37))
    assert row(planes) == {100: (A, 0, 37, 0), 101: (C, 10, 37, 0), 102: (G, 20, 37, 0), 103: (4, 30, 37, 0)}


def test_only_the_first_column_of_a_read_is_marked(planes_of):
    base = planes_of(Sam(100, "3M2D3M")).plane("base")[0, 0]
    assert np.flatnonzero(base & READ_START & -(base & CODE_MASK != NO_READ).astype(np.uint8)).tolist() == [356]


def test_every_column_of_a_reverse_read_tells_its_strand(planes_of):
    base = planes_of(Sam(100, "2M1D2M", flag=16)).plane("base")[0, 0]
    assert np.flatnonzero((base & REVERSE_STRAND != 0) & (base & CODE_MASK != NO_READ)).tolist() == [
        356,
        357,
        358,
        359,
        360,
    ]


def test_soft_clipped_bases_are_passed_over_and_hard_clips_are_nothing(planes_of):
    assert codes(planes_of(Sam(100, "5H2S2M1S", "TTACT"))) == {100: A, 101: C}


def test_match_and_mismatch_operations_are_m(planes_of):
    assert codes(planes_of(Sam(100, "1=1X1M", "ACG"))) == {100: A, 101: C, 102: G}


def test_a_skipped_region_has_no_read_and_keeps_its_lane(planes_of):
    planes = planes_of(Sam(100, "2M6N2M", "ACGT", name="a"), Sam(104, "2M", "TT", name="b"))
    assert codes(planes, 0) == {100: A, 101: C, 108: G, 109: T}
    assert codes(planes, 1) == {104: T, 105: T}


def test_a_deleted_base_takes_the_quality_before_it(planes_of):
    assert row(planes_of(Sam(100, "2M2D1M", "ACG", "+5?"))) == {
        100: (A, 10, 60, 0),
        101: (C, 20, 60, -2),
        102: (DELETED, 20, 60, 0),
        103: (DELETED, 20, 60, 0),
        104: (G, 30, 60, 0),
    }


def test_an_insertion_is_told_on_the_column_before_it(planes_of):
    assert indels(planes_of(Sam(100, "3M4I3M"))) == {102: 4}


def test_a_leading_insertion_tells_nothing_and_a_trailing_one_does(planes_of):
    planes = planes_of(Sam(100, "3I4M2I"))
    assert list(row(planes)) == [100, 101, 102, 103]
    assert indels(planes) == {103: 2}


def test_a_leading_deletion_covers_nothing_and_a_trailing_one_does(planes_of):
    planes = planes_of(Sam(100, "3D2M2D"))
    assert list(row(planes)) == [103, 104, 105, 106]
    assert indels(planes) == {104: -2}


def test_of_two_indels_at_one_place_the_plane_shows_the_first(planes_of):
    assert indels(planes_of(Sam(100, "3M2I3D3M"))) == {102: 2}
    assert indels(planes_of(Sam(100, "3M3D2I3M"))) == {102: -3, 105: 2}


def test_padding_joins_the_insertions_around_it(planes_of):
    assert indels(planes_of(Sam(100, "3M1I1P2I3M"))) == {102: 3}


def test_operations_of_length_zero_are_nothing(planes_of):
    planes = planes_of(Sam(100, "0I0M2D3M0D2M0N1I0S2M", "ACGTAACC"))
    assert list(row(planes)) == [102, 103, 104, 105, 106, 107, 108]
    assert indels(planes) == {106: 1}


def test_an_indel_behind_a_skipped_region_tells_nothing(planes_of):
    planes = planes_of(Sam(100, "2M3N2D2M", name="a"), Sam(100, "2M3N2I2M", name="b"))
    assert codes(planes, 0) == {100: A, 101: C, 105: DELETED, 106: DELETED, 107: G, 108: T}
    assert indels(planes, 0) == indels(planes, 1) == {}


def test_an_indel_longer_than_the_plane_holds_is_clipped(planes_of):
    assert indels(planes_of(Sam(10, "3M200D3M"))) == {12: -120}
    assert indels(planes_of(Sam(10, "3M200I3M"))) == {12: 120}


def test_missing_base_qualities_are_thirty(planes_of):
    assert {cell[1] for cell in row(planes_of(Sam(100, "4M1D4M", "ACGTACGT", "*"))).values()} == {MISSING_QUALITY}


def test_a_mapping_quality_of_zero_stays_and_255_is_unknown(planes_of):
    planes = planes_of(Sam(100, mapping_quality=0, name="a"), Sam(100, mapping_quality=255, name="b"))
    assert row(planes, 0)[100][2] == 0
    assert row(planes, 1)[100][2] == UNKNOWN_MAPPING_QUALITY


def test_reads_at_both_ends_of_a_contig_are_whole(planes_of):
    planes = planes_of(Sam(0, "5M"), Sam(507, "5M"))
    assert list(row(planes)) == [0, 1, 2, 3, 4, 507, 508, 509, 510, 511]


def test_a_read_past_the_contigs_end_proposes_no_candidate_there(planes_of):
    reads = [Sam(500, "8M6D8M", "TGCAACGTGGGGGGGG", name=name) for name in "abc"]
    planes = planes_of(*reads)
    assert max(row(planes)) == 521
    assert len(planes.candidates) == 0


def test_a_place_without_reads_has_no_lanes(planes_of):
    planes = planes_of()
    assert planes.num_lanes == 0
    assert planes.base.shape == (0, 1, 32, 1024)
    assert len(planes.candidates) == 0


def test_reads_that_touch_share_a_lane(planes_of):
    planes = planes_of(Sam(100, "5M", name="a"), Sam(105, "5M", name="b"))
    base = planes.plane("base")[0, 0, 356:366]
    assert np.flatnonzero(base & READ_START).tolist() == [0, 5]


def test_where_mates_overlap_the_first_of_the_file_is_used(planes_of):
    first = Sam(100, "10M", "A" * 10, flag=0x41, mate=106)
    second = Sam(106, "10M", "C" * 10, flag=0x81, mate=100)
    planes = planes_of(first, second)
    assert codes(planes) == {**dict.fromkeys(range(100, 110), A), **dict.fromkeys(range(110, 116), C)}
    assert np.count_nonzero(planes.plane("base")[0, 1:] != NO_READ) == 0


def test_a_reference_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"must hold 896 bases for shard c1\.000000, got 5"):
        pack_shard(IntervalReads.none(), np.zeros(5, np.uint8), Shard("c1", 0, 0, 2), WindowGrid(256, 192, 2), 512)


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
            assert all_core_cells(pack(reader, reference, grid)) == wanted


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
