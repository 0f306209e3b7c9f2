"""Soft duplicate weighting: a read that was copied counts once, in parts over its copies."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt32

from diffbio_core.constants import DEFAULT_TEMPERATURE, NUM_BASES
from diffbio_core.operators.base import TemperatureConfig, TemperatureOperator, scalar
from diffbio_core.operators.numerics.soft_quality import base_weights
from diffbio_core.operators.validation import check_fraction, check_positive, check_quality, check_shapes
from diffbio_core.typing import Batch, Metadata, PyTree

_SHARPNESS = 100.0
"""Slope of the step from different to copied at temperature 1: a similarity 0.05 below the threshold counts 0.007."""

_SEGMENTS = 4
"""Parts of a read that are hashed one by one: copies with errors in fewer parts than this meet in some bucket."""

_NEIGHBOURS = 8
"""Reads of the same bucket that each read is compared with, on either side; larger buckets are extrapolated."""


@dataclass(frozen=True)
class DuplicateWeightingConfig(TemperatureConfig):
    """Configuration of `DifferentiableDuplicateWeighting`.

    Attributes:
        temperature: Of the step from different to copied.
        learnable_temperature: Whether the temperature is trained.
        similarity_threshold: Cosine similarity of embeddings at which a read is half a copy; learnable.
        embedding_dim: Length of a read's embedding.

    Raises:
        ValueError: Values out of range.
    """

    temperature: float = DEFAULT_TEMPERATURE
    learnable_temperature: bool = True
    similarity_threshold: float = 0.9
    embedding_dim: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("duplicate weighting", similarity_threshold=self.similarity_threshold)
        check_positive("duplicate weighting", embedding_dim=self.embedding_dim)


class DifferentiableDuplicateWeighting(TemperatureOperator):
    """Weighs each read by one over the number of its soft copies.

    Copies are looked for among reads that share a hash of one of four parts of their sequence: sorting brings them side
    by side, so that time grows as n log n, not as n squared. How much of a copy each one is, the similarity of their
    embeddings tells; that is what gradients go through.

    Attributes:
        similarity_threshold: Learnable cosine similarity.
        projection: Learnable (embedding_dim, embedding_dim) map of embeddings, the identity at first.
    """

    config: DuplicateWeightingConfig

    def __init__(self, config: DuplicateWeightingConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        self.similarity_threshold = nnx.Param(scalar(config.similarity_threshold))
        self.projection = nnx.Param(jnp.eye(config.embedding_dim))

    @jax.jit
    def embed(
        self, sequences: Float[Array, "*batch length 4"], quality: Float[Array, "*batch length"]
    ) -> Float[Array, "*batch embedding_dim"]:
        """Unit vectors whose products tell how alike reads are: about 1 for copies, about 0 for unrelated reads.

        A fixed random projection of all bases (Johnson-Lindenstrauss), bases counting by the probability that they were
        read right, then the learnable map.

        Args:
            sequences: One-hot or soft bases.
            quality: Phred qualities.
        """
        length = sequences.shape[-2]
        seen = (sequences - 1 / NUM_BASES) * base_weights(quality)[..., None]
        codes = jnp.asarray(_codes(length, self.config.embedding_dim), seen.dtype)
        embedding = seen.reshape(*seen.shape[:-2], length * NUM_BASES) @ codes @ self.projection[...]
        return embedding * jax.lax.rsqrt((embedding**2).sum(axis=-1, keepdims=True) + 1e-12)

    @jax.jit
    def weigh(
        self,
        sequences: Float[Array, "num_reads length 4"],
        quality: Float[Array, "num_reads length"],
        read_mask: Float[Array, "num_reads length"] | None = None,
    ) -> tuple[Float[Array, " num_reads"], Float[Array, "num_reads embedding_dim"]]:
        """Weigh reads by one over their number of soft copies, the largest weight scaled to 1.

        Args:
            sequences: One-hot or soft bases.
            quality: Phred qualities.
            read_mask: 1 for a base, 0 for padding; a read without any base weighs 0.

        Returns:
            Weights in [0, 1], and embeddings.
        """
        embeddings = self.embed(sequences, quality)
        signatures = _signatures(sequences)
        copies = jnp.stack([self._copies(embeddings, hashes) for hashes in signatures]).max(axis=0)
        weights = 1 / (1 + copies)
        if read_mask is not None:
            weights = weights * (read_mask.max(axis=-1) > 0)
        return weights / jnp.maximum(weights.max(initial=0), jnp.finfo(weights.dtype).tiny), embeddings

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Embed one read, which alone has weight 1; `apply_batch` weighs reads against each other.

        Args:
            data: `sequence` (length, 4) and `quality_scores` (length,), Phred; other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `uniqueness_weight` () and `embedding` (embedding_dim,), state, metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, or a quality is NaN.
        """
        check_shapes("duplicate weighting", data, {"sequence": ("length", 4), "quality_scores": ("length",)})
        self._check_values(data)
        embedding = self.embed(data["sequence"], data["quality_scores"])
        alone = jnp.ones((), embedding.dtype)
        return {**data, "uniqueness_weight": alone, "embedding": embedding}, state, metadata

    def apply_batch(self, batch, quality_scores=None):
        """Weigh the reads of a batch against each other.

        Args:
            batch: Sequences (num_reads, length, 4); or a `Batch` of samples with one read each.
            quality_scores: Phred qualities (num_reads, length); None with a `Batch`.

        Returns:
            Weights (num_reads,) whose mean is 1, so that a weighted sum is as large as an unweighted one, and
            embeddings (num_reads, embedding_dim); or the batch with `uniqueness_weight` and `embedding`.

        Raises:
            ValueError: Shapes do not fit, or a quality is NaN.
        """
        data = batch.data if isinstance(batch, Batch) else {"sequence": batch, "quality_scores": quality_scores}
        expected = {"sequence": ("num_reads", "length", 4), "quality_scores": ("num_reads", "length")}
        check_shapes("duplicate weighting", data, expected)
        self._check_values(data)
        weights, embeddings = self.weigh(data["sequence"], data["quality_scores"])
        weights = weights * (weights.shape[0] / jnp.maximum(weights.sum(), jnp.finfo(weights.dtype).tiny))
        if not isinstance(batch, Batch):
            return weights, embeddings
        return Batch.from_parts(
            {**data, "uniqueness_weight": weights, "embedding": embeddings}, batch.state, batch.metadata
        )

    def _check_values(self, data: PyTree) -> None:
        check_quality("duplicate weighting", "quality_scores", data["quality_scores"])

    def _copies(self, embeddings: Array, hashes: Array) -> Array:
        """Soft number of other reads in each read's bucket that are copies of it."""
        num_reads = embeddings.shape[0]
        order = jnp.argsort(hashes)
        hashes, vectors = hashes[order], embeddings[order]
        near = min(_NEIGHBOURS, num_reads - 1)
        alike, compared = jnp.zeros(num_reads, vectors.dtype), jnp.zeros(num_reads, vectors.dtype)
        for shift in range(1, near + 1):
            same = (hashes[shift:] == hashes[:-shift]).astype(vectors.dtype)
            similarity = (vectors[shift:] * vectors[:-shift]).sum(axis=-1)
            step = (similarity - self.similarity_threshold[...]) * (_SHARPNESS / self._temperature)
            both = jnp.stack([same * jax.nn.sigmoid(step), same])
            both = jnp.pad(both, ((0, 0), (shift, 0))) + jnp.pad(both, ((0, 0), (0, shift)))
            alike, compared = alike + both[0], compared + both[1]
        first = jnp.searchsorted(hashes, hashes, side="left")
        last = jnp.searchsorted(hashes, hashes, side="right")
        others = (last - first - 1).astype(vectors.dtype)
        copies = alike * others / jnp.maximum(compared, 1)
        return jnp.zeros_like(copies).at[order].set(copies)


def _signatures(sequences: Float[Array, "num_reads length 4"]) -> list[UInt32[Array, " num_reads"]]:
    """A hash of the most likely bases of each part of a read, one per part."""
    length = sequences.shape[1]
    parts = max(1, min(_SEGMENTS, length))
    cuts = [length * part // parts for part in range(parts + 1)]
    bases = jnp.argmax(sequences, axis=-1).astype(jnp.uint32)
    factors = np.random.default_rng(0).integers(0, 2**31, length, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    products = bases * factors
    return [products[:, start:stop].sum(axis=1, dtype=jnp.uint32) for start, stop in itertools.pairwise(cuts)]


@functools.lru_cache(maxsize=8)
def _codes(length: int, dim: int) -> np.ndarray:
    """Random signs for every base at every position, the same whatever the length."""
    signs = np.random.default_rng(0).integers(0, 2, (length * NUM_BASES, dim)) * 2 - 1
    return signs.astype(np.float32)
