"""Views of candidates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.candidates.views import (
    DELETION_AFTER,
    DIFFERS,
    FLANK,
    INSERTION_AFTER,
    SUPPORTS,
    UNINFORMATIVE,
    candidate_depth,
    cut_views,
)
from diffbio_core.windows.encoding import BASES, DELETED, NO_READ
from diffbio_core.windows.grid import MIN_HALO, WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, pack, write_bam
from tests.random_reads import random_reads, random_reference

GRIDS = (WindowGrid(256, 192, 3), WindowGrid(512, 256, 2), WindowGrid(1024, 512, 8))
REFERENCE = "".join(np.random.default_rng(7).choice(list("ACGT"), 512))


@pytest.fixture
def views_of(tmp_path):
    """Views of all candidates of reads on a contig of one window."""

    def make(*reads, reference=REFERENCE):
        bam = write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)})
        with AlignmentReader(bam) as reader:
            (planes,) = pack(reader, reference, WindowGrid(512, 256, 1))
        return all_views(planes)

    return make


def all_views(planes, rows=128):
    return cut_views(planes, np.arange(len(planes.candidates), dtype=np.int32), rows)


def roles(views, view=0):
    """Role and strand of the rows that hold a read."""
    return sorted(divmod(int(group) - 1, 2) for group in views.group[view] if group)


def changed(start, length, position, **fields):
    """A read of the reference but for one base."""
    bases = list(REFERENCE[start : start + length])
    bases[position - start] = "ACGT"["ACGT".index(bases[position - start]) - 1]
    return Sam(start, f"{length}M", "".join(bases), **fields)


def plain(start, length, **fields):
    return Sam(start, f"{length}M", REFERENCE[start : start + length], **fields)


def test_rows_tell_who_shows_a_changed_base_and_on_which_strand(views_of):
    views = views_of(
        changed(100, 50, 120, name="a"), changed(100, 50, 120, name="b", flag=16), plain(110, 50, name="c", flag=16)
    )
    assert roles(views) == [(SUPPORTS, 0), (SUPPORTS, 1), (DIFFERS, 1)]
    assert views.length.tolist() == [0]
    assert views.tract.tolist() == [0]


def test_a_row_ends_where_its_read_does(views_of):
    views = views_of(changed(115, 10, 120, name="a"), changed(115, 10, 120, name="b"), plain(125, 30, name="c"))
    held = views.symbol[0] != NO_READ
    assert held.sum(1).tolist()[:3] == [10, 10, 0]
    assert np.flatnonzero(held[0]).tolist() == list(range(FLANK - 5, FLANK + 5))


def test_a_row_stops_at_a_skipped_region(views_of):
    bases = changed(100, 30, 120).sequence[:25] + REFERENCE[127:150]
    views = views_of(*(Sam(100, "25M2N23M", bases, name=name) for name in "ab"))
    assert np.flatnonzero(views.symbol[0, 0] != NO_READ).tolist() == list(range(FLANK + 5))


def test_the_allele_is_spelled_beside_the_reference(views_of):
    reference = REFERENCE[:120] + "AA" + REFERENCE[122:]
    sequence = reference[100:121] + "GT" + reference[121:150]
    views = views_of(*(Sam(100, "21M2I29M", sequence, name=name) for name in "ab"), reference=reference)
    assert spell(views.reference[0]) == reference[120 - FLANK : 121 + FLANK]
    assert spell(views.allele[0]) == reference[120 - FLANK : 121] + "GT" + reference[121 : 119 + FLANK]


def spell(codes):
    return "".join(BASES[code] for code in codes)


def test_deletions_and_insertions_are_marked_on_the_column_before_them(views_of):
    reads = [Sam(100, "21M3D29M", REFERENCE[100:121] + REFERENCE[124:153], name=name) for name in "ab"]
    views = views_of(*reads)
    symbol = views.symbol[0, 0]
    assert symbol[FLANK] & DELETION_AFTER
    assert (symbol[FLANK + 1 : FLANK + 4] == DELETED).all()
    assert not (symbol & INSERTION_AFTER)[symbol != NO_READ].any()


def test_a_read_that_ends_within_the_repeat_cannot_tell_an_indel(views_of):
    reference = REFERENCE[:200] + "G" + "T" * 10 + "G" + REFERENCE[212:]
    deleted = [Sam(180, "21M2D40M", reference[180:201] + reference[203:243], name=name) for name in "ab"]
    within = Sam(180, "29M", reference[180:209], name="c")
    past = Sam(180, "32M", reference[180:212], name="d")
    views = views_of(*deleted, within, past, reference=reference)
    assert views.tract.tolist() == [8]
    assert roles(views) == [(SUPPORTS, 0), (SUPPORTS, 0), (DIFFERS, 0), (UNINFORMATIVE, 0)]


@pytest.mark.parametrize("at_end", [False, True])
def test_a_read_that_reaches_the_contigs_end_does_not_stop_within_a_repeat(views_of, at_end):
    reference = REFERENCE[:500] + "G" + "T" * 11 if at_end else "T" * 11 + "G" + REFERENCE[12:]
    if at_end:
        inserted = [Sam(460, "41M1I11M", reference[460:501] + "T" + reference[501:], name=name) for name in "ab"]
        reads = (
            *inserted,
            Sam(460, "52M", reference[460:], name="whole"),
            Sam(460, "50M", reference[460:510], name="in"),
        )
    else:
        inserted = [Sam(0, "1M1I50M", "TT" + reference[1:51], name=name) for name in "ab"]
        reads = *inserted, Sam(0, "51M", reference[:51], name="whole")
    views = views_of(*reads, reference=reference)
    found = [role for role, _ in roles(views)]
    assert sorted(found) == sorted([SUPPORTS] * 2 + [DIFFERS] + [UNINFORMATIVE] * at_end)


@pytest.mark.parametrize(("reverse", "both"), [(0, True), (1, True), (2, False)])
def test_reads_of_one_strand_only_are_put_on_both(views_of, reverse, both):
    reads = [changed(100, 50, 120, name=f"r{n}", flag=16 * (n < reverse)) for n in range(16)]
    strands = [strand for _, strand in roles(views_of(*reads))]
    assert (4 <= sum(strands) <= 12) == both
    assert both or sum(strands) == reverse


def test_no_allele_is_proposed_where_the_reference_is_ambiguous(views_of):
    reference = REFERENCE[:120] + "R" + REFERENCE[121:]
    assert len(views_of(*(plain(100, 50, name=name) for name in "abcd"), reference=reference)) == 0


def test_a_repeat_is_looked_at_no_further_than_the_least_halo(views_of):
    reference = REFERENCE[:100] + "G" + "T" * 400 + "G" + REFERENCE[502:]
    deleted = [Sam(80, "21M2D10M", reference[80:101] + "T" * 10, name=name) for name in "ab"]
    assert views_of(*deleted, reference=reference).tract.tolist() == [MIN_HALO - 3]


def test_reads_past_those_asked_for_are_left_out_by_name(tmp_path):
    reads = [changed(100, 50, 120, name=str(index)) for index in range(50)]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": 512})) as reader:
        (planes,) = pack(reader, REFERENCE, WindowGrid(512, 256, 1))
    depth = candidate_depth(planes, 40, 20)
    assert (depth.covering.tolist(), depth.shown.tolist()) == ([50], [20])
    views = cut_views(planes, np.zeros(1, np.int32), 32, 2, depth=depth)
    assert (views.group != 0).sum(1).tolist() == [20, 0]
    assert candidate_depth(planes, 50, 20).shown.tolist() == [50]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_view_does_not_depend_on_windows_lanes_halo_or_region(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 2500)
    reads = random_reads(random, reference, 60)
    reads += [read for read in reads for _ in range(2)]
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", reads, {"c1": 2500})
    with AlignmentReader(bam) as reader:
        first, *more = (
            [view for planes in pack(reader, reference, grid) for view in contents(planes)] for grid in GRIDS
        )
        assert len(first) > 50
        assert all(found == first for found in more)
        region = sorted(int(place) for place in random.integers(0, 2500, 2))
        for planes in pack(reader, reference, GRIDS[0], (region[0], region[1] + 1)):
            low, high = GRIDS[0].core(planes.shard, 2500)
            assert contents(planes) == [view for view in first if low <= view[0] < high]


def contents(planes):
    """Views by position, each with its rows in an order of their own."""
    views, table, grid = all_views(planes), planes.candidates, planes.grid
    found = []
    for view in range(len(views)):
        window = planes.shard.first_window + int(table.window[view])
        rows = np.concatenate(
            [
                views.group[view][:, None],
                views.mapping_quality[view][:, None],
                views.symbol[view],
                views.base_quality[view],
            ],
            axis=1,
        )
        found.append(
            (
                window * grid.reference_length + int(table.column[view]) - grid.halo,
                int(views.length[view]),
                int(views.tract[view]),
                views.reference[view].tobytes(),
                views.allele[view].tobytes(),
                sorted(row.tobytes() for row in rows if row[0]),
            )
        )
    return found
