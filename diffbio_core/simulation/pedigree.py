"""Variants of a family: a child has one haplotype of each parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from diffbio_core.simulation.variants import Variant

PERSONS = ("father", "mother", "child")


def draw_trio(sites: Sequence[Variant], rng: np.random.Generator) -> tuple[list[Variant], list[Variant], list[Variant]]:
    """Which alleles of some sites a father, a mother and their child have.

    Each of the parents' haplotypes has any allele of a site with the same chance. The child's first haplotype is the
    father's first, its second the mother's first.

    Args:
        sites: Variants, none overlapping another; their genotypes do not matter.
        rng: Source of randomness.

    Returns:
        Variants of father, mother and child, without those that a person does not have.
    """
    family: tuple[list[Variant], list[Variant], list[Variant]] = [], [], []
    for site in sites:
        alleles = rng.integers(0, 1 + len(site.alts), 4).tolist()
        for variants, genotype in zip(family, (alleles[:2], alleles[2:], alleles[::2]), strict=True):
            variant = _of_person(site, genotype)
            if variant is not None:
                variants.append(variant)
    return family


def _of_person(site: Variant, genotype: Sequence[int]) -> Variant | None:
    """A site with the alleles that a person has; None where both are the reference's."""
    carried = sorted({allele for allele in genotype if allele})
    if not carried:
        return None
    first, second = (carried.index(allele) + 1 if allele else 0 for allele in genotype)
    return replace(site, alts=tuple(site.alts[allele - 1] for allele in carried), genotype=(first, second))
