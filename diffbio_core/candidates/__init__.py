"""Candidate alleles: those that reads propose, and the views of them that are classified."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.candidates.discovery import CandidateTable, IndelEvents, find_candidates
    from diffbio_core.candidates.limits import ViewLimits
    from diffbio_core.candidates.views import CandidateViews, candidate_depth, cut_views

__all__ = [
    "CandidateTable",
    "CandidateViews",
    "IndelEvents",
    "ViewLimits",
    "candidate_depth",
    "cut_views",
    "find_candidates",
]

__getattr__ = lazy_names(
    __name__,
    {
        "discovery": ("CandidateTable", "IndelEvents", "find_candidates"),
        "limits": ("ViewLimits",),
        "views": ("CandidateViews", "candidate_depth", "cut_views"),
    },
)
