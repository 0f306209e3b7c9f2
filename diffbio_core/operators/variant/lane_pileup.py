"""Pileup of a window's lanes: the same as that of its reads, as a sum over lanes without a scatter."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from diffbio_core.constants import NUM_BASES
from diffbio_core.operators.numerics.soft_quality import base_weights
from diffbio_core.operators.validation import check_shapes
from diffbio_core.operators.variant.pileup import DifferentiablePileup
from diffbio_core.typing import Metadata, PyTree
from diffbio_core.windows.encoding import CODE_MASK, N_BASE, NO_READ


class LanePileup(DifferentiablePileup):
    """`DifferentiablePileup` on planes: a column's cells lie under one another, so that it is a plain sum.

    A sum over an axis has a fixed order on every device, which a GPU's scatter has not. Bases count as in
    `diffbio_core.reads.arrays`: N a quarter for each, a deleted base in the total only.
    """

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Pile up one window; its number of columns takes the place of the configured length.

        Args:
            data: `base` and `base_quality` (lanes, positions), as `diffbio_core.windows.encoding` describes them;
                optionally `weight` (lanes, positions), what a soft filter keeps of each base. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with what `DifferentiablePileup.compute_pileup` returns, state, metadata.

        Raises:
            ValueError: A key is missing, or shapes do not fit.
        """
        cells: tuple[str | int, ...] = ("lanes", "positions")
        optional = {"weight": cells} if isinstance(data, dict) and "weight" in data else {}
        check_shapes("lane pileup", data, {"base": cells, "base_quality": cells, **optional})
        code = jnp.asarray(data["base"]) & CODE_MASK
        present = (code != NO_READ).astype(float)
        quality = jnp.asarray(data["base_quality"]).astype(float)
        weights = present * (base_weights(quality) if self.config.use_quality_weights else 1)
        weighted = sum_lane_bases(code, weights * data["weight"] if "weight" in data else weights)
        result = self.results(weighted, weights.sum(0), present.sum(0), (quality * present).sum(0))
        return {**data, **result}, state, metadata


def sum_lane_bases(
    code: UInt8[Array, "lanes positions"], weights: Float[Array, "lanes positions"]
) -> Float[Array, "positions 4"]:
    """Sum base x weight over lanes.

    Args:
        code: Base codes.
        weights: Weight of each cell, 0 where there is no read.
    """
    unknown = jnp.where(code == N_BASE, weights, 0).sum(0) / NUM_BASES
    return jnp.stack([jnp.where(code == base, weights, 0).sum(0) + unknown for base in range(NUM_BASES)], -1)
