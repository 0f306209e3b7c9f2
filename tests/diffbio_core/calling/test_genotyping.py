"""Allele probabilities -> called sites."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.calling.genotyping import AlleleEvidence, genotype_sites, genotypes
from tests.diffbio_core.made_up_shards import base, shard_with


def call(*alleles, ploidy=2, min_qual=0.0, pass_qual=0.0, pass_gq=0.0):
    """Sites from (position, length, new bases, probabilities of 0, 1 and 2 copies)."""
    alleles = sorted(alleles, key=lambda allele: (allele[0], allele[1]))
    probabilities = np.array([allele[3] for allele in alleles], np.float64)
    number = np.full(len(alleles), 10, np.int32)
    evidence = AlleleEvidence(np.log(probabilities), number, number * 2, number * 3, number * 4)
    planes = shard_with([allele[:3] for allele in alleles])
    return genotype_sites(planes, evidence, ploidy=ploidy, min_qual=min_qual, pass_qual=pass_qual, pass_gq=pass_gq)


HET, HOM, ABSENT = (0.001, 0.998, 0.001), (0.0001, 0.0019, 0.998), (0.98, 0.01, 0.01)


def test_a_heterozygous_change_of_one_base():
    (site,) = call((20, 0, "C", HET))
    assert (site.contig, site.position, site.ref, site.alts, site.genotype) == ("c", 20, base(20), ("C",), (0, 1))
    assert site.qual == pytest.approx(30, abs=0.1)
    assert site.gq == 27
    assert site.pl == (30, 0, 30)
    assert (site.coverage, site.depth, site.allele_depths, site.filters) == (40, 30, (20, 10), ())


def test_what_is_likely_absent_is_not_called():
    assert call((20, 0, "C", ABSENT)) == []


def test_insertions_and_deletions_keep_the_base_before_them():
    insertion, deletion = call((30, 3, "GGA", HOM), (300, -4, "", HET))
    assert (insertion.ref, insertion.alts, insertion.genotype) == (base(30), (base(30) + "GGA",), (1, 1))
    assert (deletion.position, deletion.ref, deletion.alts) == (300, base(300, 5), (base(300),))


def test_two_alternative_alleles_make_one_record():
    (site,) = call((40, -2, "", (0.001, 0.99, 0.009)), (40, 2, "TT", (0.001, 0.99, 0.009)))
    assert site.genotype == (1, 2)
    assert site.ref == base(40, 3)
    assert site.alts == (base(40), base(40) + "TT" + base(41, 2))
    assert len(site.pl) == 6
    assert site.pl[4] == 0


def test_an_allele_that_the_genotype_lacks_is_not_listed():
    (site,) = call((40, 0, "G", HET), (40, 0, "C", ABSENT))
    assert site.alts == ("G",)
    assert len(site.pl) == 3


def test_a_haploid_contig_has_one_copy():
    (site,) = call((20, 0, "C", HOM), ploidy=1)
    assert site.genotype == (1,)
    assert len(site.pl) == 2


def test_two_alleles_at_a_haploid_site_leave_the_likelier():
    (site,) = call((20, 0, "C", (0.2, 0.1, 0.7)), (20, 0, "T", HOM), ploidy=1)
    assert (site.alts, site.genotype) == (("T",), (1,))


def test_low_quality_is_listed_with_a_filter_or_not_at_all():
    weak = (0.3, 0.6, 0.1)
    assert call((20, 0, "C", weak), pass_qual=10)[0].filters == ("LowQual",)
    assert call((20, 0, "C", weak), min_qual=10) == []


def test_an_uncertain_genotype_is_listed_with_a_filter():
    sure_of_a_variant = (0.0001, 0.55, 0.4499)
    (site,) = call((20, 0, "C", sure_of_a_variant), pass_qual=10, pass_gq=5)
    assert (site.gq, site.filters) == (3, ("LowGQ",))
    assert call((20, 0, "C", sure_of_a_variant), pass_qual=10, pass_gq=3)[0].filters == ()
    assert call((20, 0, "C", (0.45, 0.5, 0.05)), pass_qual=10, pass_gq=5)[0].filters == ("LowQual", "LowGQ")


def test_no_haplotype_carries_two_alleles_at_one_place():
    new = "A" if base(23) != "A" else "C"
    (site,) = call((20, -6, "", (0.00001, 0.00009, 0.9999)), (23, 0, new, HET))
    assert (site.position, site.genotype) == (20, (1, 1))


def test_a_change_under_the_other_haplotypes_deletion_is_spelled_in_one_record_with_it():
    new = "A" if base(23) != "A" else "C"
    # No read shows the reference where one haplotype lacks it and the other is changed.
    (site,) = call((20, -6, "", HET), (23, 0, new, (0.01, 0.09, 0.9)))
    assert (site.position, site.ref, site.genotype) == (20, base(20, 7), (1, 2))
    assert site.alts == (base(20), base(20, 3) + new + base(24, 3))
    assert (site.pl[4], site.allele_depths) == (0, (10, 10, 10))
    assert (site.qual, site.gq) == (pytest.approx(50, abs=1), 20)


def test_where_that_record_would_be_unsure_each_place_has_its_own():
    new = "A" if base(23) != "A" else "C"
    deletion, change = call((20, -6, "", HET), (23, 0, new, (0.01, 0.09, 0.9)), pass_gq=21)
    assert (deletion.position, deletion.genotype, len(deletion.pl)) == (20, (0, 1), 3)
    assert (change.ref, change.alts, change.genotype) == (base(23), (new, "*"), (1, 2))
    assert change.pl[4] == 0
    assert change.qual == pytest.approx(20, abs=0.5)


def test_reads_that_count_for_two_alleles_of_a_record_are_no_more_than_there_are():
    new = "A" if base(23) != "A" else "C"
    evidence = AlleleEvidence(np.log([HET, HET]), *np.array([[12, 25], [9, 9], [30, 30], [30, 30]], np.int32))
    (site,) = genotype_sites(shard_with([(20, -6, ""), (23, 0, new)]), evidence, min_qual=0, pass_qual=0, pass_gq=0)
    assert (site.genotype, site.allele_depths, site.depth) == ((1, 2), (0, 12, 18), 30)


def test_a_deletion_too_long_for_one_record_stands_alone():
    new = "A" if base(43) != "A" else "C"
    (within,) = call((20, -49, "", HET), (43, 0, new, (0.01, 0.09, 0.9)))
    assert (within.ref, within.genotype) == (base(20, 50), (1, 2))
    deletion, change = call((20, -50, "", HET), (43, 0, new, (0.01, 0.09, 0.9)))
    assert (deletion.ref, deletion.genotype) == (base(20, 51), (0, 1))
    assert (change.position, change.alts, change.genotype) == (43, (new, "*"), (1, 2))


def test_genotypes_stand_in_the_order_of_vcf():
    assert genotypes(3, 2) == [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)]
    assert genotypes(3, 1) == [(0,), (1,), (2,)]


@given(st.lists(st.tuples(st.floats(0.001, 1), st.floats(0.001, 1), st.floats(0.001, 1)), min_size=1, max_size=3))
def test_pl_gq_and_genotype_agree(weights):
    alleles = [
        (60, length, new, tuple(np.array(weight) / sum(weight)))
        for weight, (length, new) in zip(weights, [(0, "A"), (1, "T"), (-1, "")], strict=False)
    ]
    for site in call(*alleles):
        order = genotypes(len(site.alts) + 1, 2)
        assert min(site.pl) == 0
        assert site.pl[order.index(site.genotype)] == 0
        assert set(range(1, len(site.alts) + 1)) == set(site.genotype) - {0}
        assert 0 <= site.gq <= 99
        assert math.isfinite(site.qual)
        assert site.qual >= 0
