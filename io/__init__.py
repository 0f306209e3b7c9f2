"""What diffbio reads and writes: alignments, references, window stores and VCF (import name ``diffbio_io``)."""
