"""Operators on single cells: batch correction, clustering, knockdown filter."""

from diffbio_core.operators.singlecell.batch_correction import BatchCorrectionConfig, DifferentiableHarmony
from diffbio_core.operators.singlecell.knockdown_filter import (
    KnockdownFilterConfig,
    KnockdownReport,
    OnTargetKnockdownFilter,
    is_on_target_knockdown,
)
from diffbio_core.operators.singlecell.soft_clustering import SoftClusteringConfig, SoftKMeansClustering

__all__ = [
    "BatchCorrectionConfig",
    "DifferentiableHarmony",
    "KnockdownFilterConfig",
    "KnockdownReport",
    "OnTargetKnockdownFilter",
    "SoftClusteringConfig",
    "SoftKMeansClustering",
    "is_on_target_knockdown",
]
