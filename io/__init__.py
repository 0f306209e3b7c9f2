"""What diffbio reads and writes: alignments, references, windows, VCF, tables of expression (import ``diffbio_io``)."""
