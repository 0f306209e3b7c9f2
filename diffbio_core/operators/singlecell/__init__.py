"""Operators on single cells."""

from diffbio_core.operators.singlecell.knockdown_filter import (
    KnockdownFilterConfig,
    KnockdownReport,
    OnTargetKnockdownFilter,
    is_on_target_knockdown,
)

__all__ = ["KnockdownFilterConfig", "KnockdownReport", "OnTargetKnockdownFilter", "is_on_target_knockdown"]
