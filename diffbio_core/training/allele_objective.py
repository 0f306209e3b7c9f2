"""What the caller's training minimises: cross-entropy of candidates' copies."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline
from diffbio_core.training.labels import UNKNOWN

Views = dict[str, Array]


class AlleleObjective:
    """Sum of losses and number of candidates of a part of a batch, as ``TrainingStep`` takes it.

    Args:
        pipeline: What is trained.

    Attributes:
        parameters: The pipeline's, to start from.
    """

    def __init__(self, pipeline: AlleleCallingPipeline) -> None:
        self._graph, self.parameters = nnx.split(pipeline)

    def __call__(
        self,
        parameters: nnx.State,
        views: Views,
        labels: Int[Array, "candidates"],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """See ``Objective``.

        Args:
            parameters: Of the pipeline.
            views: Stacked views.
            labels: Copies of each; one of ``UNKNOWN`` counts nothing.
        """
        known = labels != UNKNOWN
        # Each member learns for itself: trained for their mean, they would be one larger network.
        logits = self._called(parameters, views)["member_logits"]
        copies = jnp.broadcast_to(jnp.where(known, labels, 0)[:, None], logits.shape[:2])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, copies).sum(1)
        return jnp.where(known, losses, 0).sum(), known.sum().astype(jnp.float32)

    def logits(self, parameters: nnx.State, views: Views) -> Float[Array, "candidates 3"]:
        """Logits of 0, 1 and 2 copies of unchanged views."""
        return self._called(parameters, views)["logits"]

    def merged(self, parameters: nnx.State) -> AlleleCallingPipeline:
        """The pipeline with some parameters."""
        return nnx.merge(self._graph, parameters)

    def _called(self, parameters: nnx.State, views: Views) -> dict[str, Any]:
        pipeline = self.merged(parameters)
        return jax.vmap(lambda view: pipeline.apply(view, {}, None)[0])(views)
