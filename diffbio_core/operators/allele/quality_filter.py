"""How much each base of a candidate's view counts: a soft threshold on its quality and on its read's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx

from diffbio_core.operators.base import OperatorConfig, OperatorModule, scalar
from diffbio_core.operators.numerics.rounding import round_straight_through
from diffbio_core.operators.numerics.soft_quality import soft_retention
from diffbio_core.typing import Metadata, PyTree


@dataclass(frozen=True)
class WindowQualityFilterConfig(OperatorConfig):
    """Where the soft thresholds start.

    Attributes:
        quality_threshold: Base quality (Phred) that counts half.
        quality_temperature: Width of the threshold (Phred).
        mapping_quality_threshold: Mapping quality (Phred) that counts half.
        mapping_quality_temperature: Width of the threshold (Phred).
        weight_steps: Weights are rounded to multiples of 1 / weight_steps. With 1024, sums of up to 2^14 of them are
            exact in float32, so that neither the order of reads nor padding can show in a result.
    """

    quality_threshold: float = 10.0
    quality_temperature: float = 3.0
    mapping_quality_threshold: float = 5.0
    mapping_quality_temperature: float = 3.0
    weight_steps: int = 1024


class WindowQualityFilter(OperatorModule):
    """Weighs every base by sigmoid((quality - threshold) / temperature), times the same of its read's mapping quality.

    Attributes:
        threshold: Learnable base-quality threshold (Phred).
        log_temperature: Learnable logarithm of its temperature.
        mapping_threshold: Learnable mapping-quality threshold (Phred).
        mapping_log_temperature: Learnable logarithm of its temperature.
    """

    config: WindowQualityFilterConfig

    def __init__(
        self, config: WindowQualityFilterConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None
    ) -> None:
        super().__init__(config, rngs=rngs, name=name)
        self.threshold = nnx.Param(scalar(config.quality_threshold))
        self.log_temperature = nnx.Param(jnp.log(scalar(config.quality_temperature)))
        self.mapping_threshold = nnx.Param(scalar(config.mapping_quality_threshold))
        self.mapping_log_temperature = nnx.Param(jnp.log(scalar(config.mapping_quality_temperature)))

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Add ``weight`` (rows, width), in [0, 1], to a view's ``base_quality`` and ``mapping_quality``."""
        quality = soft_retention(data["base_quality"], self.threshold[...], self.log_temperature[...])
        mapping = soft_retention(
            data["mapping_quality"], self.mapping_threshold[...], self.mapping_log_temperature[...]
        )
        weight = round_straight_through(quality * mapping[:, None], self.config.weight_steps)
        return {**data, "weight": weight}, state, metadata
