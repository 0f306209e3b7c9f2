"""Preprocessing pipeline: quality filter, adapter removal, duplicate weighting, error correction, all soft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx

from diffbio_core.constants import DEFAULT_QUALITY_THRESHOLD, DEFAULT_TEMPERATURE, ILLUMINA_ADAPTER
from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.preprocessing.adapter_removal import AdapterRemovalConfig, SoftAdapterRemoval
from diffbio_core.operators.preprocessing.duplicate_weighting import (
    DifferentiableDuplicateWeighting,
    DuplicateWeightingConfig,
)
from diffbio_core.operators.preprocessing.error_correction import ErrorCorrectionConfig, SoftErrorCorrection
from diffbio_core.operators.quality_filter import DifferentiableQualityFilter, QualityFilterConfig
from diffbio_core.operators.validation import check_positive, check_quality, check_shapes
from diffbio_core.typing import Metadata, PyTree


@dataclass(frozen=True)
class PreprocessingPipelineConfig(OperatorConfig):
    """Configuration of `PreprocessingPipeline`.

    Attributes:
        read_length: Expected length of reads (bp); others work too.
        adapter_sequence: Adapter, A C G T, and N for any base.
        quality_threshold: Phred quality at which half of a base is kept, at first.
        adapter_match_threshold: Fraction of matching bases at which an adapter is as likely as none, at first.
        adapter_temperature: Temperature of the search for the adapter.
        duplicate_similarity_threshold: Similarity at which a read is half a copy, at first.
        error_correction_window: Bases that error correction sees (bp).
        error_correction_hidden_dim: Width of its hidden layers.
        enable_adapter_removal: Whether adapters are removed.
        enable_duplicate_weighting: Whether duplicates are weighed down.
        enable_error_correction: Whether errors are corrected.

    Raises:
        ValueError: A value out of range.
    """

    read_length: int = 150
    adapter_sequence: str = ILLUMINA_ADAPTER
    quality_threshold: float = DEFAULT_QUALITY_THRESHOLD
    adapter_match_threshold: float = 0.8
    adapter_temperature: float = DEFAULT_TEMPERATURE
    duplicate_similarity_threshold: float = 0.95
    error_correction_window: int = 11
    error_correction_hidden_dim: int = 64
    enable_adapter_removal: bool = True
    enable_duplicate_weighting: bool = True
    enable_error_correction: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("preprocessing pipeline", read_length=self.read_length)


class PreprocessingPipeline(OperatorModule):
    """From raw reads to reads whose bases and weights say how far they can be trusted.

    Attributes:
        quality_filter: Soft filter of bases.
        adapter_removal: Soft trimming, or None where switched off.
        duplicate_weighting: Weights of reads, or None.
        error_correction: Network that corrects bases, or None.
    """

    config: PreprocessingPipelineConfig

    def __init__(self, config: PreprocessingPipelineConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        self.quality_filter = DifferentiableQualityFilter(
            QualityFilterConfig(initial_threshold=config.quality_threshold), rngs=rngs
        )
        adapter = AdapterRemovalConfig(
            adapter_sequence=config.adapter_sequence,
            match_threshold=config.adapter_match_threshold,
            temperature=config.adapter_temperature,
        )
        duplicates = DuplicateWeightingConfig(similarity_threshold=config.duplicate_similarity_threshold)
        correction = ErrorCorrectionConfig(
            window_size=config.error_correction_window, hidden_dim=config.error_correction_hidden_dim
        )
        self.adapter_removal = SoftAdapterRemoval(adapter, rngs=rngs) if config.enable_adapter_removal else None
        self.duplicate_weighting = (
            DifferentiableDuplicateWeighting(duplicates, rngs=rngs) if config.enable_duplicate_weighting else None
        )
        self.error_correction = SoftErrorCorrection(correction, rngs=rngs) if config.enable_error_correction else None

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Preprocess the reads of one sample.

        Args:
            data: `reads` (num_reads, read_length, 4) and `quality` (num_reads, read_length), Phred; optionally
                `read_mask` (num_reads, read_length), 0 for padding. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `preprocessed_reads` (num_reads, read_length, 4), `preprocessed_quality`
            (num_reads, read_length), the qualities as they are, and `read_weights` (num_reads,), the largest 1; state,
            metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, or a quality is NaN.
        """
        expected: dict[str, tuple[str | int, ...]] = {
            "reads": ("num_reads", "read_length", 4),
            "quality": ("num_reads", "read_length"),
        }
        if isinstance(data, dict) and "read_mask" in data:
            expected["read_mask"] = ("num_reads", "read_length")
        check_shapes("preprocessing pipeline", data, expected)
        self._check_values(data)
        quality, mask = data["quality"], data.get("read_mask")
        reads = data["reads"] * self.quality_filter.retention(quality)[..., None]
        if mask is not None:
            reads = reads * mask[..., None]
        if self.adapter_removal is not None:
            kept, _, _ = self.adapter_removal.trim(reads)
            reads = reads * kept[..., None]
        weights = (
            jnp.ones(reads.shape[:1], reads.dtype) if mask is None else (mask.max(axis=-1) > 0).astype(reads.dtype)
        )
        if self.duplicate_weighting is not None:
            weights, _ = self.duplicate_weighting.weigh(reads, quality, mask)
        if self.error_correction is not None:
            reads, _ = self.error_correction.correct(reads, quality)
            if mask is not None:
                reads = reads * mask[..., None]
        result = {"preprocessed_reads": reads, "preprocessed_quality": quality, "read_weights": weights}
        return {**data, **result}, state, metadata

    def _check_values(self, data: PyTree) -> None:
        check_quality("preprocessing pipeline", "quality", data["quality"])


def create_preprocessing_pipeline(
    read_length: int = 150,
    quality_threshold: float = DEFAULT_QUALITY_THRESHOLD,
    adapter_sequence: str = ILLUMINA_ADAPTER,
    enable_adapter_removal: bool = True,
    enable_duplicate_weighting: bool = True,
    enable_error_correction: bool = True,
    seed: int = 42,
) -> PreprocessingPipeline:
    """Make a preprocessing pipeline, in evaluation mode.

    Args:
        read_length: Expected length of reads (bp).
        quality_threshold: Phred quality at which half of a base is kept, at first.
        adapter_sequence: Adapter, A C G T, and N for any base.
        enable_adapter_removal: Whether adapters are removed.
        enable_duplicate_weighting: Whether duplicates are weighed down.
        enable_error_correction: Whether errors are corrected.
        seed: Seed of the initial weights.

    Raises:
        ValueError: What the configurations refuse.
    """
    config = PreprocessingPipelineConfig(
        read_length=read_length,
        quality_threshold=quality_threshold,
        adapter_sequence=adapter_sequence,
        enable_adapter_removal=enable_adapter_removal,
        enable_duplicate_weighting=enable_duplicate_weighting,
        enable_error_correction=enable_error_correction,
    )
    return PreprocessingPipeline(config, rngs=nnx.Rngs(seed))
