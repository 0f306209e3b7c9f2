"""Differentiable operators on reads, pileups and variants."""

from diffbio_core.operators.base import OperatorConfig, OperatorModule, TemperatureConfig, TemperatureOperator
from diffbio_core.operators.quality_filter import DifferentiableQualityFilter, QualityFilterConfig

__all__ = [
    "DifferentiableQualityFilter",
    "OperatorConfig",
    "OperatorModule",
    "QualityFilterConfig",
    "TemperatureConfig",
    "TemperatureOperator",
]
