"""A called site: what the genotyper hands to whoever writes VCF."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class CalledSite:
    """One VCF record with one sample, alleles minimal and left-aligned.

    Attributes:
        contig: Name of the contig.
        position: 0-based position of the first base of ``ref``.
        ref: Reference allele, at least one base of A, C, G, T or N.
        alts: Alternative alleles in VCF order.
        genotype: Allele numbers, 0 for ``ref``, ascending; one number on a haploid contig, two on a diploid one.
        qual: Phred-scaled probability that the site does not differ from the reference.
        gq: Phred-scaled probability that the genotype is wrong.
        pl: Phred-scaled genotype likelihoods, the likeliest 0, in VCF order: for diploids 00, 01, 11, 02, 12, 22, ...;
            for haploids 0, 1, 2, ...
        depth: Reads that cover the site and that the genotype was made from, mates that overlap counted once.
        coverage: All reads that cover the site; more than ``depth`` where they were thinned.
        allele_depths: Reads that support each allele, the reference first.
        filters: Names of the filters that the site failed; empty where it passed.

    Raises:
        ValueError: A field's length does not fit the number of alleles, or an allele number is out of range.
    """

    contig: str
    position: int
    ref: str
    alts: tuple[str, ...]
    genotype: tuple[int, ...]
    qual: float
    gq: int
    pl: tuple[int, ...]
    depth: int
    coverage: int
    allele_depths: tuple[int, ...]
    filters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"{self.contig}:{self.position + 1}"
        alleles = 1 + len(self.alts)
        if not self.ref or not all(self.alts):
            raise ValueError(f"{where}: an allele is empty (ref {self.ref!r}, alts {self.alts!r})")
        if len(self.genotype) not in (1, 2) or not all(0 <= allele < alleles for allele in self.genotype):
            raise ValueError(f"{where}: genotype {self.genotype} is not one or two allele numbers below {alleles}")
        expected = alleles if len(self.genotype) == 1 else alleles * (alleles + 1) // 2
        if len(self.pl) != expected:
            raise ValueError(f"{where}: {alleles} alleles need {expected} likelihoods (PL), got {len(self.pl)}")
        if len(self.allele_depths) != alleles:
            raise ValueError(f"{where}: {alleles} alleles need as many depths (AD), got {len(self.allele_depths)}")

    @property
    def stop(self) -> int:
        """One past the last reference base that the record spans, 0-based."""
        return self.position + len(self.ref)
