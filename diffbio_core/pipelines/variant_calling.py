"""Variant calling pipeline: soft quality filter, pileup, classifier, one differentiable function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.constants import DEFAULT_QUALITY_THRESHOLD, NUM_BASES, ClassifierType
from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.numerics.short_softmax import short_softmax
from diffbio_core.operators.quality_filter import DifferentiableQualityFilter, QualityFilterConfig
from diffbio_core.operators.validation import (
    check_fraction,
    check_positions,
    check_positive,
    check_quality,
    check_shapes,
)
from diffbio_core.operators.variant.classifier import VariantClassifier, VariantClassifierConfig
from diffbio_core.operators.variant.cnn_classifier import CNNVariantClassifier, CNNVariantClassifierConfig
from diffbio_core.operators.variant.pileup import DifferentiablePileup, PileupConfig
from diffbio_core.operators.variant.read_image import IMAGE_CHANNELS, read_image
from diffbio_core.typing import Batch, Element, Metadata, PyTree


@dataclass(frozen=True)
class VariantCallingPipelineConfig(OperatorConfig):
    """Configuration of `VariantCallingPipeline`.

    Attributes:
        reference_length: Columns of the reference (bp).
        num_classes: Classes: reference, SNV, indel.
        quality_threshold: Phred quality at which half of a base is kept, at first.
        pileup_window_size: Columns that the classifier sees (bp).
        classifier_hidden_dim: Width of the perceptron's hidden layers.
        use_quality_weights: Weigh the pileup by quality.
        classifier_type: Perceptron over the pileup, or convolutions over read images.
        cnn_hidden_channels: Channels of the convolutions.
        cnn_fc_dims: Widths of the dense layers after them.
        cnn_input_height: Lanes of a read image.
        apply_pileup_softmax: Classify softmax(fractions), or the fractions themselves.

    Raises:
        ValueError: A size that is not positive, or another classifier type.
    """

    reference_length: int = 100
    num_classes: int = 3
    quality_threshold: float = DEFAULT_QUALITY_THRESHOLD
    pileup_window_size: int = 11
    classifier_hidden_dim: int = 64
    use_quality_weights: bool = True
    classifier_type: ClassifierType = ClassifierType.MLP
    cnn_hidden_channels: tuple[int, ...] = (32, 64)
    cnn_fc_dims: tuple[int, ...] = (64, 32)
    cnn_input_height: int = 32
    apply_pileup_softmax: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "classifier_type", ClassifierType(self.classifier_type))
        object.__setattr__(self, "cnn_hidden_channels", tuple(self.cnn_hidden_channels))
        object.__setattr__(self, "cnn_fc_dims", tuple(self.cnn_fc_dims))
        check_positive(
            "variant calling pipeline",
            reference_length=self.reference_length,
            num_classes=self.num_classes,
            pileup_window_size=self.pileup_window_size,
            classifier_hidden_dim=self.classifier_hidden_dim,
            cnn_input_height=self.cnn_input_height,
        )


class VariantCallingPipeline(OperatorModule):
    """From reads to the class of every reference position.

    Attributes:
        quality_filter: Soft filter of bases.
        pileup: Distribution of bases per column.
        classifier: Network over a window of columns; may be replaced by one of another window or other classes.
    """

    config: VariantCallingPipelineConfig

    def __init__(self, config: VariantCallingPipelineConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        self.quality_filter = DifferentiableQualityFilter(
            QualityFilterConfig(initial_threshold=config.quality_threshold), rngs=rngs
        )
        self.pileup = DifferentiablePileup(
            PileupConfig(
                reference_length=config.reference_length,
                use_quality_weights=config.use_quality_weights,
                apply_softmax=config.apply_pileup_softmax,
                return_coverage=config.classifier_type is ClassifierType.CNN,
                return_quality=config.classifier_type is ClassifierType.CNN,
            ),
            rngs=rngs,
        )
        self.classifier = self._classifier(config, rngs)

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
            data: `reads` (num_reads, read_length, 4), `positions` (num_reads,) int, `quality` (num_reads, read_length),
                Phred. Optionally `reference` (reference_length, 4) one-hot, or (reference_length,) codes 0 to 3, more
                for N; `strand` (num_reads,), 0 forward, 1 reverse; `read_mask` (num_reads, read_length), 0 for padding.
                Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for dropout.
            stats: Not used.

        Returns:
            The data with `filtered_reads`, `filtered_quality` (the qualities as they are), `pileup`
            (reference_length, 4), `logits` and `probabilities` (reference_length, num_classes), and with the classifier
            of read images `coverage`, `weighted_coverage` and `mean_quality` (reference_length, 1); state, metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, a quality is NaN, or a read starts outside the reference,
                where values are concrete.
        """
        check_reads("variant calling pipeline", data)
        reference = reference_one_hot(data, self.config.reference_length)
        piled = self.pileup.compute_pileup(
            data["reads"],
            data["positions"],
            data["quality"],
            self.config.reference_length,
            data.get("read_mask"),
            threshold=self.quality_filter.threshold[...],
        )
        filtered = data["reads"] * self.quality_filter.retention(data["quality"])[..., None]
        if isinstance(self.classifier, CNNVariantClassifier):
            seen = read_image(
                filtered,
                data["positions"],
                data["quality"],
                self.classifier.config.input_height,
                self.config.reference_length,
                data.get("strand"),
                data.get("read_mask"),
            )
        else:
            seen = piled["pileup"]
        logits = self.classifier.classify_columns(seen, reference, random_params)
        result = {
            "filtered_reads": filtered,
            "filtered_quality": data["quality"],
            **piled,
            "logits": logits,
            "probabilities": short_softmax(logits),
        }
        return {**data, **result}, state, metadata

    def call_variants(self, batch: Batch | dict[str, Any], threshold: float = 0.5) -> dict[str, Any]:
        """Call variants in every sample, without dropout.

        Args:
            batch: Samples, or one sample's data.
            threshold: A class other than reference is called only where its probability reaches this: lower finds more.

        Returns:
            `predictions` (batch, reference_length) int, 0 where nothing is called, else the likeliest other class;
            `probabilities` (batch, reference_length, num_classes); `pileup` (batch, reference_length, 4);
            `variant_positions`, the called positions of each sample, 0-based, as a list of arrays.

        Raises:
            ValueError: The threshold lies outside 0 to 1, or what `apply` refuses.
        """
        return call_variants(self, batch, threshold)

    def _check_values(self, data: PyTree) -> None:
        check_quality("variant calling pipeline", "quality", data["quality"])
        check_positions("variant calling pipeline", data["positions"], self.config.reference_length)

    @staticmethod
    def _classifier(config: VariantCallingPipelineConfig, rngs: nnx.Rngs) -> VariantClassifier | CNNVariantClassifier:
        if config.classifier_type is ClassifierType.MLP:
            return VariantClassifier(
                VariantClassifierConfig(
                    num_classes=config.num_classes,
                    hidden_dim=config.classifier_hidden_dim,
                    input_window=config.pileup_window_size,
                ),
                rngs=rngs,
            )
        return CNNVariantClassifier(
            CNNVariantClassifierConfig(
                num_classes=config.num_classes,
                input_height=config.cnn_input_height,
                input_width=config.pileup_window_size,
                num_channels=len(IMAGE_CHANNELS),
                hidden_channels=config.cnn_hidden_channels,
                fc_dims=config.cnn_fc_dims,
            ),
            rngs=rngs,
        )


