"""Aligned reads: BAM and CRAM, their indexes, and the look at them before a run."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_io.alignments.bgzf import CorruptBlock, read_blocks
    from diffbio_io.alignments.header import AlignmentHeader, read_header
    from diffbio_io.alignments.preflight import AlignmentReport, check_alignment
    from diffbio_io.alignments.reader import AlignmentReader

__all__ = [
    "AlignmentHeader",
    "AlignmentReader",
    "AlignmentReport",
    "CorruptBlock",
    "check_alignment",
    "read_blocks",
    "read_header",
]

__getattr__ = lazy_names(
    __name__,
    {
        "bgzf": ("CorruptBlock", "read_blocks"),
        "header": ("AlignmentHeader", "read_header"),
        "preflight": ("AlignmentReport", "check_alignment"),
        "reader": ("AlignmentReader",),
    },
)
