"""Soft quality filter: keeps each base by how far its quality lies above a learnable threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.constants import DEFAULT_QUALITY_THRESHOLD
from diffbio_core.operators.base import OperatorConfig, OperatorModule, scalar
from diffbio_core.operators.numerics.soft_quality import soft_retention
from diffbio_core.operators.validation import check_quality, check_shapes
from diffbio_core.typing import Metadata, PyTree


@dataclass(frozen=True)
class QualityFilterConfig(OperatorConfig):
    """Configuration of `DifferentiableQualityFilter`.

    Attributes:
        initial_threshold: Phred quality at which half of a base is kept.

    Raises:
        ValueError: The threshold is not finite.
    """

    initial_threshold: float = DEFAULT_QUALITY_THRESHOLD

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.initial_threshold):
            raise ValueError(f"initial_threshold must be finite, got {self.initial_threshold}")


class DifferentiableQualityFilter(OperatorModule):
    """Multiplies each base by sigmoid(quality - threshold).

    Attributes:
        threshold: Learnable Phred threshold.
    """

    def __init__(self, config: QualityFilterConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        self.threshold = nnx.Param(scalar(config.initial_threshold))

    def retention(self, quality: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Weight in [0, 1] of each base, by its Phred quality."""
        return soft_retention(quality, self.threshold[...])

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Filter one sequence.

        Args:
            data: `sequence` (length, 4) and `quality_scores` (length,), Phred; other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `sequence` filtered, state, metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, or a quality is NaN.
        """
        check_shapes("quality filter", data, {"sequence": ("length", 4), "quality_scores": ("length",)})
        self._check_values(data)
        kept = self.retention(data["quality_scores"])
        return {**data, "sequence": data["sequence"] * kept[..., None]}, state, metadata

    def _check_values(self, data: PyTree) -> None:
        check_quality("quality filter", "quality_scores", data["quality_scores"])
