"""Labels where reads and truth write the same haplotypes in different ways.

A repeat that is longer by one unit and ends in an SNV is two records of the truth and one insertion of an aligner's. By
name that would be false; here it gets the copies with which the candidates spell the true haplotypes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from diffbio_core.calling.alleles import Bases
from diffbio_core.evaluation.records import GenotypedVariant

MAX_ALLELES = 10
"""Candidate alleles whose subsets are tried, the best supported ones: 1,024 subsets."""

_MAX_UNPHASED = 6

Edit = tuple[int, int, str]
"""Start and stop of the replaced reference bases (0-based, half-open), and what stands in their place."""


@dataclass(frozen=True)
class SupportedAllele:
    """A candidate allele: what it does to the reference, and how many reads show it."""

    edit: Edit
    supports: int


def copies_by_haplotype(
    truth: Sequence[GenotypedVariant], alleles: Sequence[SupportedAllele], start: int, stop: int, bases: Bases
) -> dict[int, int] | None:
    """Copies of candidate alleles that spell the true haplotypes of a stretch.

    The truth is taken to be phased as it is given; where no candidates spell that, other phasings are tried. Of several
    sets of alleles that spell a haplotype, the one whose least supported allele has the most reads is taken.

    Args:
        truth: True variants of the stretch.
        alleles: Candidates of the stretch.
        start: 0-based start of the stretch.
        stop: One past its end.
        bases: Reference bases of the contig.

    Returns:
        Copies (0, 1, 2) by index into ``alleles``, of the ``MAX_ALLELES`` best supported ones; None where they cannot
        spell the haplotypes.
    """
    ranked = sorted(range(len(alleles)), key=lambda index: (-alleles[index].supports, index))[:MAX_ALLELES]
    text = bases(start, stop)
    spellings: dict[str, tuple[int, tuple[int, ...]]] = {}
    for size in range(len(ranked) + 1):
        for subset in itertools.combinations(ranked, size):
            spelt = _spell(text, start, [alleles[index].edit for index in subset])
            weakest = min((alleles[index].supports for index in subset), default=0)
            if spelt is not None and (spelt not in spellings or weakest > spellings[spelt][0]):
                spellings[spelt] = weakest, subset
    for first, second in _phasings([variant.edits for variant in truth]):
        haplotypes = _spell(text, start, first), _spell(text, start, second)
        if all(haplotype is not None and haplotype in spellings for haplotype in haplotypes):
            chosen = [index for haplotype in haplotypes for index in spellings[haplotype or ""][1]]
            return {index: chosen.count(index) for index in ranked}
    return None


def _spell(text: str, offset: int, edits: Sequence[Edit]) -> str | None:
    """The stretch with edits applied; None where they overlap."""
    at, parts = 0, []
    for start, stop, new in sorted(edits):
        if start - offset < at or stop - offset > len(text):
            return None
        parts += [text[at : start - offset], new]
        at = stop - offset
    return "".join(parts) + text[at:]


def _phasings(genotypes: Sequence[tuple[Edit | None, Edit | None]]):
    """Edits of both haplotypes, as given at first, then with some heterozygous variants swapped."""
    unequal = [index for index, (one, other) in enumerate(genotypes) if one != other]
    swappable = unequal[1 : 1 + _MAX_UNPHASED]
    for size in range(len(swappable) + 1):
        for swapped in itertools.combinations(swappable, size):
            pairs = [pair[::-1] if index in swapped else pair for index, pair in enumerate(genotypes)]
            yield tuple([edit for edit in haplotype if edit is not None] for haplotype in zip(*pairs, strict=True))
