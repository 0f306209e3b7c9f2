"""Aligned reads: BAM and CRAM, their indexes, and the look at them before a run."""
