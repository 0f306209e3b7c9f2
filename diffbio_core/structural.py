"""What every configuration of a part without parameters can be told: sources, samplers, splitters, filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StructuralConfig:
    """Base of their configurations, with the fields that the documents give them.

    Attributes:
        cacheable: Whether the result may be kept for the same input.
        batch_stats_fn: Gives statistics of a batch.
        precomputed_stats: Statistics known beforehand, instead.
        stochastic: Whether random numbers are drawn from a stream of `nnx.Rngs`.
        stream_name: That stream.

    Raises:
        ValueError: Both kinds of statistics, or a stochastic part without a stream.
    """

    cacheable: bool = False
    batch_stats_fn: Callable[..., Any] | None = None
    precomputed_stats: Mapping[str, Any] | None = None
    stochastic: bool = False
    stream_name: str | None = None

    def __post_init__(self) -> None:
        if self.batch_stats_fn is not None and self.precomputed_stats is not None:
            raise ValueError("give batch_stats_fn or precomputed_stats, not both")
        if self.stochastic and self.stream_name is None:
            raise ValueError("a stochastic part needs a stream_name, got None")
