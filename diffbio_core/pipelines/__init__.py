"""Operators chained into one differentiable function each.

Those of cells are imported when they are asked for: callers of variants need not wait for them.
"""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names
from diffbio_core.pipelines.allele_calling import AlleleCallingConfig, AlleleCallingPipeline
from diffbio_core.pipelines.differential_expression import DEPipelineConfig, DifferentialExpressionPipeline
from diffbio_core.pipelines.enhanced_variant_calling import (
    EnhancedVariantCallingPipeline,
    EnhancedVariantCallingPipelineConfig,
    create_enhanced_variant_calling_pipeline,
)
from diffbio_core.pipelines.preprocessing import (
    PreprocessingPipeline,
    PreprocessingPipelineConfig,
    create_preprocessing_pipeline,
)
from diffbio_core.pipelines.variant_calling import (
    VariantCallingPipeline,
    VariantCallingPipelineConfig,
    create_cnn_variant_pipeline,
    create_variant_calling_pipeline,
)

if TYPE_CHECKING:
    from diffbio_core.pipelines.perturbation import (
        PerturbationPipeline,
        PerturbationPipelineConfig,
        PerturbationPipelineResult,
    )
    from diffbio_core.pipelines.single_cell import (
        SingleCellPipeline,
        SingleCellPipelineConfig,
        create_single_cell_pipeline,
    )

__all__ = [
    "AlleleCallingConfig",
    "AlleleCallingPipeline",
    "DEPipelineConfig",
    "DifferentialExpressionPipeline",
    "EnhancedVariantCallingPipeline",
    "EnhancedVariantCallingPipelineConfig",
    "PerturbationPipeline",
    "PerturbationPipelineConfig",
    "PerturbationPipelineResult",
    "PreprocessingPipeline",
    "PreprocessingPipelineConfig",
    "SingleCellPipeline",
    "SingleCellPipelineConfig",
    "VariantCallingPipeline",
    "VariantCallingPipelineConfig",
    "create_cnn_variant_pipeline",
    "create_enhanced_variant_calling_pipeline",
    "create_preprocessing_pipeline",
    "create_single_cell_pipeline",
    "create_variant_calling_pipeline",
]

__getattr__ = lazy_names(
    __name__,
    {
        "perturbation": ("PerturbationPipeline", "PerturbationPipelineConfig", "PerturbationPipelineResult"),
        "single_cell": ("SingleCellPipeline", "SingleCellPipelineConfig", "create_single_cell_pipeline"),
    },
)
