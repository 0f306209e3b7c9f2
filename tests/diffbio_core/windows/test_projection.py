"""How a read's CIGAR becomes cells of a lane, and what the reads of a shard are counted to show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.candidates.discovery import MIN_BASE_QUALITY, MIN_MAPPING_QUALITY, IndelEvents
from diffbio_core.windows.encoding import (
    CODE_MASK,
    CODE_OF_ASCII,
    DELETED,
    DELETION_FOLLOWS,
    INSERTION_FOLLOWS,
    MISSING_QUALITY,
    N_BASE,
    NO_READ,
    READ_START,
    REVERSE_STRAND,
    UNKNOWN_MAPPING_QUALITY,
)
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.lanes import LaneRows
from diffbio_core.windows.packing import shard_interval
from diffbio_core.windows.planes import LANES_PER_BLOCK, PlaneBuffers, ShardPlanes
from diffbio_core.windows.projection import Planes, Tally, project_reads
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, dense_planes, pack, shard_codes, write_bam
from tests.random_reads import random_reads, random_reference

GRID = WindowGrid(256, 192, 3)
A, C, G, T = range(4)


def row(planes, lane=0):
    """What lies under one lane of the only window: position -> (code, quality, mapping quality, indel)."""
    halo = planes.grid.halo
    base, *others = (plane[0, lane] for plane in dense_planes(planes))
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


def test_of_two_indels_at_one_place_the_cell_shows_the_first(planes_of):
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


def test_indels_of_any_length_are_told_with_what_they_insert(planes_of):
    planes = planes_of(Sam(10, "3M200D3M"), Sam(300, "3M200I3M", "ACG" + "ACGT" * 50 + "ACG"))
    assert indels(planes) == {12: -200, 302: 200}
    assert planes.indels.sequence_start.tolist() == [0, 0, 200]
    assert planes.indels.sequence.tolist() == [A, C, G, T] * 50


def test_both_of_two_indels_at_one_place_stand_in_the_table(planes_of):
    planes = planes_of(Sam(100, "3M2I3D3M", "ACGTTACG"))
    cell = planes.plane("base")[0, 0, 102 + planes.grid.halo]
    assert cell & (INSERTION_FOLLOWS | DELETION_FOLLOWS) == INSERTION_FOLLOWS
    assert (planes.indels.length.tolist(), planes.indels.sequence.tolist()) == ([2, -3], [T, T])


def test_missing_base_qualities_are_thirty(planes_of):
    assert {cell[1] for cell in row(planes_of(Sam(100, "4M1D4M", "ACGTACGT", "*"))).values()} == {MISSING_QUALITY}


def test_a_mapping_quality_of_zero_stays_and_255_is_unknown(planes_of):
    planes = planes_of(Sam(100, mapping_quality=0, name="a"), Sam(100, mapping_quality=255, name="b"))
    assert row(planes, 0)[100][2] == 0
    assert row(planes, 1)[100][2] == UNKNOWN_MAPPING_QUALITY


def test_reads_at_both_ends_of_a_contig_are_whole(planes_of):
    planes = planes_of(Sam(0, "5M"), Sam(507, "5M"))
    assert list(row(planes)) == [0, 1, 2, 3, 4, 507, 508, 509, 510, 511]


def test_reads_that_touch_share_a_lane(planes_of):
    planes = planes_of(Sam(100, "5M", name="a"), Sam(105, "5M", name="b"))
    base = planes.plane("base")[0, 0, 356:366]
    assert np.flatnonzero(base & READ_START).tolist() == [0, 5]


def test_where_mates_overlap_the_better_base_is_used(planes_of):
    first = Sam(100, "10M", "AAAAAAAANA", "IIIIIIII##", flag=0x41, mate=106)
    second = Sam(106, "10M", "CAGTCCCCCC", "II5+IIIIII", flag=0x81, mate=100)
    planes = planes_of(first, second)
    cells = row(planes)
    # Two that differ at one quality, two that agree, an N against a base, a worse base against a better one.
    assert [cells[at][:2] for at in range(106, 110)] == [(N_BASE, 0), (A, 40), (G, 20), (T, 8)]
    assert [cells[at][:2] for at in range(100, 106)] == [(A, 40)] * 6
    assert [cells[at][:2] for at in range(110, 116)] == [(C, 40)] * 6
    assert np.count_nonzero(planes.plane("base")[0, 1:] != NO_READ) == 0


@pytest.mark.parametrize(("quality", "used"), [("I", "the first"), ("#", "the second")])
def test_of_mates_with_different_indels_one_is_used_alone(planes_of, quality, used):
    first = Sam(100, "10M", "A" * 10, quality * 10, flag=0x41, mate=104)
    second = Sam(104, "2M2D8M", "C" * 10, "I" * 10, flag=0x81, mate=100)
    planes = planes_of(first, second)
    if used == "the first":
        expected = {**dict.fromkeys(range(100, 110), A), **dict.fromkeys(range(110, 116), C)}
    else:
        expected = {**dict.fromkeys(range(100, 104), A), **dict.fromkeys(range(104, 116), C), 106: 5, 107: 5}
    assert codes(planes) == expected
    assert indels(planes) == ({} if used == "the first" else {105: -2})


def test_a_mate_within_the_other_gives_its_better_bases(planes_of):
    planes = planes_of(
        Sam(100, "10M", "A" * 10, "#" * 10, flag=0x41, mate=102), Sam(102, "4M", "CCCC", "IIII", flag=0x81, mate=100)
    )
    assert codes(planes) == {**dict.fromkeys(range(100, 110), A), **dict.fromkeys(range(102, 106), C)}


def test_the_sign_of_the_references_base_is_that_base(tmp_path):
    reference = "ACGTTGCA" * 64
    reads = [Sam(100, "3S5M2I5M2D4M", "===" + "==T==" + "==" + "=====" + "===="), Sam(300, "5M", "====A", name="odd")]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": 512})) as reader:
        (planes,) = pack(reader, reference, WindowGrid(512, 256, 1))
    found = codes(planes)
    expected = {at: "ACGTN".index(reference[at]) for at in (*range(100, 110), *range(112, 116), *range(300, 305))}
    assert found == expected | {102: T, 110: DELETED, 111: DELETED, 304: A}
    assert planes.indels.sequence.tolist() == [N_BASE, N_BASE]


def test_an_indel_right_behind_a_skipped_region_stands_where_the_read_has_a_base(tmp_path):
    reference = "ACGTTGCA" * 12 + "GATTTTTTCA" + "ACGTTGCA" * 50
    read = [Sam(80, "5M13N3M1D7M", reference[80:85] + reference[98:101] + reference[102:109], name=n) for n in "ab"]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", read, {"c1": len(reference)})) as reader:
        (planes,) = pack(reader, reference, WindowGrid(512, 256, 1))
    assert (planes.candidates.column - 256).tolist() == [98]
    assert planes.candidates.length.tolist() == [-1]


class Projected:
    """Reads of a shard on planes of one block, or of as many as are asked for."""

    def __init__(self, reads, reference, shard, blocks=1):
        self.reads, self.reference, self.shard = reads, reference, shard
        columns = reference.size
        self.first = shard.first_window * GRID.reference_length - GRID.halo
        self.planes = Planes(**PlaneBuffers().take(blocks, shard.num_windows, GRID.positions))
        self.tally = Tally(
            np.zeros((columns, 4), np.uint16),
            np.zeros(columns + 1, np.int32),
            IndelEvents.empty(10_000),
            np.empty(100_000, np.uint8),
            np.zeros(len(reads), np.bool_),
            LaneRows.room(30_000, 30_000, 300_000),
        )
        self.events = project_reads(
            reads.raw, reads.offset, reads.start, reads.end, reads.mate, reads.rank, reference, self.first,
            GRID.reference_length, GRID.halo, self.planes, self.tally,
        )  # fmt: skip
        self.packed = ShardPlanes(
            shard, GRID, 2000, np.zeros((shard.num_windows, GRID.positions), np.uint8), *self.planes,
            *self.tally.rows.by_lane(shard.num_windows * blocks * LANES_PER_BLOCK), None,
        )  # fmt: skip

    def lanes(self, window):
        """Planes of a window, each (lane, position): base, base quality, mapping quality, indel."""
        return [plane[window] for plane in dense_planes(self.packed)]


@pytest.fixture(scope="module")
def projected(tmp_path_factory):
    """Projects random reads, shard by shard."""

    def make(seed, number=100, **more):
        random = np.random.default_rng(seed)
        reference = random_reference(random, 2000)
        reads = random_reads(random, reference, number)
        bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", reads, {"c1": 2000})
        codes = CODE_OF_ASCII[np.frombuffer(reference.encode(), np.uint8)]
        with AlignmentReader(bam) as reader:
            for shard in GRID.shards("c1", 2000, [(0, 2000)]):
                found = reader.read(shard_interval(shard, GRID, 2000, 0))
                yield Projected(found, shard_codes(codes, shard, GRID), shard, **more)

    return make


LAW = settings(max_examples=10, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


@LAW
@given(seed=SEEDS)
def test_a_read_takes_the_first_free_lane_of_every_window_that_it_touches(projected, seed):
    reads_seen = 0
    for shard in projected(seed):
        for window in range(shard.shard.num_windows):
            origin = shard.first + window * GRID.reference_length
            owner = np.full((LANES_PER_BLOCK, GRID.positions), -1)
            free_from = [-(2**31)] * LANES_PER_BLOCK
            for read, (start, end) in enumerate(zip(shard.reads.start - origin, shard.reads.end - origin, strict=True)):
                if start < GRID.positions and end > 0:
                    lane = next(lane for lane, free in enumerate(free_from) if free <= start)
                    free_from[lane] = end
                    owner[lane, max(start, 0) : end] = read
            base = shard.lanes(window)[0]
            held = base & CODE_MASK != NO_READ
            readers, first_cells = np.unique(np.where(held, owner, len(shard.reads)), return_index=True)
            expected = np.zeros(base.size, bool)
            expected[first_cells[readers < len(shard.reads)]] = True
            assert (owner[held] >= 0).all()
            np.testing.assert_array_equal((held & (base & READ_START != 0)).ravel(), expected)
            rows = shard.packed.reads
            at = slice(rows.first[window * LANES_PER_BLOCK], rows.first[(window + 1) * LANES_PER_BLOCK])
            np.testing.assert_array_equal(rows.column[at], np.flatnonzero(expected) % GRID.positions)
            reads_seen += expected.sum()
    assert reads_seen > 100


@LAW
@given(seed=SEEDS)
def test_windows_hold_the_same_cells_where_they_overlap(projected, seed):
    step = GRID.reference_length
    for shard in projected(seed):
        for window in range(1, shard.shard.num_windows):
            before, after = shard.lanes(window - 1), shard.lanes(window)
            # A read that starts before a window starts anew in it, and there its rank stands, too.
            before[0], after[0] = (base & np.uint8(CODE_MASK | REVERSE_STRAND) for base in (before[0], after[0]))
            for left, right in zip(before, after, strict=True):
                np.testing.assert_array_equal(np.sort(left[:, step:], axis=0), np.sort(right[:, :-step], axis=0))


@LAW
@given(seed=SEEDS)
def test_mismatches_are_counted_from_the_good_bases_of_the_cores(projected, seed):
    total = 0
    for shard in projected(seed):
        expected = np.zeros(shard.tally.mismatches.shape, int)
        for window in range(shard.shard.num_windows):
            base, quality, mapping, _ = shard.lanes(window)
            for lane, column in np.argwhere(base & CODE_MASK < N_BASE):
                at = window * GRID.reference_length + column
                code = base[lane, column] & CODE_MASK
                inside = GRID.halo <= column < GRID.halo + GRID.reference_length
                good = quality[lane, column] >= MIN_BASE_QUALITY and mapping[lane, column] >= MIN_MAPPING_QUALITY
                if inside and good and code != shard.reference[at]:
                    expected[at, code] += 1
        np.testing.assert_array_equal(shard.tally.mismatches, expected)
        total += expected.sum()
    assert total > 50


@LAW
@given(seed=SEEDS)
def test_coverage_counts_the_reads_that_map_well_once_whatever_windows_they_touch(projected, seed):
    for shard in projected(seed):
        reads, expected = shard.reads, np.zeros(shard.reference.size, int)
        for offset, start, end in zip(reads.offset, reads.start - shard.first, reads.end - shard.first, strict=True):
            if reads.raw[offset + 9] >= MIN_MAPPING_QUALITY:
                expected[max(start, 0) : end] += 1
        np.testing.assert_array_equal(np.cumsum(shard.tally.coverage_change)[:-1], expected)


def test_reads_that_find_no_lane_are_noted_and_leave_no_trace(projected, tmp_path):
    reads = [Sam(300, "20M", name="amplicon1", flag=16 * (number % 2)) for number in range(40)]
    bam = write_bam(tmp_path / "deep.bam", reads, {"c1": 700})
    with AlignmentReader(bam) as reader:
        (shard,) = GRID.shards("c1", 700, [(0, 700)])
        found = reader.read(shard_interval(shard, GRID, 700, 0))
    deep = Projected(found, np.zeros(3 * 256 + 2 * 192, np.uint8), shard)

    assert np.flatnonzero(deep.tally.without_lane).tolist() == list(range(32, 40))
    assert deep.tally.mismatches[192 + 301].tolist() == [0, 32, 0, 0]
    assert deep.tally.coverage_change[192 + 300] == 40
