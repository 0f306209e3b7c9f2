"""What diffbio reads and writes: alignments, references, window stores, VCF and tables of expression (import name ``diffbio_io``)."""
