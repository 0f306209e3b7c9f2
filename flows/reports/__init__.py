"""What people and scripts are told of a run: progress while it goes on, summary and report at its end."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_flows.reports.page import Report, as_multiqc, as_page
    from diffbio_flows.reports.progress import BarProgress, PlainProgress, Progress, Silence
    from diffbio_flows.reports.summary import CallSummary, ShardTotals, VariantCounts, WorkSummary, count_variants
    from diffbio_flows.reports.tables import as_markdown, as_text

__all__ = [
    "BarProgress",
    "CallSummary",
    "PlainProgress",
    "Progress",
    "Report",
    "ShardTotals",
    "Silence",
    "VariantCounts",
    "WorkSummary",
    "as_markdown",
    "as_multiqc",
    "as_page",
    "as_text",
    "count_variants",
]

__getattr__ = lazy_names(
    __name__,
    {
        "progress": ("BarProgress", "PlainProgress", "Progress", "Silence"),
        "summary": ("CallSummary", "ShardTotals", "VariantCounts", "WorkSummary", "count_variants"),
        "page": ("Report", "as_multiqc", "as_page"),
        "tables": ("as_markdown", "as_text"),
    },
)
