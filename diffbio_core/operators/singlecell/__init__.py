"""Operators on single cells: ambient RNA, batch correction, clustering, doublets, depth, knockdown filter."""

from diffbio_core.operators.singlecell.ambient_removal import AmbientRemovalConfig, DifferentiableAmbientRemoval
from diffbio_core.operators.singlecell.batch_correction import BatchCorrectionConfig, DifferentiableHarmony
from diffbio_core.operators.singlecell.doublet_detection import (
    DifferentiableDoubletScorer,
    DifferentiableSoloDetector,
    DoubletScorerConfig,
    SoloDetectorConfig,
)
from diffbio_core.operators.singlecell.downsampling import DownsamplingConfig, ReadDownsampler
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
    "DifferentiableDoubletScorer",
    "DifferentiableHarmony",
    "DifferentiableSoloDetector",
    "DoubletScorerConfig",
    "DownsamplingConfig",
    "KnockdownFilterConfig",
    "KnockdownReport",
    "OnTargetKnockdownFilter",
    "ReadDownsampler",
    "SoftClusteringConfig",
    "SoftKMeansClustering",
    "SoloDetectorConfig",
    "is_on_target_knockdown",
]