def create_variant_calling_pipeline(
    reference_length: int = 100,
    num_classes: int = 3,
    quality_threshold: float = DEFAULT_QUALITY_THRESHOLD,
    hidden_dim: int = 64,
    classifier_type: ClassifierType | str = ClassifierType.MLP,
    pileup_window_size: int = 11,
    apply_pileup_softmax: bool = True,
    seed: int = 42,
) -> VariantCallingPipeline:
    """Make a pipeline, in evaluation mode.

    Args:
        reference_length: Columns of the reference (bp).
        num_classes: Classes: reference, SNV, indel.
        quality_threshold: Phred quality at which half of a base is kept, at first.
        hidden_dim: Width of the perceptron's hidden layers.
        classifier_type: `ClassifierType` or its value, "mlp" or "cnn".
        pileup_window_size: Columns that the classifier sees (bp).
        apply_pileup_softmax: Classify softmax(fractions), or the fractions themselves.
        seed: Seed of the initial weights.

    Raises:
        ValueError: What `VariantCallingPipelineConfig` refuses.
    """
    config = VariantCallingPipelineConfig(
        reference_length=reference_length,
        num_classes=num_classes,
        quality_threshold=quality_threshold,
        classifier_hidden_dim=hidden_dim,
        classifier_type=ClassifierType(classifier_type),
        pileup_window_size=pileup_window_size,
        apply_pileup_softmax=apply_pileup_softmax,
    )
    return VariantCallingPipeline(config, rngs=nnx.Rngs(seed))


