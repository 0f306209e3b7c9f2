"""Families that are simulated."""

import numpy as np

from diffbio_core.simulation.pedigree import draw_trio
from diffbio_core.simulation.variants import Variant

SITES = [Variant(10 * place, "A", ("C", "G") if place % 3 == 0 else ("T",), (0, 1)) for place in range(200)]


def test_a_child_has_a_haplotype_of_each_parent():
    family = draw_trio(SITES, np.random.default_rng(1))
    by_site = [{variant.start: variant for variant in person} for person in family]
    for site in SITES:
        father, mother, child = (person.get(site.start) for person in by_site)
        for haplotype, parent in enumerate((father, mother)):
            inherited = "A" if child is None else child.allele(haplotype)
            assert inherited == ("A" if parent is None else parent.allele(0))


def test_a_person_has_only_alleles_that_one_of_the_haplotypes_carries():
    for person in draw_trio(SITES, np.random.default_rng(2)):
        assert 50 < len(person) < len(SITES)
        assert all({*variant.genotype} - {0} == {*range(1, 1 + len(variant.alts))} for variant in person)
