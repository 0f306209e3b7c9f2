"""Neural read mapper: soft alignment scores of reads against every position of a reference window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.operators.base import TemperatureConfig, TemperatureOperator, initialisation_rngs, scalar
from diffbio_core.operators.dropout import Dropout
from diffbio_core.operators.validation import check_fraction, check_positive, check_quality, check_shapes
from diffbio_core.typing import Metadata, PyTree

_CONTEXT = 5
"""Bases that one token sees: a 5-mer is rare enough to say something about where it lies."""

_READS_AT_ONCE = 4
"""Reads whose attention a CPU computes at once: what fits into its cache; all of them take twice as long."""

_KEY_STEP = 3
"""Every third token of a read is a key: their contexts overlap, so every base is still attended to."""


@dataclass(frozen=True)
class NeuralReadMapperConfig(TemperatureConfig):
    """Configuration of `NeuralReadMapper`.

    Attributes:
        read_length: Longest read (bp).
        reference_window: Longest reference (bp).
        embedding_dim: Width of a base's embedding.
        num_heads: Attention heads, a divisor of `embedding_dim`.
        num_layers: Cross-attention layers.
        dropout_rate: Fraction of each layer's update dropped in train mode.

    Raises:
        ValueError: A size that is not positive, heads that do not divide the width, or a rate outside [0, 1].
    """

    read_length: int = 150
    reference_window: int = 500
    embedding_dim: int = 64
    num_heads: int = 4
    num_layers: int = 4
    dropout_rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            "read mapper",
            read_length=self.read_length,
            reference_window=self.reference_window,
            embedding_dim=self.embedding_dim,
            num_heads=self.num_heads,
            num_layers=self.num_layers,
        )
        check_fraction("read mapper", dropout_rate=self.dropout_rate)
        if self.embedding_dim % self.num_heads:
            raise ValueError(f"num_heads must divide embedding_dim, got {self.num_heads} and {self.embedding_dim}")


class _CrossAttention(nnx.Module):
    """Reference positions look at the read, then at themselves through a small network."""

    def __init__(self, config: NeuralReadMapperConfig, rngs: nnx.Rngs):
        dim = config.embedding_dim
        self.num_heads = config.num_heads
        self.reference_norm = nnx.LayerNorm(dim, rngs=rngs)
        self.query = nnx.Linear(dim, dim, rngs=rngs)
        self.output = nnx.Linear(dim, dim, rngs=rngs)
        self.network_norm = nnx.LayerNorm(dim, rngs=rngs)
        self.expand = nnx.Linear(dim, 2 * dim, rngs=rngs)
        self.contract = nnx.Linear(2 * dim, dim, rngs=rngs)
        self.dropout = Dropout(config.dropout_rate, rngs=rngs)

    def __call__(self, reference: Array, keys: Array, values: Array, random_params: Any) -> Array:
        """Update the reference (W, D) from the read's keys and values (heads, R, D / heads)."""
        drop = [None, None] if random_params is None else list(jax.random.split(random_params))
        length, dim = reference.shape
        query = self.query(self.reference_norm(reference)).reshape(length, self.num_heads, -1)
        scores = jnp.einsum("whd,hrd->hwr", query * query.shape[-1] ** -0.5, keys)
        seen = jnp.einsum("hwr,hrd->whd", jax.nn.softmax(scores, axis=-1), values).reshape(length, dim)
        reference = reference + self.dropout(self.output(seen), drop[0])
        hidden = jax.nn.relu(self.expand(self.network_norm(reference)))
        return reference + self.dropout(self.contract(hidden), drop[1])


