"""Soft error correction: a small network that looks at each base with its neighbours and their qualities."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.constants import DEFAULT_TEMPERATURE, NUM_BASES
from diffbio_core.operators.base import TemperatureConfig, TemperatureOperator, initialisation_rngs
from diffbio_core.operators.validation import check_positive, check_quality, check_shapes
from diffbio_core.typing import Metadata, PyTree

_FLOOR = 1e-3
"""Probability that a base is given at least, before correction: what lies below counts as not seen."""

_QUALITY_SCALE = 40.0

_READS_AT_ONCE = 100
"""Reads that a CPU corrects at once: what the network holds of them fits into its cache."""


@dataclass(frozen=True)
class ErrorCorrectionConfig(TemperatureConfig):
    """Configuration of `SoftErrorCorrection`.

    Attributes:
        window_size: Bases that are seen, the one to correct in their middle.
        hidden_dim: Width of the hidden layers.
        num_layers: Layers of the network, the last of which gives bases.
        use_quality: Whether the network sees qualities.
        temperature: Of the corrected distribution.
        learnable_temperature: Whether the temperature is trained.

    Raises:
        ValueError: A size or temperature that is not positive.
    """

    window_size: int = 11
    hidden_dim: int = 64
    num_layers: int = 2
    use_quality: bool = True
    temperature: float = DEFAULT_TEMPERATURE
    learnable_temperature: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            "error correction", window_size=self.window_size, hidden_dim=self.hidden_dim, num_layers=self.num_layers
        )


class SoftErrorCorrection(TemperatureOperator):
    """Adds to the log probability of each base what a network makes of its surroundings, and normalises.

    The last layer starts near zero, so that an untrained corrector leaves certain bases nearly as they are.
    """

    config: ErrorCorrectionConfig

    def __init__(self, config: ErrorCorrectionConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        dims = [config.window_size * (5 if config.use_quality else 4)] + [config.hidden_dim] * (config.num_layers - 1)
        self.hidden_layers = nnx.List(
            [nnx.Linear(before, after, rngs=rngs) for before, after in itertools.pairwise(dims)]
        )
        small = jax.nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        self.output_layer = nnx.Linear(dims[-1], 4, kernel_init=small, rngs=rngs)

    @jax.jit
    def correct(
        self, sequences: Float[Array, "*batch length 4"], quality: Float[Array, "*batch length"]
    ) -> tuple[Float[Array, "*batch length 4"], Float[Array, "*batch"]]:
        """Correct reads.

        Args:
            sequences: One-hot or soft bases.
            quality: Phred qualities.

        Returns:
            Distribution of each base, and the mean over bases of its largest probability.
        """
        if sequences.ndim == 3 and jax.default_backend() == "cpu":
            # Backwards, hidden values are computed again: to keep those of all reads takes longer than that.
            correct_one = jax.checkpoint(lambda read: self._correct(*read))
            return jax.lax.map(correct_one, (sequences, quality), batch_size=_READS_AT_ONCE)
        return self._correct(sequences, quality)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Correct one read.

        Args:
            data: `sequence` (length, 4) and `quality_scores` (length,), Phred; other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `sequence` corrected, and `correction_confidence` (); state, metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, or a quality is NaN.
        """
        check_shapes("error correction", data, {"sequence": ("length", 4), "quality_scores": ("length",)})
        self._check_values(data)
        corrected, confidence = self.correct(data["sequence"], data["quality_scores"])
        return {**data, "sequence": corrected, "correction_confidence": confidence}, state, metadata

    def _check_values(self, data: PyTree) -> None:
        check_quality("error correction", "quality_scores", data["quality_scores"])

    def _correct(self, sequences: Array, quality: Array) -> tuple[Array, Array]:
        seen = sequences
        if self.config.use_quality:
            seen = jnp.concatenate([sequences, quality[..., None] / _QUALITY_SCALE], axis=-1)
        hidden = _windows(seen, self.config.window_size)
        for layer in self.hidden_layers:
            hidden = jax.nn.relu(layer(hidden))
        logits = jnp.log(sequences + _FLOOR) + self.output_layer(hidden)
        # Four bases by hand: XLA on CPUs is slow at reducing so short a last axis.
        scaled = [logits[..., base] / self._temperature for base in range(NUM_BASES)]
        highest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, scaled))
        powers = [jnp.exp(value - highest) for value in scaled]
        probabilities = [power / sum(powers) for power in powers]
        confidence = functools.reduce(jnp.maximum, probabilities).mean(axis=-1)
        return jnp.stack(probabilities, axis=-1), confidence


def _windows(seen: Array, width: int) -> Array:
    """The window around every base, flattened, zeros beyond the ends: (..., length, width x channels)."""
    before, length = width // 2, seen.shape[-2]
    padded = jnp.pad(seen, [(0, 0)] * (seen.ndim - 2) + [(before, width - 1 - before), (0, 0)])
    return jnp.concatenate([padded[..., shift : shift + length, :] for shift in range(width)], axis=-1)
