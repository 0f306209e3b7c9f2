"""The dataclass of a called site."""

import pytest

from diffbio_core.calling.sites import CalledSite


def site(**changes):
    fields = dict(
        contig="chr1", position=9, ref="CA", alts=("C", "T"), genotype=(1, 2), qual=30.0, gq=20,
        pl=(90, 40, 50, 30, 0, 60), depth=11, coverage=11, allele_depths=(1, 5, 5),
    )  # fmt: skip
    return CalledSite(**(fields | changes))


def test_a_site_ends_after_its_reference_allele():
    assert site().stop == 11


def test_a_haploid_site_has_one_likelihood_per_allele():
    assert site(genotype=(2,), pl=(50, 30, 0)).genotype == (2,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pl": (0, 1, 2)}, r"chr1:10: 3 alleles need 6 likelihoods"),
        ({"genotype": (2,)}, r"3 alleles need 3 likelihoods"),
        ({"genotype": (0, 3)}, r"genotype \(0, 3\)"),
        ({"allele_depths": (1, 5)}, r"as many depths"),
        ({"alts": ("", "T")}, r"an allele is empty"),
    ],
)
def test_fields_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        site(**changes)