class NeuralReadMapper(TemperatureOperator):
    """Maps reads by cross-attention and by the agreement of the two sequences along each diagonal.

    Tokens are 5-base contexts with sinusoidal positions (Vaswani et al., 2017). The score of a position is the mean
    product of read tokens and the reference tokens that they would lie on, plus what the attended reference says of
    that position. The first term places an untrained mapper's reads; training improves on it.
    """

    config: NeuralReadMapperConfig

    def __init__(self, config: NeuralReadMapperConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        dim = config.embedding_dim
        self.read_encoder = nnx.Linear(_CONTEXT * 4, dim, use_bias=False, rngs=rngs)
        self.read_norm = nnx.LayerNorm(dim, rngs=rngs)
        self.keys_values = nnx.Linear(dim, 2 * dim * config.num_layers, rngs=rngs)
        self.layers = nnx.List([_CrossAttention(config, rngs) for _ in range(config.num_layers)])
        self.score_layer = nnx.Linear(dim, 1, kernel_init=nnx.initializers.normal(0.01), rngs=rngs)
        self.diagonal_scale = nnx.Param(scalar(4.0))

    def compute_alignment_scores(
        self,
        read: Float[Array, "batch read_length 4"],
        reference: Float[Array, "*batch window 4"],
        random_params: Any = None,
    ) -> Float[Array, "batch window"]:
        """Score every reference position as the start of each read.

        Args:
            read: One-hot or soft bases.
            reference: One reference for all reads (window, 4), or one for each (batch, window, 4).
            random_params: PRNG key for dropout.
        """
        if random_params is None and not self.deterministic:
            random_params = self.layers[0].dropout.draw_key(read)
        return self._scores(read, reference, random_params)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Map reads.

        Args:
            data: `read` (batch, read_length, 4), or the same under the key `reads`; `reference` (batch, window, 4), or
                (window, 4) for all reads. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for dropout.
            stats: Not used.

        Returns:
            The data with `alignment_scores` and `position_probs` (batch, window), `best_position` (batch,) int, the
            most likely start, `expected_position` (batch,), the mean start, which gradients go through, and
            `mapping_quality` (batch,), the probability of the best position; with `reads` also `positions`
            (batch,) int, the same as `best_position`, and `scores` (batch,), the alignment score there. State,
            metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, or a sequence is longer than configured.
        """
        key = "reads" if isinstance(data, dict) and "reads" in data and "read" not in data else "read"
        shared = isinstance(data, dict) and "reference" in data and jnp.ndim(data["reference"]) == 2
        sizes = check_shapes(
            "read mapper",
            data,
            {
                key: ("batch", "read_length", 4),
                "reference": ("window", 4) if shared else ("batch", "window", 4),
            },
        )
        for name, size, longest in (
            (key, sizes["read_length"], self.config.read_length),
            ("reference", sizes["window"], self.config.reference_window),
        ):
            if size > longest:
                raise ValueError(f"read mapper: {name} of shape {jnp.shape(data[name])} is longer than {longest} bp")
        self._check_values(data)
        scores = self.compute_alignment_scores(data[key], data["reference"], random_params)
        probabilities = jax.nn.softmax(scores / self._temperature, axis=-1)
        best = jnp.argmax(scores, axis=-1)
        result = {
            "alignment_scores": scores,
            "position_probs": probabilities,
            "best_position": best,
            "expected_position": self.soft_argmax(scores),
            "mapping_quality": probabilities.max(axis=-1),
        }
        if key == "reads":
            result |= {"positions": best, "scores": jnp.take_along_axis(scores, best[:, None], axis=-1)[:, 0]}
        return {**data, **result}, state, metadata

    def _check_values(self, data: PyTree) -> None:
        for key in ("read", "reads", "reference"):
            if key in data:
                check_quality("read mapper", key, data[key])

    @jax.jit
    def _scores(self, read: Array, reference: Array, random_params: Any) -> Array:
        reference_tokens = self._encode(reference)
        each: dict[str, Array] = {"read": self._encode(read)}
        if reference.ndim == 3:
            each["reference"] = reference_tokens
        if random_params is not None:
            each["key"] = jax.random.split(random_params, read.shape[0])

        def score(one: dict[str, Array]) -> Array:
            return self._score(one["read"], one.get("reference", reference_tokens), one.get("key"))

        if jax.default_backend() == "cpu":
            # Backwards, attention is computed again: to keep that of all reads takes longer than that.
            return jax.lax.map(jax.checkpoint(score), each, batch_size=_READS_AT_ONCE)
        return jax.vmap(score)(each)

    def _encode(self, sequence: Array) -> Array:
        """Unit-scale token per base: (..., length, D)."""
        before, length = _CONTEXT // 2, sequence.shape[-2]
        padded = jnp.pad(sequence - 0.25, [(0, 0)] * (sequence.ndim - 2) + [(before, _CONTEXT - 1 - before), (0, 0)])
        contexts = jnp.concatenate([padded[..., shift : shift + length, :] for shift in range(_CONTEXT)], axis=-1)
        tokens = self.read_encoder(contexts)
        return tokens * jax.lax.rsqrt((tokens**2).mean(axis=-1, keepdims=True) + 1e-6)

    def _score(self, read: Array, reference: Array, random_params: Any) -> Array:
        """Scores (W,) of one read's tokens (R, D) against the tokens of a reference (W, D)."""
        config = self.config
        drop = (
            [None] * config.num_layers if random_params is None else jax.random.split(random_params, config.num_layers)
        )
        placed = self.read_norm((read + _positions(*read.shape))[::_KEY_STEP])
        keys_values = self.keys_values(placed).reshape(placed.shape[0], config.num_layers, 2, config.num_heads, -1)
        keys_values = keys_values.transpose(1, 2, 3, 0, 4)
        attended = reference + _positions(*reference.shape)
        for layer, (keys, values), key in zip(self.layers, keys_values, drop, strict=True):
            attended = layer(attended, keys, values, key)
        return self.diagonal_scale[...] * _diagonal_means(reference, read) + self.score_layer(attended)[:, 0]


def _diagonal_means(reference: Float[Array, "window dim"], read: Float[Array, "read_length dim"]) -> Array:
    """For each start, mean over the read of token products: (window,); what hangs over the end adds nothing."""
    window, read_length = reference.shape[0], read.shape[0]
    products = read @ reference.T / math.sqrt(reference.shape[1])
    # Rows of width K, laid end to end and cut into rows of K + 1, are each shifted left by one more than the last.
    flat = jnp.pad(jnp.pad(products, ((0, 0), (0, read_length))).reshape(-1), (0, read_length))
    return flat.reshape(read_length, -1)[:, :window].sum(axis=0) / read_length


def _positions(length: int, dim: int) -> np.ndarray:
    """Sinusoidal position codes (length, dim)."""
    channel = np.arange(dim)
    angles = np.arange(length)[:, None] / 10000 ** (2 * (channel // 2) / dim)
    return np.where(channel % 2, np.cos(angles), np.sin(angles)).astype(np.float32)
