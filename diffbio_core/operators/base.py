"""What every operator is: a module that maps a sample's arrays to the same arrays and more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.constants import DEFAULT_TEMPERATURE
from diffbio_core.typing import Batch, Metadata, PyTree

_SMALLEST_TEMPERATURE = 1e-6


@dataclass(frozen=True)
class OperatorConfig:
    """What every operator can be told.

    Attributes:
        stochastic: Whether the operator draws random numbers of its own.
        stream_name: Stream of the `nnx.Rngs` that they come from.
        cacheable: Whether the output may be kept for the same input.
        batch_strategy: How `apply_batch` runs over samples: "vmap" at once, "scan" one by one, in less memory.

    Raises:
        ValueError: Another strategy, or a stochastic operator without a stream.
    """

    stochastic: bool = False
    stream_name: str | None = None
    cacheable: bool = False
    batch_strategy: str = "vmap"

    def __post_init__(self) -> None:
        if self.batch_strategy not in ("vmap", "scan"):
            raise ValueError(f"batch_strategy must be 'vmap' or 'scan', got {self.batch_strategy!r}")
        if self.stochastic and self.stream_name is None:
            raise ValueError("a stochastic operator needs a stream_name, got None")


class OperatorModule(nnx.Module):
    """Base of all operators and pipelines.

    A subclass implements `apply` for one sample. Every array that it holds is a floating-point `nnx.Variable`, so that
    an operator is also a plain JAX pytree: `jax.jit`, `jax.grad` and `jax.vmap` take it as an argument.

    Args:
        config: The operator's configuration.
        rngs: Random number generators for initialisation; `nnx.Rngs(0)` where an operator needs some and got none.
        name: Name for messages and summaries.
    """

    def __init__(self, config: OperatorConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        del rngs  # its counters are integers, through which jax.grad cannot go
        self.config = config
        self.name = name
        self.deterministic = True

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Transform one sample.

        Args:
            data: Arrays by key; those that the operator does not know pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for what is random in train mode; the operator's own stream if None.
            stats: Not used.

        Returns:
            The sample's arrays and the new ones, state, metadata.
        """
        raise NotImplementedError(f"{type(self).__name__} has no apply")

    def apply_batch(self, batch: Batch) -> Batch:
        """Transform every sample of a batch, compiled once per shape.

        Args:
            batch: Samples, padded where they are ragged.

        Returns:
            A batch of the results, states and metadata.

        Raises:
            ValueError: What `apply` refuses.
        """
        self._check_values(batch.data)
        data, state = _apply_batch(self, batch.data, batch.state)
        for _, module in nnx.iter_modules(self):
            advance = getattr(module, "advance", None)
            if advance is not None and not getattr(module, "deterministic", True):
                advance()
        return Batch.from_parts(data, state, batch.metadata)

    def __call__(self, batch: Batch) -> Batch:
        """Same as `apply_batch`."""
        return self.apply_batch(batch)

    def set_training(self, training: bool) -> None:
        """Switch dropout in this module and all below it on or off."""
        self.set_attributes(deterministic=not training, raise_if_not_found=False)

    def train_mode(self) -> None:
        """Switch dropout on."""
        self.set_training(True)

    def eval_mode(self) -> None:
        """Switch dropout off; the mode that a new operator is in."""
        self.set_training(False)

    def _check_values(self, data: PyTree) -> None:
        """Refuse values that `apply` refuses, in a sample or in stacked samples, as far as they are concrete."""


@jax.jit
def _apply_batch(operator: OperatorModule, data: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
    def one(sample: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        return operator.apply(*sample, None)[:2]

    if operator.config.batch_strategy == "scan":
        return jax.lax.map(one, (data, state))
    return jax.vmap(one)((data, state))


@dataclass(frozen=True)
class TemperatureConfig(OperatorConfig):
    """Configuration of an operator that is smooth by a temperature.

    Attributes:
        temperature: Low is sharp, high is smooth.
        learnable_temperature: Whether it is a parameter to be trained.

    Raises:
        ValueError: The temperature is not positive and finite.
    """

    temperature: float = DEFAULT_TEMPERATURE
    learnable_temperature: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be positive and finite, got {self.temperature}")


class FixedValue(nnx.Variable):
    """A value that can be read and assigned, and that training leaves alone."""


class TemperatureOperator(OperatorModule):
    """Base of operators with a temperature.

    Attributes:
        temperature: `nnx.Param` if learnable, `FixedValue` if not; `temperature[...]` reads and assigns either.
    """

    def __init__(self, config: TemperatureConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        kind = nnx.Param if config.learnable_temperature else FixedValue
        self.temperature = kind(scalar(config.temperature))

    @property
    def _temperature(self) -> Float[Array, ""]:
        """The temperature, kept above zero: an optimiser may step past it."""
        return jnp.maximum(self.temperature[...], _SMALLEST_TEMPERATURE)

    def soft_max(self, values: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
        """Smooth maximum along an axis: temperature x logsumexp(values / temperature), never below the maximum."""
        return self._temperature * jax.nn.logsumexp(values / self._temperature, axis=axis)

    def soft_argmax(self, logits: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
        """Expected index along an axis under softmax(logits / temperature)."""
        probabilities = jnp.moveaxis(jax.nn.softmax(logits / self._temperature, axis=axis), axis, -1)
        return probabilities @ jnp.arange(probabilities.shape[-1], dtype=probabilities.dtype)


def scalar(value: float) -> Float[Array, ""]:
    """A floating-point scalar of JAX's default width, not weakly typed: a variable keeps one dtype for life."""
    return jnp.asarray(value, dtype=float)


def initialisation_rngs(rngs: nnx.Rngs | None) -> nnx.Rngs:
    """Generators with a default stream, whatever streams a user named.

    `nnx.Rngs(seed=42)` has a stream called "seed" only, which no layer asks for.

    Args:
        rngs: A user's generators; those of seed 0 if None.
    """
    if rngs is None:
        return nnx.Rngs(0)
    names = list(rngs)
    if "default" in names or "params" in names or not names:
        return rngs
    return nnx.Rngs(rngs[names[0]]())
