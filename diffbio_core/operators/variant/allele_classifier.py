"""Number of copies of a candidate allele, from its allele-conditioned pileup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.rounding import round_straight_through
from diffbio_core.operators.variant.allele_pileup import PILEUP_CHANNELS, SUMMARY_CHANNELS
from diffbio_core.typing import Metadata, PyTree
from diffbio_core.windows.view_encoding import FLANK

NUM_COPIES = 3
"""Classes: 0, 1 or 2 copies."""


@dataclass(frozen=True)
class AlleleClassifierConfig(OperatorConfig):
    """Size of the network.

    Attributes:
        channels: Channels of the convolutions.
        kernels: Width of each convolution (columns); all but the first are residual.
        hidden: Units of the dense layers.
        logit_steps: Logits are rounded to multiples of 1 / logit_steps, straight-through. A candidate's place in its
            batch changes the last bit of a matrix product here and there; rounding keeps that out of the result.
    """

    channels: int = 64
    kernels: tuple[int, ...] = (3, 5, 5, 5)
    hidden: int = 128
    logit_steps: int = 256


class AlleleClassifier(OperatorModule):
    """Convolutions along the columns, then dense layers on the centre, the maximum and the summary.

    Attributes:
        convolutions: One per kernel.
        mix: First dense layer.
        hidden: Second dense layer, residual.
        head: Logits of 0, 1 and 2 copies.
    """

    config: AlleleClassifierConfig

    def __init__(
        self, config: AlleleClassifierConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None
    ) -> None:
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        sizes = (PILEUP_CHANNELS, *[config.channels] * len(config.kernels))
        self.convolutions = nnx.List(
            nnx.Conv(inputs, outputs, (kernel,), rngs=rngs)
            for inputs, outputs, kernel in zip(sizes[:-1], sizes[1:], config.kernels, strict=True)
        )
        self.mix = nnx.Linear(2 * config.channels + PILEUP_CHANNELS + SUMMARY_CHANNELS, config.hidden, rngs=rngs)
        self.hidden = nnx.Linear(config.hidden, config.hidden, rngs=rngs)
        self.head = nnx.Linear(config.hidden, NUM_COPIES, rngs=rngs)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Add ``logits`` and ``probabilities`` (3,) of 0, 1 and 2 copies to a view with its pileup and summary."""
        pileup = data["allele_pileup"]
        columns = nnx.relu(self.convolutions[0](pileup))
        for convolution in self.convolutions[1:]:
            columns = columns + nnx.relu(convolution(columns))
        mixed = jnp.concatenate([columns[FLANK], columns.max(0), pileup[FLANK], data["allele_summary"]])
        hidden = nnx.relu(self.mix(mixed))
        logits = round_straight_through(self.head(hidden + nnx.relu(self.hidden(hidden))), self.config.logit_steps)
        return {**data, "logits": logits, "probabilities": jax.nn.softmax(logits)}, state, metadata
