"""Simulated individuals and sequencing: variants, haplotypes, and reads with the errors that real ones have."""
