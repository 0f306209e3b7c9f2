"""Reads: the records of a BAM file, which of them count, and their form as arrays."""
