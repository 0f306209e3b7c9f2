"""A convolutional network over read images: reads are rows, reference columns run across, channels hold each base."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.constants import NUM_BASES
from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.dropout import Dropout
from diffbio_core.operators.validation import check_fraction, check_positive, check_shapes
from diffbio_core.typing import Metadata, PyTree


@dataclass(frozen=True)
class CNNVariantClassifierConfig(OperatorConfig):
    """Configuration of `CNNVariantClassifier`.

    Attributes:
        num_classes: Classes; class 0 is the reference.
        input_height: Rows of an image: lanes of reads.
        input_width: Columns of an image, the position to classify in their middle.
        num_channels: What is known of a base: A, C, G, T, quality, strand.
        hidden_channels: Channels of each convolution.
        fc_dims: Widths of the dense layers.
        dropout_rate: Fraction of dense values dropped in train mode.

    Raises:
        ValueError: A size that is not positive, no convolution, or a rate outside [0, 1].
    """

    num_classes: int = 3
    input_height: int = 100
    input_width: int = 221
    num_channels: int = 6
    hidden_channels: tuple[int, ...] = (64, 128, 256)
    fc_dims: tuple[int, ...] = (256, 128)
    dropout_rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hidden_channels", tuple(self.hidden_channels))
        object.__setattr__(self, "fc_dims", tuple(self.fc_dims))
        if not self.hidden_channels:
            raise ValueError("CNN classifier: hidden_channels needs at least one convolution, got ()")
        check_positive(
            "CNN classifier",
            num_classes=self.num_classes,
            input_height=self.input_height,
            input_width=self.input_width,
            num_channels=self.num_channels,
            **{f"hidden_channels[{index}]": size for index, size in enumerate(self.hidden_channels)},
            **{f"fc_dims[{index}]": size for index, size in enumerate(self.fc_dims)},
        )
        check_fraction("CNN classifier", dropout_rate=self.dropout_rate)


class CNNVariantClassifier(OperatorModule):
    """Convolutions, means over rows, then dense layers over the middle column and the mean of all columns.

    Convolutions are not padded across columns, so that an image as long as the reference gives in one pass what its
    windows give one by one. Where the reference is given, the first layer sees it under every row.
    """

    config: CNNVariantClassifierConfig

    def __init__(self, config: CNNVariantClassifierConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        self.widths = _kernel_widths(config.input_width, len(config.hidden_channels))
        channels = (config.num_channels, *config.hidden_channels)
        self.convolutions = nnx.List(
            [
                nnx.Conv(channels[layer], channels[layer + 1], (3, width), padding=((1, 1), (0, 0)), rngs=rngs)
                for layer, width in enumerate(self.widths)
            ]
        )
        self.reference_layer = nnx.Conv(
            2, channels[1], (3, self.widths[0]), padding=((1, 1), (0, 0)), use_bias=False, rngs=rngs
        )
        dims = (2 * channels[-1], *config.fc_dims)
        self.dense_layers = nnx.List(
            [nnx.Linear(before, after, rngs=rngs) for before, after in itertools.pairwise(dims)]
        )
        self.output_layer = nnx.Linear(dims[-1], config.num_classes, rngs=rngs)
        self.dropout = Dropout(config.dropout_rate, rngs=rngs)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.config.num_classes

    def classify(
        self,
        pileup_image: Float[Array, "*batch height width channels"],
        reference_window: Float[Array, "*batch width 4"] | None = None,
        random_params: Any = None,
    ) -> Float[Array, "*batch num_classes"]:
        """Logits for the column in the middle of each image.

        Args:
            pileup_image: Read images.
            reference_window: One-hot reference of the images' columns.
            random_params: PRNG key for dropout.
        """
        features = self._features(pileup_image, reference_window)
        centre = features[..., features.shape[-2] // 2, :]
        return self._head(jnp.concatenate([centre, features.mean(axis=-2)], axis=-1), random_params)

    def classify_columns(
        self,
        image: Float[Array, "height reference_length channels"],
        reference: Float[Array, "reference_length 4"] | None = None,
        random_params: Any = None,
    ) -> Float[Array, "reference_length num_classes"]:
        """Logits for every column of one long image, whose ends are padded with zeros.

        Args:
            image: Image of all reads.
            reference: One-hot reference.
            random_params: PRNG key for dropout.
        """
        width, length = self.config.input_width, image.shape[-2]
        ends = (width // 2, width - 1 - width // 2)
        features = self._features(
            jnp.pad(image, ((0, 0), ends, (0, 0))), None if reference is None else jnp.pad(reference, (ends, (0, 0)))
        )
        span = features.shape[-2] - length + 1
        means = jax.lax.reduce_window(features, 0.0, jax.lax.add, (span, 1), (1, 1), "VALID") / span
        centre = jax.lax.slice_in_dim(features, span // 2, span // 2 + length)
        return self._head(jnp.concatenate([centre, means], axis=-1), random_params)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Classify one image, or several along leading axes.

        Args:
            data: `pileup_image` (..., input_height, input_width, num_channels); optionally `reference_window`
                (..., input_width, 4), one-hot. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for dropout.
            stats: Not used.

        Returns:
            The data with `logits` and `class_probs` (..., num_classes), state, metadata.

        Raises:
            ValueError: A key is missing or an array has another shape.
        """
        config = self.config
        batch = jnp.ndim(data["pileup_image"]) - 3 if isinstance(data, dict) and "pileup_image" in data else 0
        axes = tuple(f"batch{axis}" for axis in range(batch))
        image_shape = (config.input_height, config.input_width, config.num_channels)
        expected: dict[str, tuple[str | int, ...]] = {"pileup_image": (*axes, *image_shape)}
        if isinstance(data, dict) and "reference_window" in data:
            expected["reference_window"] = (*axes, config.input_width, 4)
        check_shapes("CNN classifier", data, expected)
        logits = self.classify(data["pileup_image"], data.get("reference_window"), random_params)
        return {**data, "logits": logits, "class_probs": jax.nn.softmax(logits, axis=-1)}, state, metadata

    def _features(self, image: Array, reference: Array | None) -> Array:
        """Features per column that is left, rows averaged: (..., columns, channels)."""
        agreement = None if reference is None else _agreement(image, reference)
        for layer, convolution in enumerate(self.convolutions):
            image = convolution(image)
            if layer == 0 and agreement is not None:
                image = image + self.reference_layer(agreement)
            image = jax.nn.relu(image)
            if layer + 1 < len(self.convolutions):
                image = _halve_rows(image)
        return image.mean(axis=-3)

    def _head(self, hidden: Array, random_params: Any) -> Array:
        keys = [None] * len(self.dense_layers)
        if random_params is not None:
            keys = list(jax.random.split(random_params, len(self.dense_layers)))
        for layer, key in zip(self.dense_layers, keys, strict=True):
            hidden = self.dropout(jax.nn.relu(layer(hidden)), key)
        return self.output_layer(hidden)


def _kernel_widths(width: int, num_layers: int) -> tuple[int, ...]:
    """Three columns per convolution as long as columns are left."""
    widths = []
    for _ in range(num_layers):
        widths.append(3 if width >= 3 else 1)
        width -= widths[-1] - 1
    return tuple(widths)


def _agreement(image: Array, reference: Array) -> Array:
    """How much of each cell's base agrees with the reference, and how much does not: (..., height, width, 2)."""
    bases = image[..., :NUM_BASES]
    matching = (bases * reference[..., None, :, :]).sum(axis=-1)
    return jnp.stack([matching, bases.sum(axis=-1) - matching], axis=-1)


def _halve_rows(image: Array) -> Array:
    """Mean over pairs of rows, a zero row added to an odd number."""
    height, width, channels = image.shape[-3:]
    if height % 2:
        image = jnp.pad(image, [(0, 0)] * (image.ndim - 3) + [(0, 1), (0, 0), (0, 0)])
    return image.reshape(*image.shape[:-3], -1, 2, width, channels).mean(axis=-3)
