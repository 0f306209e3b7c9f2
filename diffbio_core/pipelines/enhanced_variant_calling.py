"""Enhanced variant calling pipeline: read images, a convolutional classifier, and recalibrated qualities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.constants import DEFAULT_QUALITY_THRESHOLD
from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.numerics.short_softmax import short_softmax
from diffbio_core.operators.quality_filter import DifferentiableQualityFilter, QualityFilterConfig
from diffbio_core.operators.validation import check_positions, check_positive, check_quality
from diffbio_core.operators.variant.cnn_classifier import CNNVariantClassifier, CNNVariantClassifierConfig
from diffbio_core.operators.variant.pileup import DifferentiablePileup, PileupConfig
from diffbio_core.operators.variant.quality_recalibration import SoftVariantQualityFilter, VariantQualityFilterConfig
from diffbio_core.operators.variant.read_image import HIGHEST_QUALITY, IMAGE_CHANNELS, read_image
from diffbio_core.pipelines.variant_calling import call_variants, check_reads, reference_one_hot
from diffbio_core.typing import Batch, Metadata, PyTree

VARIANT_FEATURES = ("variant_probability", "mean_quality", "log_depth", "largest_fraction")
"""What recalibration knows of each position; mean quality in units of 40, depth as log(1 + depth) / 5."""


@dataclass(frozen=True)
class EnhancedVariantCallingPipelineConfig(OperatorConfig):
    """Configuration of `EnhancedVariantCallingPipeline`.

    Attributes:
        reference_length: Columns of the reference (bp).
        num_classes: Classes: reference, SNV, indel.
        quality_threshold: Phred quality at which half of a base is kept, at first.
        pileup_window_size: Columns of a read image (bp).
        enable_preprocessing: Whether bases are filtered by quality.
        enable_quality_recalibration: Whether positions are scored by `SoftVariantQualityFilter`.
        cnn_input_height: Lanes of a read image.
        cnn_hidden_channels: Channels of the convolutions.
        cnn_fc_dims: Widths of the dense layers.
        cnn_dropout_rate: Fraction of dense values dropped in train mode.
        quality_recal_n_components: Components of the mixture.
        quality_recal_n_features: Features of a position: `VARIANT_FEATURES`, or the first of them.
        quality_recal_threshold: Score at which half of a variant passes.

    Raises:
        ValueError: A value out of range.
    """

    reference_length: int = 1000
    num_classes: int = 3
    quality_threshold: float = DEFAULT_QUALITY_THRESHOLD
    pileup_window_size: int = 11
    enable_preprocessing: bool = True
    enable_quality_recalibration: bool = True
    cnn_input_height: int = 100
    cnn_hidden_channels: tuple[int, ...] = (64, 128, 256)
    cnn_fc_dims: tuple[int, ...] = (256, 128)
    cnn_dropout_rate: float = 0.1
    quality_recal_n_components: int = 3
    quality_recal_n_features: int = len(VARIANT_FEATURES)
    quality_recal_threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "cnn_hidden_channels", tuple(self.cnn_hidden_channels))
        object.__setattr__(self, "cnn_fc_dims", tuple(self.cnn_fc_dims))
        check_positive(
            "enhanced variant calling pipeline",
            reference_length=self.reference_length,
            num_classes=self.num_classes,
            pileup_window_size=self.pileup_window_size,
            cnn_input_height=self.cnn_input_height,
            quality_recal_n_features=self.quality_recal_n_features,
        )
        if self.quality_recal_n_features > len(VARIANT_FEATURES):
            raise ValueError(
                f"quality_recal_n_features must be at most {len(VARIANT_FEATURES)} {VARIANT_FEATURES}, "
                f"got {self.quality_recal_n_features}"
            )


class EnhancedVariantCallingPipeline(OperatorModule):
    """From reads to the class of every reference position, seen as images, with a quality of its own.

    Attributes:
        quality_filter: Soft filter of bases, or None where preprocessing is switched off.
        pileup: Distribution of bases per column.
        cnn_classifier: Convolutions over read images.
        quality_recalibration: Gaussian mixture over what is known of a position, or None where switched off.
    """

    config: EnhancedVariantCallingPipelineConfig

    def __init__(
        self,
        config: EnhancedVariantCallingPipelineConfig,
        *,
        rngs: nnx.Rngs | None = None,
        name: str | None = None,
    ):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        self.quality_filter = (
            DifferentiableQualityFilter(QualityFilterConfig(initial_threshold=config.quality_threshold), rngs=rngs)
            if config.enable_preprocessing
            else None
        )
        self.pileup = DifferentiablePileup(
            PileupConfig(reference_length=config.reference_length, return_coverage=True, return_quality=True), rngs=rngs
        )
        self.cnn_classifier = CNNVariantClassifier(
            CNNVariantClassifierConfig(
                num_classes=config.num_classes,
                input_height=config.cnn_input_height,
                input_width=config.pileup_window_size,
                num_channels=len(IMAGE_CHANNELS),
                hidden_channels=config.cnn_hidden_channels,
                fc_dims=config.cnn_fc_dims,
                dropout_rate=config.cnn_dropout_rate,
            ),
            rngs=rngs,
        )
        recalibration = VariantQualityFilterConfig(
            n_components=config.quality_recal_n_components,
            n_features=config.quality_recal_n_features,
            threshold=config.quality_recal_threshold,
        )
        self.quality_recalibration = (
            SoftVariantQualityFilter(recalibration, rngs=rngs) if config.enable_quality_recalibration else None
        )

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Classify every position of one sample.

        Args:
            data: As `VariantCallingPipeline.apply` takes it. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for dropout.
            stats: Not used.

        Returns:
            The data with `filtered_reads`, `filtered_quality`, `pileup` (reference_length, 4), `coverage`,
            `weighted_coverage` and `mean_quality` (reference_length, 1), `logits` and `probabilities`
            (reference_length, num_classes), and unless switched off `quality_scores` and `filter_weights`
            (reference_length,); state, metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, a quality is NaN, or a read starts outside the reference,
                where values are concrete.
        """
        check_reads("enhanced variant calling pipeline", data)
        length = self.config.reference_length
        reads, positions, quality = data["reads"], data["positions"], data["quality"]
        mask, reference = data.get("read_mask"), reference_one_hot(data, length)
        threshold, filtered = None, reads
        if self.quality_filter is not None:
            threshold = self.quality_filter.threshold[...]
            filtered = reads * self.quality_filter.retention(quality)[..., None]
        piled = self.pileup.compute_pileup(reads, positions, quality, length, mask, threshold)
        height = self.cnn_classifier.config.input_height
        image = read_image(filtered, positions, quality, height, length, data.get("strand"), mask)
        logits = self.cnn_classifier.classify_columns(image, reference, random_params)
        result = {
            "filtered_reads": filtered,
            "filtered_quality": quality,
            **piled,
            "logits": logits,
            "probabilities": short_softmax(logits),
        }
        if self.quality_recalibration is not None:
            features = _variant_features(result)[:, : self.config.quality_recal_n_features]
            scored, _, _ = self.quality_recalibration.apply({"variant_features": features}, {}, None)
            result |= {key: scored[key] for key in ("quality_scores", "filter_weights")}
        return {**data, **result}, state, metadata

    def call_variants(self, batch: Batch | dict[str, Any], threshold: float = 0.5) -> dict[str, Any]:
        """Call variants in every sample, as `VariantCallingPipeline.call_variants`."""
        return call_variants(self, batch, threshold)

    def _check_values(self, data: PyTree) -> None:
        check_quality("enhanced variant calling pipeline", "quality", data["quality"])
        check_positions("enhanced variant calling pipeline", data["positions"], self.config.reference_length)


