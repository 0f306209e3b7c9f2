"""Reads: the records of a BAM file, which of them count, and their form as arrays."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.reads.arrays import Lanes, cut_reads, lay_in_lanes
    from diffbio_core.reads.mates import join_mates, settle_mates
    from diffbio_core.reads.records import MalformedRecords, ReadTable, RecordScan
    from diffbio_core.reads.thinning import Interval, IntervalReads, scan_pieces, scan_records

__all__ = [
    "Interval",
    "IntervalReads",
    "Lanes",
    "MalformedRecords",
    "ReadTable",
    "RecordScan",
    "cut_reads",
    "join_mates",
    "lay_in_lanes",
    "scan_pieces",
    "scan_records",
    "settle_mates",
]

__getattr__ = lazy_names(
    __name__,
    {
        "arrays": ("Lanes", "cut_reads", "lay_in_lanes"),
        "mates": ("join_mates", "settle_mates"),
        "records": ("MalformedRecords", "ReadTable", "RecordScan"),
        "thinning": ("Interval", "IntervalReads", "scan_pieces", "scan_records"),
    },
)
