"""Candidates get the number of copies that the truth has of their allele, however it writes it."""

from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.training.labels import UNKNOWN, TruthAlleles, label_candidates
from tests.diffbio_core.made_up_shards import base, shard_with

EVERYWHERE = [(0, 512)]


def truth(*records):
    """Truth from (position, ref, allele of the first haplotype, of the second)."""
    variants = (GenotypedVariant(position, ref, alleles) for position, ref, *alleles in records)
    return TruthAlleles(variants, lambda start, stop: base(start, stop - start))


def test_copies_are_counted_per_allele():
    planes = shard_with([(20, 0, "A"), (20, 0, "C"), (60, 2, "AC"), (90, -1, "")])
    known = truth((20, base(20), "C", "C"), (60, base(60), base(60), base(60) + "AC"))
    assert label_candidates(planes, known, EVERYWHERE).tolist() == [0, 2, 1, 0]


def test_a_truth_that_is_not_minimal_names_the_same_allele():
    planes = shard_with([(21, 0, "A" if base(21) != "A" else "C")])
    new = "A" if base(21) != "A" else "C"
    known = truth((20, base(20, 3), base(20) + new + base(22), base(20, 3)))
    assert label_candidates(planes, known, EVERYWHERE).tolist() == [1]


def test_two_changes_in_one_record_are_two_alleles():
    first, second = ("A" if base(at) != "A" else "C" for at in (30, 31))
    planes = shard_with([(30, 0, first), (31, 0, second)])
    known = truth((30, base(30, 2), first + second, first + second))
    assert label_candidates(planes, known, EVERYWHERE).tolist() == [2, 2]


def test_outside_the_confident_intervals_nothing_is_known():
    planes = shard_with([(20, 0, "C"), (100, 0, "A"), (200, 0, "C")])
    labels = label_candidates(planes, truth(), [(50, 120), (190, 200)])
    assert labels.tolist() == [UNKNOWN, 0, UNKNOWN]


def test_within_a_complex_record_nothing_is_known():
    planes = shard_with([(41, 0, "A" if base(41) != "A" else "C"), (60, 0, "A")])
    known = truth((40, base(40, 4), base(40, 4), "TTTTTTT"))
    assert label_candidates(planes, known, EVERYWHERE).tolist() == [UNKNOWN, 0]
