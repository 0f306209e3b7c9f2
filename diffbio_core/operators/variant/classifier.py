"""A small network that tells from the columns around a position whether there is a variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.dropout import Dropout
from diffbio_core.operators.numerics.short_softmax import short_softmax
from diffbio_core.operators.validation import check_fraction, check_positive, check_shapes
from diffbio_core.typing import Metadata, PyTree

_COLUMNS_AT_ONCE = 1 << 14
"""Columns of one long pileup whose hidden values are in memory at once."""

_COLUMNS_WORTH_HALVING = 1 << 12


@dataclass(frozen=True)
class VariantClassifierConfig(OperatorConfig):
    """Configuration of `VariantClassifier`.

    Attributes:
        num_classes: Classes; class 0 is the reference.
        hidden_dim: Width of the hidden layers.
        num_layers: Number of hidden layers.
        dropout_rate: Fraction of hidden values dropped in train mode.
        input_window: Columns that are seen, the position to classify in their middle.

    Raises:
        ValueError: A size that is not positive, or a rate outside [0, 1].
    """

    num_classes: int = 3
    hidden_dim: int = 64
    num_layers: int = 2
    dropout_rate: float = 0.1
    input_window: int = 21

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            "variant classifier",
            num_classes=self.num_classes,
            hidden_dim=self.hidden_dim,
            num_layers=self.num_layers,
            input_window=self.input_window,
        )
        check_fraction("variant classifier", dropout_rate=self.dropout_rate)


class VariantClassifier(OperatorModule):
    """Multilayer perceptron over a window of the pileup.

    Where the reference is given, the first layer also sees the pileup relative to it: every read of a homozygous
    variant shows the same base, so that nothing but the reference tells it from no variant.
    """

    config: VariantClassifierConfig

    def __init__(self, config: VariantClassifierConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        inputs = config.input_window * 4
        self.input_layer = nnx.Linear(inputs, config.hidden_dim, rngs=rngs)
        self.reference_layer = nnx.Linear(inputs, config.hidden_dim, use_bias=False, rngs=rngs)
        self.hidden_layers = nnx.List(
            [nnx.Linear(config.hidden_dim, config.hidden_dim, rngs=rngs) for _ in range(config.num_layers - 1)]
        )
        self.output_layer = nnx.Linear(config.hidden_dim, config.num_classes, rngs=rngs)
        self.dropout = Dropout(config.dropout_rate, rngs=rngs)

    def classify(
        self,
        pileup_window: Float[Array, "*batch input_window 4"],
        reference_window: Float[Array, "*batch input_window 4"] | None = None,
        random_params: Any = None,
    ) -> Float[Array, "*batch num_classes"]:
        """Logits for the column in the middle of each window.

        Args:
            pileup_window: Distribution of bases per column.
            reference_window: One-hot reference of the same columns.
            random_params: PRNG key for dropout.
        """
        batch = pileup_window.shape[:-2]
        relative = None if reference_window is None else _last_long(relative_pileup(pileup_window, reference_window))
        logits = self._network(_last_long(pileup_window), relative, random_params)
        return logits.T.reshape(*batch, -1)

    def classify_columns(
        self,
        pileup: Float[Array, "reference_length 4"],
        reference: Float[Array, "reference_length 4"] | None = None,
        random_params: Any = None,
    ) -> Float[Array, "reference_length num_classes"]:
        """Logits for every column of a pileup, whose ends are padded with zeros.

        Args:
            pileup: Distribution of bases per column.
            reference: One-hot reference.
            random_params: PRNG key for dropout.
        """
        columns = {"pileup": pileup}
        if reference is not None:
            columns["relative"] = relative_pileup(pileup, reference)
        width, length = self.config.input_window, pileup.shape[0]
        before, block = width // 2, min(length, max(width, _COLUMNS_AT_ONCE))
        missing = -length % block
        parts = {}
        for name, values in columns.items():
            padded = jnp.pad(values.T, ((0, 0), (before, width - 1 - before + missing)))
            parts[name] = overlapping_blocks(padded, block, width - 1)
        if random_params is not None:
            parts["key"] = jax.random.split(random_params, len(parts["pileup"]))

        def classify_block(part: dict[str, Array]) -> Array:
            # XLA computes a weight's gradient on one core of a CPU, those of two halves on two.
            half = block // 2
            bounds = [(0, half), (half, block)] if block >= _COLUMNS_WORTH_HALVING else [(0, block)]
            keys = jax.random.split(part["key"], len(bounds)) if "key" in part else [None] * len(bounds)
            logits = []
            for (start, stop), key in zip(bounds, keys, strict=True):
                seen = {name: sliding_windows(part[name][:, start : stop + width - 1], width) for name in columns}
                logits.append(self._network(seen["pileup"], seen.get("relative"), key))
            return jnp.concatenate(logits, axis=1).T

        if block == length:
            return classify_block({name: values[0] for name, values in parts.items()})
        # Backwards, hidden values are computed again: those of a whole contig would fill the memory.
        logits = jax.lax.map(jax.checkpoint(classify_block), parts)
        return logits.reshape(-1, logits.shape[-1])[:length]

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Classify one window.

        Args:
            data: `pileup_window` (input_window, 4); optionally `reference_window` of the same shape, one-hot. Other
                keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for dropout.
            stats: Not used.

        Returns:
            The data with `logits` and `probabilities` (num_classes,), state, metadata.

        Raises:
            ValueError: A key is missing or an array has another shape.
        """
        expected: dict[str, tuple[str | int, ...]] = {"pileup_window": (self.config.input_window, 4)}
        if isinstance(data, dict) and "reference_window" in data:
            expected["reference_window"] = (self.config.input_window, 4)
        check_shapes("variant classifier", data, expected)
        logits = self.classify(data["pileup_window"], data.get("reference_window"), random_params)
        return {**data, "logits": logits, "probabilities": short_softmax(logits)}, state, metadata

    def _network(
        self, pileup: Float[Array, "inputs n"], relative: Float[Array, "inputs n"] | None, random_params: Any
    ) -> Float[Array, "num_classes n"]:
        """Logits of n windows, the long axis last: gradients of the weights then take half the time on CPUs."""
        keys = [None] * self.config.num_layers
        if random_params is not None:
            keys = list(jax.random.split(random_params, self.config.num_layers))
        hidden = _dense(self.input_layer, pileup)
        if relative is not None:
            hidden = hidden + self.reference_layer.kernel[...].T @ relative
        hidden = self.dropout(jax.nn.relu(hidden), keys[0])
        for layer, key in zip(self.hidden_layers, keys[1:], strict=True):
            hidden = self.dropout(jax.nn.relu(_dense(layer, hidden)), key)
        return _dense(self.output_layer, hidden)


