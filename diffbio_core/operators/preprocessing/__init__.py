"""Operators that clean reads before they are piled up."""

from diffbio_core.operators.preprocessing.adapter_removal import AdapterRemovalConfig, SoftAdapterRemoval
from diffbio_core.operators.preprocessing.duplicate_weighting import (
    DifferentiableDuplicateWeighting,
    DuplicateWeightingConfig,
)
from diffbio_core.operators.preprocessing.error_correction import ErrorCorrectionConfig, SoftErrorCorrection

__all__ = [
    "AdapterRemovalConfig",
    "DifferentiableDuplicateWeighting",
    "DuplicateWeightingConfig",
    "ErrorCorrectionConfig",
    "SoftAdapterRemoval",
    "SoftErrorCorrection",
]
