"""How good calls are: comparison with a truth set by local haplotypes, and hap.py's summary of it."""
