"""Soft adapter removal: the posterior of where an adapter starts, and what it leaves of each base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.constants import BASES, DEFAULT_TEMPERATURE, ILLUMINA_ADAPTER
from diffbio_core.operators.base import TemperatureConfig, TemperatureOperator, scalar
from diffbio_core.operators.validation import check_fraction, check_positive, check_quality, check_shapes
from diffbio_core.typing import Metadata, PyTree

_EVIDENCE_PER_BASE = 4.0
"""Nats per matched base above the threshold, at temperature 1: about log of the odds of one match among 50 places."""


@dataclass(frozen=True)
class AdapterRemovalConfig(TemperatureConfig):
    """Configuration of `SoftAdapterRemoval`.

    Attributes:
        adapter_sequence: Adapter, A C G T, and N for any base.
        temperature: Of the choice among places.
        learnable_temperature: Whether the temperature is trained.
        match_threshold: Fraction of matching bases at which an adapter is as likely as none; learnable.
        min_overlap: Fewest bases of the adapter that count at the read's end (bp).

    Raises:
        ValueError: An adapter that is empty or of other letters, or values out of range.
    """

    adapter_sequence: str = ILLUMINA_ADAPTER
    temperature: float = DEFAULT_TEMPERATURE
    learnable_temperature: bool = True
    match_threshold: float = 0.5
    min_overlap: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.adapter_sequence or set(self.adapter_sequence.upper()) - set(BASES + "N"):
            raise ValueError(f"adapter_sequence must be letters of {BASES}N, got {self.adapter_sequence!r}")
        check_fraction("adapter removal", match_threshold=self.match_threshold)
        check_positive("adapter removal", min_overlap=self.min_overlap)


class SoftAdapterRemoval(TemperatureOperator):
    """Weighs the bases of a read by the probability that they come before the adapter.

    Every place where the adapter may start, and that there is none, compete in one softmax: the evidence for a place is
    the number of matching bases above what the threshold asks for, that for no adapter is zero.

    Attributes:
        match_threshold: Learnable fraction of matching bases.
    """

    config: AdapterRemovalConfig

    def __init__(self, config: AdapterRemovalConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        self.match_threshold = nnx.Param(scalar(config.match_threshold))

    @jax.jit
    def trim(
        self, sequences: Float[Array, "*batch length 4"]
    ) -> tuple[Float[Array, "*batch length"], Float[Array, "*batch"], Float[Array, "*batch"]]:
        """Look for the adapter in reads.

        Args:
            sequences: One-hot or soft bases.

        Returns:
            Weight in [0, 1] of each base, probability that there is an adapter, expected place of the cut (the read's
            length where there is none).
        """
        length = sequences.shape[-2]
        starts = max(0, length - min(self.config.min_overlap, len(self.config.adapter_sequence)) + 1)
        none = jnp.zeros((*sequences.shape[:-2], 1), sequences.dtype)
        evidence = [self._evidence(sequences, starts)] if starts else []
        places = jax.nn.softmax(jnp.concatenate([*evidence, none], axis=-1) / self._temperature, axis=-1)
        started = jnp.cumsum(places[..., :starts], axis=-1)
        after_last = jnp.broadcast_to(started[..., -1:] if starts else none, (*none.shape[:-1], length - starts))
        kept = jnp.clip(1 - jnp.concatenate([started, after_last], axis=-1), 0, 1)
        return kept, 1 - places[..., -1], kept.sum(axis=-1)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Trim one read softly.

        Args:
            data: `sequence` (length, 4) and `quality_scores` (length,), Phred; other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `sequence` trimmed, `adapter_score` () and `trim_position` (); state, metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, or a quality is NaN.
        """
        check_shapes("adapter removal", data, {"sequence": ("length", 4), "quality_scores": ("length",)})
        self._check_values(data)
        kept, score, position = self.trim(data["sequence"])
        trimmed = data["sequence"] * kept[..., None]
        return {**data, "sequence": trimmed, "adapter_score": score, "trim_position": position}, state, metadata

    def _check_values(self, data: PyTree) -> None:
        check_quality("adapter removal", "quality_scores", data["quality_scores"])

    def _evidence(self, sequences: Array, starts: int) -> Array:
        """Nats for an adapter at each of the first places: (..., starts)."""
        adapter = self.config.adapter_sequence.upper()
        length = sequences.shape[-2]
        margin = [(0, 0)] * (sequences.ndim - 2) + [(0, len(adapter))]
        bases = {
            base: jnp.pad(sequences[..., channel], margin) for channel, base in enumerate(BASES) if base in adapter
        }
        matches = sum(bases[base][..., shift : shift + starts] for shift, base in enumerate(adapter) if base != "N")
        # Bases of the adapter that lie on the read and are not N.
        asked = np.cumsum([base != "N" for base in adapter])
        overlap = asked[np.minimum(len(adapter), length - np.arange(starts)) - 1].astype(np.float32)
        return _EVIDENCE_PER_BASE * (matches - self.match_threshold[...] * overlap)
