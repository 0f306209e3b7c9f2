"""The leader's half of a step: from a sum of gradients to the next parameters, and their running average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32

from diffbio_core.training.step import PartSum, TrainingStep, Update


@dataclass(frozen=True)
class OptimisationConfig:
    """How parameters move.

    Attributes:
        learning_rate: Peak of the cosine schedule.
        warm_up: Steps until the peak; half of all at most.
        weight_decay: Of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).
        clip_norm: Largest global norm of a gradient.
        average: Decay of the running average of parameters, which is what is measured and saved; less in the beginning,
            so that a short training does not return what it started from.
    """

    learning_rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    average: float = 0.998


@dataclass(frozen=True)
class TrainingState:
    """Where training stands.

    Attributes:
        step: Steps done.
        parameters: As one vector.
        average: Their running average.
        optimizer: Of the optimiser.
    """

    step: int
    parameters: Float[Array, " parameters"]
    average: Float[Array, " parameters"]
    optimizer: Any


class Optimisation:
    """Makes updates.

    Args:
        optimizer: What makes an update of a mean gradient.
        average: Decay of the running average of parameters; without one it is the parameters.
    """

    def __init__(self, optimizer: optax.GradientTransformation, average: float = 0.0) -> None:
        self._optimizer = optimizer
        self._step, self._decay = TrainingStep(_no_objective, optimizer), average
        self._advance = jax.jit(self.traced)

    @classmethod
    def of(cls, config: OptimisationConfig, steps: int) -> Optimisation:
        """The caller's: AdamW along a cosine.

        Args:
            config: How.
            steps: Of the whole training.
        """
        warm_up = min(config.warm_up, steps // 2)
        schedule = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, warm_up, max(steps, warm_up + 1))
        clip = optax.clip_by_global_norm(config.clip_norm)
        return cls(optax.chain(clip, optax.adamw(schedule, weight_decay=config.weight_decay)), config.average)

    def start(self, parameters: Float32[np.ndarray, " parameters"]) -> TrainingState:
        """Before the first step."""
        vector = jnp.asarray(parameters)
        return TrainingState(0, vector, vector, self._optimizer.init(vector))

    def advance(
        self, state: TrainingState, total: Float32[np.ndarray, " values"]
    ) -> tuple[TrainingState, float, float]:
        """The next state, and mean loss and norm of the gradient that led there.

        Args:
            state: Before the step.
            total: Sum of gradients, followed by the sum of losses and the number of candidates.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        made, average = self._advance(state.step, state.parameters, state.average, state.optimizer, total)
        return self.checked(state.step, made, average)

    def traced(
        self, step: Any, parameters: Array, average: Array, optimizer: Any, total: Array
    ) -> tuple[Update, Array]:
        """The update and the running average that follow from a state and a sum of gradients, to be compiled."""
        made = self._step.update(parameters, optimizer, PartSum(total[:-2], total[-2], total[-1]))
        decay = jnp.minimum(self._decay, (1.0 + step) / (10.0 + step))
        return made, decay * average + (1 - decay) * made.parameters

    def checked(self, step: int, made: Update, average: Array) -> tuple[TrainingState, float, float]:
        """What `traced` made of a step, as `advance` gives it.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        loss = float(made.loss)
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss of step {step + 1} is not finite: lower the learning rate")
        next_state = TrainingState(step + 1, made.parameters, average, made.optimizer_state)
        return next_state, loss, float(made.gradient_norm)


def _no_objective(*_: Any) -> Any:
    raise NotImplementedError("gradients come from the workers")
