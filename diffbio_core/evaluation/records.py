"""A genotyped variant as evaluation sees it, whether from a truth set or from a caller."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from diffbio_core.calling.alleles import edit


@dataclass(frozen=True)
class GenotypedVariant:
    """One record of one sample that carries at least one allele other than the reference.

    Attributes:
        position: 0-based position of the first base of ``ref``.
        ref: Reference allele, upper case.
        alleles: The allele on each of the two haplotypes, in no order; a haploid genotype is given twice.
        passed: Whether the record passed every filter.
    """

    position: int
    ref: str
    alleles: tuple[str, str]
    passed: bool = True

    @property
    def stop(self) -> int:
        """One past the last reference base that the record spans."""
        return self.position + len(self.ref)

    @property
    def kind(self) -> str:
        """``"SNP"`` where every allele has the reference's length, else ``"INDEL"``."""
        return "SNP" if all(len(allele) == len(self.ref) for allele in self.alleles) else "INDEL"

    @cached_property
    def edits(self) -> tuple[tuple[int, int, str] | None, tuple[int, int, str] | None]:
        """What each allele does to the reference (see :func:`~diffbio_core.calling.alleles.edit`); None for nothing."""
        first, second = (None if a == self.ref else edit(self.position, self.ref, a) for a in self.alleles)
        return first, second

    @property
    def key(self) -> tuple[int, str, tuple[str, ...]]:
        """What makes two records the same: place, reference and genotype, whatever its order."""
        return self.position, self.ref, tuple(sorted(self.alleles))
