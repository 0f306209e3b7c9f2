"""Number of copies of a candidate allele, from its allele-conditioned pileup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.candidates.view_encoding import FLANK
from diffbio_core.operators.allele.pileup import PILEUP_CHANNELS, SUMMARY_CHANNELS
from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.numerics.rounding import round_straight_through
from diffbio_core.operators.validation import check_positive
from diffbio_core.typing import Metadata, PyTree

NUM_COPIES = 3
"""Classes: 0, 1 or 2 copies."""

# A GPU would round what it multiplies to 10 bits, which moves logits by more than a rounding step.
_PRECISION = jax.lax.Precision.HIGHEST


@dataclass(frozen=True)
class AlleleClassifierConfig(OperatorConfig):
    """Size of the networks.

    Attributes:
        members: Networks whose logits are averaged (Lakshminarayanan et al. 2017, arXiv 1612.01474).
        channels: Channels of the convolutions.
        kernels: Width of each convolution (columns); all but the first are residual.
        hidden: Units of the dense layers.
        logit_steps: Logits are rounded to multiples of 1 / logit_steps, straight-through. A candidate's place in its
            batch changes the last bit of a matrix product here and there; rounding keeps that out of the result.

    Raises:
        ValueError: There is not even one member.
    """

    members: int = 1
    channels: int = 64
    kernels: tuple[int, ...] = (3, 5, 5, 5)
    hidden: int = 128
    logit_steps: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("allele classifier", members=self.members)


class AlleleNetwork(nnx.Module):
    """Convolutions along the columns, then dense layers on the centre, the maximum and the summary.

    Attributes:
        convolutions: One per kernel.
        mix: First dense layer.
        hidden: Second dense layer, residual.
        head: Logits of 0, 1 and 2 copies.
    """

    def __init__(self, config: AlleleClassifierConfig, *, rngs: nnx.Rngs) -> None:
        sizes = (PILEUP_CHANNELS, *[config.channels] * len(config.kernels))
        self.convolutions = nnx.List(
            nnx.Conv(inputs, outputs, (kernel,), precision=_PRECISION, rngs=rngs)
            for inputs, outputs, kernel in zip(sizes[:-1], sizes[1:], config.kernels, strict=True)
        )
        self.mix = nnx.Linear(
            2 * config.channels + PILEUP_CHANNELS + SUMMARY_CHANNELS, config.hidden, precision=_PRECISION, rngs=rngs
        )
        self.hidden = nnx.Linear(config.hidden, config.hidden, precision=_PRECISION, rngs=rngs)
        self.head = nnx.Linear(config.hidden, NUM_COPIES, precision=_PRECISION, rngs=rngs)

    def __call__(self, pileup: Float[Array, "width channels"], summary: Float[Array, " features"]) -> Float[Array, "3"]:
        """Logits of 0, 1 and 2 copies."""
        columns = nnx.relu(self.convolutions[0](pileup))
        for convolution in self.convolutions[1:]:
            columns = columns + nnx.relu(convolution(columns))
        hidden = nnx.relu(self.mix(jnp.concatenate([columns[FLANK], columns.max(0), pileup[FLANK], summary])))
        return self.head(hidden + nnx.relu(self.hidden(hidden)))


class AlleleClassifier(OperatorModule):
    """An ensemble of networks that see the same pileup.

    Attributes:
        networks: The members.
    """

    config: AlleleClassifierConfig

    def __init__(
        self, config: AlleleClassifierConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None
    ) -> None:
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        self.networks = nnx.List(AlleleNetwork(config, rngs=rngs) for _ in range(config.members))

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Classify one view.

        Args:
            data: The view with its ``allele_pileup`` and ``allele_summary``.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The view with ``member_logits`` (members, 3), their mean ``logits`` and ``probabilities`` (3,) of 0, 1 and
            2 copies; state, metadata.
        """
        found = [network(data["allele_pileup"], data["allele_summary"]) for network in self.networks]
        members = round_straight_through(jnp.stack(found), self.config.logit_steps)
        logits = members.mean(0)
        added = {"member_logits": members, "logits": logits, "probabilities": jax.nn.softmax(logits)}
        return {**data, **added}, state, metadata
