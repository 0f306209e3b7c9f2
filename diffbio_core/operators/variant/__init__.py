"""Operators from reads to variants: pileup, read images, classifiers, recalibration."""

from diffbio_core.operators.variant.classifier import VariantClassifier, VariantClassifierConfig
from diffbio_core.operators.variant.cnn_classifier import CNNVariantClassifier, CNNVariantClassifierConfig
from diffbio_core.operators.variant.lane_pileup import LanePileup
from diffbio_core.operators.variant.pileup import DifferentiablePileup, PileupConfig
from diffbio_core.operators.variant.quality_recalibration import SoftVariantQualityFilter, VariantQualityFilterConfig

__all__ = [
    "CNNVariantClassifier",
    "CNNVariantClassifierConfig",
    "DifferentiablePileup",
    "LanePileup",
    "PileupConfig",
    "SoftVariantQualityFilter",
    "VariantClassifier",
    "VariantClassifierConfig",
    "VariantQualityFilterConfig",
]