def relative_pileup(
    pileup: Float[Array, "*columns 4"], reference: Float[Array, "*columns 4"]
) -> Float[Array, "*columns 4"]:
    """Fraction of the reference base, then those of the other three, the largest first.

    In this form a variant looks the same whatever its bases are, so that a network learns it from few of them.
    """
    matching = pileup * reference
    first, second, third, fourth = jnp.unstack(pileup - matching, axis=-1)
    # A sorting network: sorting so short an axis is slow on CPUs. The reference base's zero comes last.
    first, second = jnp.maximum(first, second), jnp.minimum(first, second)
    third, fourth = jnp.maximum(third, fourth), jnp.minimum(third, fourth)
    first, third = jnp.maximum(first, third), jnp.minimum(first, third)
    second, fourth = jnp.maximum(second, fourth), jnp.minimum(second, fourth)
    second, third = jnp.maximum(second, third), jnp.minimum(second, third)
    return jnp.stack([matching.sum(axis=-1), first, second, third], axis=-1)


def overlapping_blocks(
    columns: Float[Array, "channels length"], block: int, overlap: int
) -> Float[Array, "blocks channels {block}+{overlap}"]:
    """Blocks of columns, each followed by the first columns of the next."""
    channels, length = columns.shape
    stop = length - overlap
    if stop == block:
        return columns[None]
    # Not stacked slices: their gradient would be a sum of as many arrays, each as long as all columns.
    blocks = columns[:, :stop].reshape(channels, -1, block)
    following = jnp.concatenate([blocks[:, 1:, :overlap], columns[:, None, stop:]], axis=1)
    return jnp.concatenate([blocks, following], axis=2).swapaxes(0, 1)


def sliding_windows(
    columns: Float[Array, "channels length"], width: int
) -> Float[Array, "{width}*channels length-{width}+1"]:
    """Every window of so many columns that lies wholly inside, flattened, channels as the short axis."""
    channels, length = columns.shape[0], columns.shape[1] - width + 1
    # One gather of long rows: stacked slices take twice the time, and concatenated ones XLA would turn into one small
    # product per part.
    rows = jax.lax.GatherDimensionNumbers(offset_dims=(1, 2), collapsed_slice_dims=(), start_index_map=(1,))
    in_bounds = jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
    shifts = jnp.arange(width)[:, None]
    return jax.lax.gather(columns, shifts, rows, (channels, length), mode=in_bounds).reshape(-1, length)


def _dense(layer: nnx.Linear, values: Float[Array, "inputs n"]) -> Float[Array, "outputs n"]:
    assert layer.bias is not None
    return layer.kernel[...].T @ values + layer.bias[...][:, None]


def _last_long(windows: Float[Array, "*batch width 4"]) -> Float[Array, "width*4 n"]:
    return windows.reshape(-1, windows.shape[-2] * windows.shape[-1]).T