def create_enhanced_variant_calling_pipeline(
    reference_length: int = 1000,
    num_classes: int = 3,
    pileup_window_size: int = 11,
    cnn_hidden_channels: Sequence[int] | None = None,
    cnn_fc_dims: Sequence[int] | None = None,
    enable_preprocessing: bool = True,
    enable_quality_recalibration: bool = True,
    seed: int = 42,
) -> EnhancedVariantCallingPipeline:
    """Make an enhanced pipeline, in evaluation mode.

    Args:
        reference_length: Columns of the reference (bp).
        num_classes: Classes: reference, SNV, indel.
        pileup_window_size: Columns of a read image (bp).
        cnn_hidden_channels: Channels of the convolutions; (64, 128, 256) if None.
        cnn_fc_dims: Widths of the dense layers; (256, 128) if None.
        enable_preprocessing: Whether bases are filtered by quality.
        enable_quality_recalibration: Whether positions are scored.
        seed: Seed of the initial weights.

    Raises:
        ValueError: What `EnhancedVariantCallingPipelineConfig` refuses.
    """
    config = EnhancedVariantCallingPipelineConfig(
        reference_length=reference_length,
        num_classes=num_classes,
        pileup_window_size=pileup_window_size,
        cnn_hidden_channels=(64, 128, 256) if cnn_hidden_channels is None else tuple(cnn_hidden_channels),
        cnn_fc_dims=(256, 128) if cnn_fc_dims is None else tuple(cnn_fc_dims),
        enable_preprocessing=enable_preprocessing,
        enable_quality_recalibration=enable_quality_recalibration,
    )
    return EnhancedVariantCallingPipeline(config, rngs=nnx.Rngs(seed))


def _variant_features(result: dict[str, Array]) -> Float[Array, "reference_length 4"]:
    """`VARIANT_FEATURES` of every position."""
    return jnp.stack(
        [
            1 - result["probabilities"][:, 0],
            result["mean_quality"][:, 0] / HIGHEST_QUALITY,
            jnp.log1p(result["coverage"][:, 0]) / 5,
            result["pileup"].max(axis=-1),
        ],
        axis=-1,
    )
