"""A call's summary, as tests of what is made of it take it."""

from diffbio_flows.reports.summary import CallSummary, ShardTotals, VariantCounts, WorkSummary
from diffbio_flows.shards.message import ShardResult

RESULTS = [
    ShardResult("chr1.000000", 100, {"reads_used": 5, "candidates": 2}, {"ingest": 0.5}, 300.0),
    ShardResult("chr1.000001", 50, {"reads_used": 1, "reads_duplicate": 4}, {"ingest": 0.25, "call": 1.0}, 200.0),
]

SUMMARY = CallSummary(
    output="calls.vcf.gz",
    gvcf=None,
    store="calls.vcf.gz.work/windows.zarr",
    report="calls.vcf.gz.work/report.html",
    sample="<NA12878>",
    variants=VariantCounts(records=3, passed=2, snps=3, transitions=2, transversions=1, heterozygous=2, homozygous=1),
    work=WorkSummary(ShardTotals.of(RESULTS), 1, 2, {"check": 0.5, "shards": 61.0}, 80.0),
)
