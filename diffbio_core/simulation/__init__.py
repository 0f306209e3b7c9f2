"""Simulated individuals and sequencing: variants, haplotypes, and reads with the errors that real ones have."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.simulation.coverage import Fragments, draw_fragments
    from diffbio_core.simulation.genome import DivergedCopy, diverge, random_reference
    from diffbio_core.simulation.libraries import draw_library
    from diffbio_core.simulation.reads import ReadPairs, SequencerBias, draw_read_pairs
    from diffbio_core.simulation.sequence import decode_bases, encode_bases, reverse_complement
    from diffbio_core.simulation.sequencing import SequencingModel
    from diffbio_core.simulation.variants import Variant, VariantModel, apply_variants, draw_variants, left_align

__all__ = [
    "DivergedCopy",
    "Fragments",
    "ReadPairs",
    "SequencerBias",
    "SequencingModel",
    "Variant",
    "VariantModel",
    "apply_variants",
    "decode_bases",
    "diverge",
    "draw_fragments",
    "draw_library",
    "draw_read_pairs",
    "draw_variants",
    "encode_bases",
    "left_align",
    "random_reference",
    "reverse_complement",
]

__getattr__ = lazy_names(
    __name__,
    {
        "coverage": ("Fragments", "draw_fragments"),
        "genome": ("DivergedCopy", "diverge", "random_reference"),
        "libraries": ("draw_library",),
        "reads": ("ReadPairs", "SequencerBias", "draw_read_pairs"),
        "sequence": ("decode_bases", "encode_bases", "reverse_complement"),
        "sequencing": ("SequencingModel",),
        "variants": ("Variant", "VariantModel", "apply_variants", "draw_variants", "left_align"),
    },
)
