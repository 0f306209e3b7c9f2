"""Operators on single cells: ambient RNA, batch correction, clustering, knockdown filter."""

from diffbio_core.operators.singlecell.ambient_removal import AmbientRemovalConfig, DifferentiableAmbientRemoval
from diffbio_core.operators.singlecell.batch_correction import BatchCorrectionConfig, DifferentiableHarmony
from diffbio_core.operators.singlecell.knockdown_filter import (
    KnockdownFilterConfig,
    KnockdownReport,
    OnTargetKnockdownFilter,
    is_on_target_knockdown,
)
from diffbio_core.operators.singlecell.soft_clustering import SoftClusteringConfig, SoftKMeansClustering

__all__ = [
    "AmbientRemovalConfig",
    "BatchCorrectionConfig",
    "DifferentiableAmbientRemoval",
    "DifferentiableHarmony",
    "KnockdownFilterConfig",
    "KnockdownReport",
    "OnTargetKnockdownFilter",
    "SoftClusteringConfig",
    "SoftKMeansClustering",
    "is_on_target_knockdown",
]
