"""Candidates get the copies with which they spell the true haplotypes, however the truth writes those."""

import pytest

from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.training.haplotype_labels import MAX_ALLELES, SupportedAllele, copies_by_haplotype

REFERENCE = "CCGATTTTATTTTATTTTACGGTCA"


def bases(start, stop):
    return REFERENCE[start:stop]


def variant(position, ref, first, second):
    return GenotypedVariant(position, ref, (first, second))


def copies(truth, alleles):
    return copies_by_haplotype(truth, [SupportedAllele(*allele) for allele in alleles], 0, len(REFERENCE), bases)


# One more ATTTT, and its last A (at 18) is a G.
LONGER_AND_CHANGED = [variant(2, "G", "G", "GATTTT"), variant(18, "A", "A", "G")]
AS_ONE_INSERTION = (19, 19, "TTTTG")


def test_an_insertion_that_spells_two_true_variants_gets_their_copies():
    assert copies(LONGER_AND_CHANGED, [(AS_ONE_INSERTION, 9)]) == {0: 1}


def test_an_insertion_that_spells_one_of_two_true_variants_gets_no_copies():
    assert copies(LONGER_AND_CHANGED, [((3, 3, "ATTTT"), 9)]) is None


@pytest.mark.parametrize(("genotype", "expected"), [(("A", "G"), 1), (("G", "G"), 2)])
def test_the_same_allele_gets_its_genotypes_copies(genotype, expected):
    assert copies([variant(18, "A", *genotype)], [((18, 19, "G"), 12)]) == {0: expected}


def test_what_the_haplotypes_do_not_hold_gets_none():
    assert copies([variant(18, "A", "A", "G")], [((18, 19, "G"), 12), ((22, 23, "C"), 30)]) == {0: 1, 1: 0}


def test_of_two_spellings_the_better_supported_one_counts():
    # Deleting any ATTTT of the repeat spells the same sequence.
    truth = [variant(2, "GATTTT", "G", "G")]
    assert copies(truth, [((3, 8, ""), 4), ((8, 13, ""), 20)]) == {0: 0, 1: 2}


def test_a_spelling_of_two_alleles_counts_as_much_as_its_weaker_one():
    truth = [variant(20, "G", "GTT", "G")]
    alleles = [((21, 21, "TT"), 5), ((21, 21, "T"), 30), ((21, 22, "TG"), 3)]
    assert copies(truth, alleles)[0] == 1


def test_two_alleles_of_one_place_lie_on_different_haplotypes():
    truth = [variant(2, "GATTTT", "G", "GATTTTATTTT")]
    assert copies(truth, [((3, 8, ""), 10), ((3, 3, "ATTTT"), 11)]) == {0: 1, 1: 1}


def test_other_phasings_are_tried_where_the_given_one_cannot_be_spelt():
    # The candidate is both changes at once; as given they lie on different haplotypes.
    truth = [variant(20, "G", "T", "G"), variant(21, "G", "G", "C")]
    assert copies(truth, [((20, 22, "TC"), 10)]) == {0: 1}


def test_candidates_that_cannot_spell_the_truth_get_no_copies():
    assert copies([variant(18, "A", "A", "G")], [((18, 19, "C"), 12)]) is None


def test_overlapping_true_variants_get_no_copies():
    truth = [variant(3, "ATTTT", "A", "A"), variant(4, "T", "G", "G")]
    assert copies(truth, [((4, 5, "G"), 12)]) is None


def test_alleles_with_few_reads_are_left_out_where_there_are_too_many():
    alleles = [
        ((18, 19, "G"), 50),
        *(((place, place + 1, "N"), 10) for place in range(MAX_ALLELES)),
        ((24, 25, "C"), 1),
    ]
    found = copies([variant(18, "A", "G", "G")], alleles)
    assert found[0] == 2
    assert len(found) == MAX_ALLELES
    assert MAX_ALLELES + 1 not in found