def create_cnn_variant_pipeline(
    reference_length: int = 100,
    num_classes: int = 3,
    quality_threshold: float = DEFAULT_QUALITY_THRESHOLD,
    pileup_window_size: int = 21,
    cnn_hidden_channels: Sequence[int] | None = None,
    cnn_fc_dims: Sequence[int] | None = None,
    seed: int = 42,
) -> VariantCallingPipeline:
    """Make a pipeline that classifies read images, in evaluation mode; its pileup holds fractions, not their softmax.

    Args:
        reference_length: Columns of the reference (bp).
        num_classes: Classes: reference, SNV, indel.
        quality_threshold: Phred quality at which half of a base is kept, at first.
        pileup_window_size: Columns that the classifier sees (bp).
        cnn_hidden_channels: Channels of the convolutions; (32, 64) if None.
        cnn_fc_dims: Widths of the dense layers; (64, 32) if None.
        seed: Seed of the initial weights.

    Raises:
        ValueError: What the pipeline's or the classifier's configuration refuses.
    """
    config = VariantCallingPipelineConfig(
        reference_length=reference_length,
        num_classes=num_classes,
        quality_threshold=quality_threshold,
        pileup_window_size=pileup_window_size,
        classifier_type=ClassifierType.CNN,
        cnn_hidden_channels=(32, 64) if cnn_hidden_channels is None else tuple(cnn_hidden_channels),
        cnn_fc_dims=(64, 32) if cnn_fc_dims is None else tuple(cnn_fc_dims),
        apply_pileup_softmax=False,
    )
    return VariantCallingPipeline(config, rngs=nnx.Rngs(seed))


def call_variants(pipeline: OperatorModule, batch: Batch | dict[str, Any], threshold: float) -> dict[str, Any]:
    """`VariantCallingPipeline.call_variants` for any pipeline that gives `probabilities` and `pileup`."""
    check_fraction("call_variants", threshold=threshold)
    if not isinstance(batch, Batch):
        batch = Batch([Element(data=batch)])
    quiet = nnx.merge(*nnx.split(pipeline))
    quiet.eval_mode()
    result = quiet.apply_batch(batch).data
    others = result["probabilities"][..., 1:]
    predictions = jnp.where(others.max(axis=-1) >= threshold, jnp.argmax(others, axis=-1) + 1, 0)
    return {
        "predictions": predictions,
        "probabilities": result["probabilities"],
        "pileup": result["pileup"],
        "variant_positions": [jnp.asarray(np.flatnonzero(sample)) for sample in np.asarray(predictions)],
    }


def check_reads(owner: str, data: PyTree) -> None:
    """Check the shapes of a sample's reads.

    Args:
        owner: Name of the operator, for messages.
        data: A sample's arrays by key.

    Raises:
        ValueError: A key is missing, or shapes do not fit.
    """
    expected: dict[str, tuple[str | int, ...]] = {
        "reads": ("num_reads", "read_length", NUM_BASES),
        "positions": ("num_reads",),
        "quality": ("num_reads", "read_length"),
    }
    optional = {"read_mask": ("num_reads", "read_length"), "strand": ("num_reads",)}
    present = data if isinstance(data, dict) else {}
    check_shapes(owner, data, expected | {key: axes for key, axes in optional.items() if key in present})


def reference_one_hot(data: dict[str, Any], reference_length: int) -> Float[Array, "reference_length 4"] | None:
    """One-hot reference of a sample, if it has one."""
    reference = data.get("reference")
    if reference is None:
        return None
    if jnp.ndim(reference) == 1:
        check_shapes("variant calling pipeline", data, {"reference": (reference_length,)})
        return jax.nn.one_hot(reference, NUM_BASES)
    check_shapes("variant calling pipeline", data, {"reference": (reference_length, NUM_BASES)})
    return jnp.asarray(reference, dtype=float)
