"""Downsampling of reads: what cells would look like at a lower depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.dropout import Dropout
from diffbio_core.operators.validation import check_counts, check_fraction, check_positive
from diffbio_core.typing import Metadata, PyTree

_SMALLEST = 1e-12


@dataclass(frozen=True)
class DownsamplingConfig(OperatorConfig):
    """Configuration of `ReadDownsampler`.

    Attributes:
        mode: "fraction", the same for all cells, or "target_depth", the same depth for all deeper cells.
        fraction: Share of the reads that is kept.
        target_depth: Reads of a cell that are kept at most.
        apply_log1p: Whether the result is log1p.
        is_log1p_input: Whether the input is.

    Raises:
        ValueError: Another mode, a fraction outside [0, 1], or no positive depth where one is needed.
    """

    mode: str = "fraction"
    fraction: float = 1.0
    target_depth: int | None = None
    apply_log1p: bool = True
    is_log1p_input: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "stochastic", True)
        object.__setattr__(self, "stream_name", self.stream_name or "downsample")
        super().__post_init__()
        if self.mode not in ("fraction", "target_depth"):
            raise ValueError(f"downsampling: mode must be 'fraction' or 'target_depth', got {self.mode!r}")
        check_fraction("downsampling", fraction=self.fraction)
        if self.mode == "target_depth":
            if self.target_depth is None:
                raise ValueError("downsampling: mode 'target_depth' needs a target_depth")
            check_positive("downsampling", target_depth=self.target_depth)


class ReadDownsampler(OperatorModule):
    """Keeps the whole part of every expected count, and one more by the chance that is left.

    The gradient is that of the expectation.
    """

    config: DownsamplingConfig

    def __init__(self, config: DownsamplingConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        self.stream = Dropout(0.0, rngs=initialisation_rngs(rngs))

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Downsample cells.

        Args:
            data: `counts` (genes,) of one cell or (cells, genes). Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key; the operator's own stream if None.
            stats: Not used.

        Returns:
            The data with `counts` downsampled; state, metadata.

        Raises:
            ValueError: The key is missing, or a value is NaN or negative.
        """
        if "counts" not in data:
            raise ValueError(f"downsampling needs the key 'counts'; got {sorted(data)}")
        self._check_values(data)
        counts = jnp.asarray(data["counts"], float)
        key = self.stream.draw_key(counts) if random_params is None else random_params
        return {**data, "counts": self._downsample(counts, key)}, state, metadata

    def _downsample(self, counts: Float[Array, "*cells genes"], key: Array) -> Float[Array, "*cells genes"]:
        reads = jnp.expm1(counts) if self.config.is_log1p_input else counts
        if self.config.target_depth is not None and self.config.mode == "target_depth":
            total = jnp.maximum(reads.sum(axis=-1, keepdims=True), _SMALLEST)
            expected = reads * jnp.minimum(self.config.target_depth / total, 1)
        else:
            expected = reads * self.config.fraction
        whole = jnp.floor(expected)
        drawn = whole + (jax.random.uniform(key, expected.shape) < expected - whole)
        kept = expected + jax.lax.stop_gradient(drawn - expected)
        return jnp.log1p(kept) if self.config.apply_log1p else kept

    def _check_values(self, data: PyTree) -> None:
        check_counts("downsampling", "counts", data["counts"])
