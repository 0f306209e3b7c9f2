"""A genotyped variant."""

import pytest

from diffbio_core.evaluation.records import GenotypedVariant as Variant


def test_a_record_is_an_snp_where_no_allele_changes_the_length():
    assert Variant(0, "GA", ("GA", "TC")).kind == "SNP"
    assert Variant(0, "G", ("T", "GA")).kind == "INDEL"


def test_a_record_spans_its_reference_allele():
    assert Variant(7, "GATC", ("GATC", "G")).stop == 11


def test_a_record_passes_unless_told_otherwise():
    assert Variant(0, "G", ("G", "T")).passed
    assert not Variant(0, "G", ("G", "T"), passed=False).passed


@pytest.mark.parametrize(
    ("ref", "alleles", "edits"),
    [
        ("G", ("G", "T"), (None, (7, 8, "T"))),
        ("G", ("T", "T"), ((7, 8, "T"), (7, 8, "T"))),
        ("GAT", ("GAT", "G"), (None, (8, 10, ""))),
        ("G", ("GCC", "T"), ((8, 8, "CC"), (7, 8, "T"))),
        ("GATC", ("GATC", "GTTC"), (None, (8, 9, "T"))),
    ],
)
def test_edits_tell_what_each_haplotype_changes(ref, alleles, edits):
    assert Variant(7, ref, alleles).edits == edits


def test_the_order_of_a_genotype_does_not_tell_records_apart():
    one, other = Variant(7, "G", ("G", "T")), Variant(7, "G", ("T", "G"), passed=False)

    assert one.key == other.key
    for different in (Variant(8, "G", ("G", "T")), Variant(7, "GA", ("GA", "T")), Variant(7, "G", ("T", "T"))):
        assert different.key != one.key
