"""Differentiable operators on reads, pileups and variants."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
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

__getattr__ = lazy_names(
    __name__,
    {
        "base": ("OperatorConfig", "OperatorModule", "TemperatureConfig", "TemperatureOperator"),
        "quality_filter": ("DifferentiableQualityFilter", "QualityFilterConfig"),
    },
)
