"""Variants in files: VCF, gVCF and truth sets."""
