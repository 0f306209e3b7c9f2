"""Variants in files: VCF, gVCF and truth sets."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_io.variants.gvcf import gvcf_text
    from diffbio_io.variants.truth import GenotypedVcf
    from diffbio_io.variants.vcf import merge_shards, structured, vcf_header, vcf_line

__all__ = ["GenotypedVcf", "gvcf_text", "merge_shards", "structured", "vcf_header", "vcf_line"]

__getattr__ = lazy_names(
    __name__,
    {
        "gvcf": ("gvcf_text",),
        "truth": ("GenotypedVcf",),
        "vcf": ("merge_shards", "structured", "vcf_header", "vcf_line"),
    },
)
