"""Calling: the call stage, genotyping, and what a called site is."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.calling.alleles import edit, normalise
    from diffbio_core.calling.call_stage import CallStage
    from diffbio_core.calling.copy_numbers import CopyNumbers, HumanBuild
    from diffbio_core.calling.genotyping import AlleleEvidence, genotype_sites, genotypes
    from diffbio_core.calling.haplotypes import Allele, Haplotypes, pair_haplotypes, spell
    from diffbio_core.calling.reference_confidence import ReferenceBlocks, reference_blocks, with_unseen_allele
    from diffbio_core.calling.sites import CalledSite

__all__ = [
    "Allele",
    "AlleleEvidence",
    "CallStage",
    "CalledSite",
    "CopyNumbers",
    "Haplotypes",
    "HumanBuild",
    "ReferenceBlocks",
    "edit",
    "genotype_sites",
    "genotypes",
    "normalise",
    "pair_haplotypes",
    "reference_blocks",
    "spell",
    "with_unseen_allele",
]

__getattr__ = lazy_names(
    __name__,
    {
        "alleles": ("edit", "normalise"),
        "call_stage": ("CallStage",),
        "copy_numbers": ("CopyNumbers", "HumanBuild"),
        "genotyping": ("AlleleEvidence", "genotype_sites", "genotypes"),
        "haplotypes": ("Allele", "Haplotypes", "pair_haplotypes", "spell"),
        "reference_confidence": ("ReferenceBlocks", "reference_blocks", "with_unseen_allele"),
        "sites": ("CalledSite",),
    },
)
