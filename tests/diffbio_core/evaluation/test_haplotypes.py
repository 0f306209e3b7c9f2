"""Matching by haplotypes."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.evaluation.haplotypes import match
from diffbio_core.evaluation.records import GenotypedVariant as Variant

SEQUENCE = "GATTTTTTACACACACGGTCAGTC"


def bases(start, stop):
    return SEQUENCE[start:stop]


def het(position, ref, alt):
    return Variant(position, ref, (ref, alt))


def hom(position, ref, alt):
    return Variant(position, ref, (alt, alt))


def test_an_indel_matches_wherever_in_its_repeat_it_is_written():
    assert match([het(1, "AT", "A")], [het(6, "TT", "T")], bases) == ([0], [0])


def test_two_snvs_match_one_substitution_of_two_bases():
    assert match([hom(8, "A", "C"), hom(9, "C", "A")], [hom(8, "AC", "CA")], bases) == ([0, 1], [0])


def test_two_heterozygous_records_match_one_with_two_alternatives():
    both = Variant(1, "AT", ("A", "ATT"))
    assert match([both], [het(1, "AT", "A"), het(1, "A", "AT")], bases) == ([0], [0, 1])


def test_another_genotype_does_not_match_unless_copies_are_left_aside():
    truth, calls = [het(8, "A", "G")], [hom(8, "A", "G")]
    assert match(truth, calls, bases) == ([], [])
    assert match(truth, calls, bases, genotypes=False) == ([0], [0])


def test_the_fewest_records_are_dropped():
    truth = [het(1, "A", "G"), het(16, "G", "T")]
    calls = [het(1, "A", "G"), hom(9, "C", "T"), het(16, "G", "T")]
    assert match(truth, calls, bases) == ([0, 1], [0, 2])


def test_calls_that_cancel_one_another_match_nothing():
    calls = [het(1, "AT", "A"), het(6, "T", "TT"), hom(16, "G", "T")]
    assert match([hom(16, "G", "T")], calls, bases) == ([0], [2])


def test_overlapping_calls_on_both_haplotypes_are_phased_apart():
    truth = [Variant(3, "TTT", ("T", "TCT"))]
    calls = [het(3, "TTT", "T"), het(4, "T", "C")]
    assert match(truth, calls, bases) == ([0], [0, 1])


def test_many_records_in_one_cluster_are_matched():
    sequence = "ACGT" * 50
    truth = [het(i, sequence[i], "ACGT"[(i + 1) % 4]) for i in range(0, 200, 5)]
    calls = [record for i, record in enumerate(truth) if i != 7]
    kept_truth, kept_calls = match(truth, calls, lambda a, b: sequence[a:b])
    assert kept_truth == [i for i in range(40) if i != 7]
    assert kept_calls == list(range(39))


def test_a_dense_cluster_in_a_homopolymer_ends_with_an_answer():
    sequence = "A" * 300
    truth = [het(i, "A", "A" * (2 + i % 4)) for i in range(5, 250, 6)]
    calls = [het(i, "A" * (2 + i % 3), "A") for i in range(7, 250, 6)]
    kept = match(truth, calls, lambda a, b: sequence[a:b])
    assert all(0 <= i < len(truth) for i in kept[0])


@st.composite
def clusters(draw, longest=3):
    sequence = draw(st.text("AC", min_size=12, max_size=12))

    def record():
        start = draw(st.integers(1, 9))
        ref = sequence[start : start + draw(st.integers(1, 2))]
        alt = draw(st.text("AC", min_size=1, max_size=longest).filter(lambda a: a != ref))
        return Variant(start, ref, draw(st.sampled_from([(ref, alt), (alt, alt)])))

    truth, calls = ([record() for _ in range(draw(st.integers(1, 3)))] for _ in range(2))
    return sequence, truth, calls


def spellings(sequence, records):
    """Every pair of sequences that phasings of the records spell, found the plain way."""
    pairs = set()
    for flips in itertools.product((0, 1), repeat=len(records)):
        pair = []
        for haplotype in (0, 1):
            edits = [r.edits[haplotype ^ flip] for r, flip in zip(records, flips, strict=True)]
            at, text = 0, ""
            for start, stop, alt in sorted(edit for edit in edits if edit):
                if start < at:
                    break
                text, at = text + sequence[at:start] + alt, stop
            else:
                pair.append(text + sequence[at:])
        if len(pair) == 2:
            pairs.add(tuple(sorted(pair)))
    return pairs


@settings(max_examples=300, deadline=None)
@given(clusters())
def test_what_is_kept_spells_the_same(cluster):
    sequence, truth, calls = cluster
    kept_truth, kept_calls = match(truth, calls, lambda a, b: sequence[a:b])
    ours = spellings(sequence, [truth[i] for i in kept_truth])
    assert ours & spellings(sequence, [calls[i] for i in kept_calls])


def most_kept(sequence, truth, calls):
    """The most records that any choice of subsets keeps, found by trying them all."""
    subsets = lambda records: itertools.chain.from_iterable(  # noqa: E731
        itertools.combinations(records, n) for n in range(1, len(records) + 1)
    )
    called = [(len(kept), spellings(sequence, kept)) for kept in subsets(calls)]
    sizes = [len(t) + n for t in subsets(truth) for n, pairs in called if pairs & spellings(sequence, t)]
    return max(sizes, default=0)


@settings(max_examples=200, deadline=None)
@given(clusters(longest=1))
def test_the_most_records_are_kept(cluster):
    # Without insertions no two records cancel one another, which is where the plain search keeps more.
    sequence, truth, calls = cluster
    kept_truth, kept_calls = match(truth, calls, lambda a, b: sequence[a:b])
    assert len(kept_truth) + len(kept_calls) == most_kept(sequence, truth, calls)
