"""One step of training, in two halves: gradients of parts of a batch, summed, and the update that follows from them.

The caller's training, the documents' ``Trainer`` and the count autoencoder share it. A batch may be taken whole, or in
parts on different workers: sums of gradients are added (``diffbio_core.training.gradient_tree``), and divided once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from diffbio_core.typing import PyTree

Objective = Callable[..., tuple[Array, Array | float]]
"""Takes parameters and whatever a part consists of; gives the sum of its losses and the sum of their weights."""


class PartSum(NamedTuple):
    """What a part of a batch contributes to a step.

    Attributes:
        gradient: Of the sum of losses, by parameter.
        loss: Sum of losses.
        weight: Sum of their weights: what losses and gradient of the whole batch are divided by.
    """

    gradient: PyTree
    loss: Float[Array, ""]
    weight: Float[Array, ""]


class Update(NamedTuple):
    """Where a step leads.

    Attributes:
        parameters: After it.
        optimizer_state: After it.
        loss: Mean loss of the batch, before it.
        gradient_norm: Global norm of the mean gradient, before the optimiser clips it.
    """

    parameters: PyTree
    optimizer_state: PyTree
    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]


class TrainingStep:
    """Compiled halves of a step, and both as one where the batch is one part.

    Args:
        objective: Sum of losses and of weights of a part.
        optimizer: What makes an update of a mean gradient.

    Attributes:
        part: ``part(parameters, *inputs)`` gives the `PartSum` of a part.
        update: ``update(parameters, optimizer_state, total)`` takes the sum over all parts, and gives the `Update`.
        whole: ``whole(parameters, optimizer_state, *inputs)`` is both, for a batch in one part.
    """

    def __init__(self, objective: Objective, optimizer: optax.GradientTransformation) -> None:
        def part(parameters: PyTree, *inputs: Any) -> PartSum:
            (loss, weight), gradient = jax.value_and_grad(objective, has_aux=True)(parameters, *inputs)
            return PartSum(gradient, loss, jnp.asarray(weight, jnp.float32))

        def update(parameters: PyTree, state: PyTree, total: PartSum) -> Update:
            # A batch of which nothing counts changes nothing but the optimiser's momentum.
            weight = jnp.where(total.weight > 0, total.weight, 1.0)
            gradient = jax.tree.map(lambda value: value / weight.astype(value.dtype), total.gradient)
            change, state = optimizer.update(gradient, state, parameters)
            norm = optax.tree.norm(gradient)
            return Update(optax.apply_updates(parameters, change), state, total.loss / weight, norm)

        def whole(parameters: PyTree, state: PyTree, *inputs: Any) -> Update:
            return update(parameters, state, part(parameters, *inputs))

        self.part, self.update, self.whole = jax.jit(part), jax.jit(update), jax.jit(whole)
