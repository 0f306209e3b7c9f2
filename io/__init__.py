"""What diffbio reads and writes: alignments, references, windows, VCF, tables of expression (import ``diffbio_io``)."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_io.fasta import FastaFile, md5_of_contigs
    from diffbio_io.h5ad import read_anndata, read_expression, write_anndata
    from diffbio_io.reference import Reference
    from diffbio_io.regions import merge_intervals, parse_region, read_bed, resolve_regions

__all__ = [
    "FastaFile",
    "Reference",
    "md5_of_contigs",
    "merge_intervals",
    "parse_region",
    "read_anndata",
    "read_bed",
    "read_expression",
    "resolve_regions",
    "write_anndata",
]

__getattr__ = lazy_names(
    __name__,
    {
        "fasta": ("FastaFile", "md5_of_contigs"),
        "h5ad": ("read_anndata", "read_expression", "write_anndata"),
        "reference": ("Reference",),
        "regions": ("merge_intervals", "parse_region", "read_bed", "resolve_regions"),
    },
)
