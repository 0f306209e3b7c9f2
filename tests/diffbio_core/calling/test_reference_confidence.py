"""Confidence that a position is the reference, on planes of a few reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.calling.reference_confidence import reference_blocks, with_unseen_allele
from diffbio_core.calling.sites import CalledSite
from diffbio_core.candidates.discovery import CandidateTable
from diffbio_core.windows.encoding import DELETION_FOLLOWS, N_BASE, PLANES, REVERSE_STRAND
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.lanes import LaneRows
from diffbio_core.windows.planes import LANES_PER_BLOCK, ShardPlanes

GRID = WindowGrid(reference_length=256, halo=192, windows_per_shard=2)
SHARD = Shard("c", 1, 2, 4)
FIRST = 768 - 16
"""First of 32 positions, half of them in the first window of the shard and half in the second."""
WHOLE = ((FIRST, FIRST + 32),)


def planes_of(*reads):
    """A shard over A; reads are (start after FIRST, base codes, base quality, mapping quality), one a lane."""
    blocks = -(-max(len(reads), 1) // LANES_PER_BLOCK)
    shape = blocks, 2, LANES_PER_BLOCK, GRID.positions
    planes = {name: np.full(shape, fill, kind) for name, (kind, fill) in PLANES.items()}
    rows = LaneRows.room(2 * len(reads), 0, 0)
    for lane, (start, codes, base_quality, mapping_quality) in enumerate(reads):
        for window in range(2):
            row = 2 * lane + window
            rows.read_lane[row] = window * blocks * LANES_PER_BLOCK + lane
            rows.read_column[row] = max(FIRST + start - (2 + window) * GRID.reference_length + GRID.halo, 0)
            rows.read_mapping[row], rows.read_rank[row] = mapping_quality, 0
            rows.used[0] += 1
            for offset, code in enumerate(codes):
                column = FIRST + start + offset - (2 + window) * GRID.reference_length + GRID.halo
                if 0 <= column < GRID.positions:
                    cell = lane // LANES_PER_BLOCK, window, lane % LANES_PER_BLOCK, column
                    planes["base"][cell] = code | (REVERSE_STRAND if lane % 2 else 0)
                    planes["base_quality"][cell] = base_quality
    kinds = (np.int16, np.int16, np.int32, np.uint8, np.int32, np.int32, np.int32, np.uint8, np.uint8)
    table = CandidateTable(*(np.zeros(1 if number in (5, 6) else 0, kind) for number, kind in enumerate(kinds)))
    reference = np.zeros((2, GRID.positions), np.uint8)
    lane_reads, indels = rows.by_lane(2 * blocks * LANES_PER_BLOCK)
    return ShardPlanes(SHARD, GRID, 2000, reference, **planes, reads=lane_reads, indels=indels, candidates=table)


def matching(number, quality=30, mapping_quality=60):
    return [(0, [0] * 32, quality, mapping_quality)] * number


def rows(blocks):
    columns = (blocks.start - FIRST, blocks.stop - FIRST, blocks.known, blocks.gq, blocks.min_depth, blocks.pl)
    return [tuple(entry) for entry in zip(*(column.tolist() for column in columns), strict=True)]


def test_ten_matching_reads_of_phred_30_make_one_block():
    # A heterozygote shows the reference ten times in a row with 1/2 ** 10, another homozygote with 1/1000 ** 10.
    assert rows(reference_blocks(planes_of(*matching(10)), WHOLE, [])) == [(0, 32, True, 30, 10, [0, 30, 300])]


def test_a_haploid_contig_has_two_genotypes():
    blocks = reference_blocks(planes_of(*matching(2)), WHOLE, [], ploidy=1)
    assert rows(blocks) == [(0, 32, True, 60, 2, [0, 60])]


def test_the_lower_of_base_and_mapping_quality_counts():
    by_base = reference_blocks(planes_of(*matching(4, quality=17)), WHOLE, [])
    assert rows(by_base) == rows(reference_blocks(planes_of(*matching(4, 40, 17)), WHOLE, []))
    assert by_base.pl.tolist() == [[0, 12, 68]]


def test_reads_that_map_nowhere_in_particular_tell_nothing_but_are_counted():
    assert rows(reference_blocks(planes_of(*matching(10, 30, 0)), WHOLE, [])) == [(0, 32, True, 0, 10, [0, 0, 0])]


@pytest.mark.parametrize("shown", ["another base", "a deletion", "an indel that follows"])
def test_a_read_that_shows_something_else_cuts_a_block_of_lower_confidence(shown):
    codes = {"another base": 2, "a deletion": 5, "an indel that follows": 0}[shown]
    planes = planes_of(*matching(20), (8, [codes], 30, 60))
    if shown == "an indel that follows":
        planes.base[0, 0, 20, FIRST + 8 - 512 + GRID.halo] |= DELETION_FOLLOWS
    # The 21st read costs 30 against a heterozygote, and gives it back 3.
    assert rows(reference_blocks(planes, WHOLE, [])) == [
        (0, 8, True, 60, 20, [0, 60, 600]),
        (8, 9, True, 33, 21, [0, 33, 570]),
        (9, 32, True, 60, 20, [0, 60, 600]),
    ]


def test_where_no_read_lies_or_the_reference_is_n_the_genotype_is_unknown():
    planes = planes_of((0, [0] * 20, 30, 60))
    planes.reference[0, FIRST + 4 - 512 + GRID.halo] = N_BASE
    known = [(start, stop, known) for start, stop, known, *_ in rows(reference_blocks(planes, WHOLE, []))]
    assert known == [(0, 4, True), (4, 5, False), (5, 20, True), (20, 32, False)]


def test_a_base_that_reads_leave_open_is_evidence_for_nothing():
    assert rows(reference_blocks(planes_of((0, [N_BASE] * 32, 30, 60)), WHOLE, [])) == [(0, 32, True, 0, 1, [0, 0, 0])]


def test_positions_of_a_band_share_a_block_with_its_lowest_values():
    planes = planes_of(*matching(10), *[(8, [0] * 5, 30, 60)] * 3)
    assert rows(reference_blocks(planes, WHOLE, [])) == [(0, 32, True, 30, 10, [0, 30, 300])]
    planes = planes_of(*matching(10), *[(8, [0] * 5, 30, 60)] * 4)
    assert [row[:2] for row in rows(reference_blocks(planes, WHOLE, []))] == [(0, 8), (8, 13), (13, 32)]


def deletion(position):
    return CalledSite("c", position, "AAAA", ("A",), (0, 1), 30.0, 30, (30, 0, 30), 9, 9, (5, 4))


def test_blocks_leave_out_sites_and_what_was_not_asked_for():
    intervals = (FIRST + 1, FIRST + 18), (FIRST + 20, FIRST + 28)
    blocks = reference_blocks(planes_of(*matching(10)), intervals, [deletion(FIRST + 3)])
    assert [row[:2] for row in rows(blocks)] == [(1, 3), (7, 18), (20, 28)]


def test_sites_may_reach_over_both_ends_of_the_shard():
    blocks = reference_blocks(planes_of(), ((512, 1024),), [deletion(510), deletion(1022)])
    assert (blocks.start.tolist(), blocks.stop.tolist()) == ([514], [1022])


cells = st.tuples(st.sampled_from([0, 1, 2, 3, 4, 5]), st.integers(0, 93), st.integers(0, 255))


@settings(max_examples=50, deadline=None)
@given(st.lists(cells, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_reads_does_not_matter(reads, random):
    lanes = [(0, [code] * 32, base_quality, mapping_quality) for code, base_quality, mapping_quality in reads]
    shuffled = random.sample(lanes, len(lanes))
    assert rows(reference_blocks(planes_of(*lanes), WHOLE, [])) == rows(
        reference_blocks(planes_of(*shuffled), WHOLE, [])
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(cells, min_size=1, max_size=40))
def test_likelihoods_are_those_of_the_formula(reads):
    lanes = [(0, [code] * 32, base_quality, mapping_quality) for code, base_quality, mapping_quality in reads]
    phred = np.zeros(3)
    for code, base_quality, mapping_quality in reads:
        error = 0.5 if code == N_BASE else min(0.5, 10 ** (-0.1 * min(base_quality, mapping_quality, 63)))
        reference, other = (1 - error, error) if code in (0, N_BASE) else (error, 1 - error)
        phred += [-10 * np.log10(((2 - copies) * reference + copies * other) / 2) for copies in range(3)]
    expected = np.clip(phred - phred[0], 0, 999)
    np.testing.assert_allclose(reference_blocks(planes_of(*lanes), WHOLE, []).pl[0], expected, atol=0.6)


def test_256_reads_of_the_highest_quality_do_not_overflow():
    blocks = reference_blocks(planes_of(*matching(256, 93, 255)), WHOLE, [])
    assert rows(blocks) == [(0, 32, True, 99, 256, [0, 771, 999])]


def test_a_site_gets_the_unseen_allele_with_its_likelihoods():
    site = CalledSite("c", 5, "A", ("G",), (0, 1), 50.0, 45, (50, 0, 47), 20, 20, (10, 10))
    seen = with_unseen_allele(site)
    # 0/<*> leaves the ten reads of G without an explanation, half of a chance against 1 in 100; so does G/<*>.
    assert seen.alts == ("G", "<*>")
    assert seen.allele_depths == (10, 10, 0)
    assert seen.pl == (50, 0, 47, 170, 170, 340)
    assert seen.genotype == (0, 1)


def test_no_unseen_genotype_is_likelier_than_gq_allows():
    site = CalledSite("c", 5, "A", ("G",), (1, 1), 50.0, 30, (50, 30, 0), 1, 1, (0, 1))
    assert with_unseen_allele(site).pl == (50, 30, 0, 30, 30, 30)


def test_a_haploid_site_gets_one_more_likelihood():
    site = CalledSite("c", 5, "A", ("G",), (1,), 50.0, 45, (50, 0), 10, 10, (0, 10))
    assert with_unseen_allele(site).pl == (50, 0, 200)
