"""What diffbio reads and writes: alignments, references, regions, window stores and VCF (import name ``diffbio_io``)."""
