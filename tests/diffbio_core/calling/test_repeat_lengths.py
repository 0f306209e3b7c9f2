"""What reads that reach past both ends of a repeat say of its lengths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.calling.genotyping import AlleleEvidence, genotype_sites
from diffbio_core.calling.repeat_lengths import MOST_READS, RepeatLengths, repeat_lengths
from diffbio_core.reads.slippage import Slippage
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, pack, write_bam

LEFT = "".join(np.random.default_rng(3).choice(list("ACGT"), 299)) + "C"
TRACT = 18
REFERENCE = LEFT + "A" * TRACT + "G" + "".join(np.random.default_rng(4).choice(list("ACGT"), 400))
ANCHOR = len(LEFT) - 1
DOUBTFUL = np.log([0.02, 0.5, 0.48])


@pytest.fixture
def shard(tmp_path):
    """Planes of reads of 100 bases that show the homopolymer shorter or longer, so many of each."""

    def make(reads, *, start=ANCHOR - 29, mapping_quality=60):
        made = []
        for change, number in reads.items():
            before, after = ANCHOR + 1 - start, ANCHOR + 1 + max(-change, 0)
            rest = 100 - before - max(change, 0)
            gap = f"{abs(change)}{'I' if change > 0 else 'D'}" if change else ""
            cigar = f"{before}M{gap}{rest}M" if change else "100M"
            bases = REFERENCE[start : ANCHOR + 1] + "A" * max(change, 0) + REFERENCE[after : after + rest]
            made += [
                Sam(start, cigar, bases, name=f"{change}.{copy}", mapping_quality=mapping_quality)
                for copy in range(number)
            ]
        with AlignmentReader(write_bam(tmp_path / "reads.bam", made, {"c1": len(REFERENCE)})) as reader:
            (planes,) = pack(reader, REFERENCE, WindowGrid(1024, 256, 1))
        planes.slippage = Slippage(0.01, 0.01)
        return planes

    return make


def called(planes, logs=DOUBTFUL):
    """Sites where the classifier says the same of every allele."""
    counts = np.diff(planes.candidates.support_start)
    depth = np.full(counts.size, counts.sum(), np.int32)
    evidence = AlleleEvidence(np.tile(logs, (counts.size, 1)), counts, depth * 0, depth, depth)
    return genotype_sites(planes, evidence, min_qual=1, pass_qual=0, pass_gq=0)


def test_a_length_that_few_reads_show_beside_a_common_one_is_slippage(shard):
    (site,) = called(shard({-2: 20, -1: 4}))
    assert (site.ref, site.alts, site.genotype) == ("CAA", ("C",), (1, 1))


def test_two_lengths_that_as_many_reads_show_are_two_alleles(shard):
    (site,) = called(shard({-2: 12, -1: 12}))
    assert (site.ref, site.alts, site.genotype) == ("CAA", ("C", "CA"), (1, 2))


def test_with_as_many_reads_of_the_reference_an_allele_is_heterozygous(shard):
    (site,) = called(shard({0: 12, 2: 12}))
    assert (site.ref, site.alts, site.genotype) == ("C", ("CAA",), (0, 1))


def test_reads_count_by_the_length_that_they_show(shard):
    planes = shard({0: 3, -1: 4, 2: 5})
    (found,) = repeat_lengths(planes, list(range(len(planes.candidates))))
    assert (found.tract, found.unit, found.members) == (TRACT, 1, (0, 1))
    assert dict(zip(found.shown.tolist(), found.reads.tolist(), strict=True)) == {0: 3, -1: 4, 2: 5}


@pytest.mark.parametrize(
    ("how", "counted"),
    [
        ({"start": ANCHOR - 95 + TRACT}, 0),
        ({"start": ANCHOR - 94 + TRACT}, 4),
        ({"start": ANCHOR - 6}, 4),
        ({"start": ANCHOR - 5}, 0),
        ({"mapping_quality": 9}, 0),
        ({"mapping_quality": 10}, 4),
    ],
)
def test_reads_count_that_map_well_and_reach_so_far_past_both_ends_as_the_longest_allele_needs(shard, how, counted):
    planes = shard({-1: 4}, **how)
    found = repeat_lengths(planes, [0])
    assert [repeat.reads.tolist() for repeat in found] == ([[0, counted]] if counted else [])


@pytest.mark.parametrize("change", [-1, 1, -3, 3])
@pytest.mark.parametrize("beyond", range(1, 12))
def test_where_all_reads_begin_and_end_alike_both_alleles_count_or_none(shard, change, beyond):
    # An amplicon whose reads end a few bases behind the repeat.
    planes = shard({0: 6, change: 6}, start=ANCHOR + 1 + TRACT + beyond - 100)
    for found in repeat_lengths(planes, list(range(len(planes.candidates)))):
        assert found.reads.min() == found.reads.max() == 6


def test_many_reads_count_as_so_many_as_the_classifier_is_shown(shard):
    planes = shard({0: 60, -1: 50})
    (found,) = repeat_lengths(planes, [0])
    assert found.reads.tolist() == pytest.approx([MOST_READS * 6 / 11, MOST_READS * 5 / 11])


def test_a_repeat_with_an_indel_of_other_bases_is_left_to_the_classifier(shard):
    planes = shard({1: 4})
    planes.candidates.sequence[:] = 2
    assert repeat_lengths(planes, [0]) == []


lengths = st.integers(-6, 6)


@given(lengths, lengths, st.lists(st.integers(0, 30), min_size=13, max_size=13), st.sampled_from([1, 2, 3]))
def test_neither_the_order_of_haplotypes_nor_that_of_lengths_shows(one, other, reads, unit):
    shown = unit * np.arange(-6, 7)
    repeat = RepeatLengths((), np.zeros(0, int), 30, unit, shown, np.array(reads, float), Slippage(0.01, 0.02))
    turned = RepeatLengths(
        (), np.zeros(0, int), 30, unit, shown[::-1], np.array(reads[::-1], float), Slippage(0.01, 0.02)
    )
    pairs = unit * np.array([[one, other], [other, one]])
    forth, back = repeat.log_weights(pairs)
    assert np.isfinite(forth)
    assert forth == pytest.approx(back)
    assert turned.log_weights(pairs) == pytest.approx(repeat.log_weights(pairs))


@given(lengths, lengths, st.integers(1, 40))
def test_reads_of_one_length_make_two_copies_of_it_likeliest(true, other, number):
    repeat = RepeatLengths(
        (), np.zeros(0, int), 14, 1, np.array([true]), np.array([float(number)]), Slippage(0.01, 0.01)
    )
    both, one, none = repeat.log_weights(np.array([[true, true], [true, other], [other, other]]))
    assert both >= one >= none


@given(st.integers(5, 11))
def test_the_more_a_library_slips_the_less_a_few_reads_of_another_length_say(tract):
    pairs = np.array([[0, 0], [0, -1]])
    gains = []
    for rate in (0.001, 0.01, 0.03):
        slippage = Slippage(rate, rate)
        repeat = RepeatLengths((), np.zeros(0, int), tract, 1, np.array([0, -1]), np.array([20.0, 5.0]), slippage)
        without, with_one = repeat.log_weights(pairs)
        gains.append(with_one - without)
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > gains[-1]
