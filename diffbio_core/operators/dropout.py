"""Dropout that works under jit, vmap and grad, wherever the module comes from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.operators.base import initialisation_rngs
from diffbio_core.operators.validation import check_fraction


class DropoutStream(nnx.Variable):
    """Seed and number of calls, as whole floating-point numbers: `jax.grad` refuses to pass integers."""


class Dropout(nnx.Module):
    """Zeroes a fraction of its input and scales up the rest, in train mode.

    The mask is drawn from a key if one is given. Otherwise it follows from a seed, from the number of calls so far, and
    from the input, so that the samples of a `jax.vmap`, which share the module, get masks of their own, and a call
    inside a transformation, where the module cannot count, still differs from sample to sample.

    Args:
        rate: Fraction to zero, in [0, 1).
        rngs: Generators that the seed is drawn from; `nnx.Rngs(0)` if None.

    Raises:
        ValueError: The rate lies outside [0, 1).
    """

    def __init__(self, rate: float, *, rngs: nnx.Rngs | None = None):
        check_fraction("dropout", rate=rate)
        if rate == 1:
            raise ValueError("dropout: rate must be below 1, got 1")
        self.rate = rate
        self.deterministic = True
        seed = jax.random.randint(initialisation_rngs(rngs).dropout(), (), 0, 2**24)
        self.stream = DropoutStream(jnp.stack([seed.astype(float), jnp.zeros(())]))

    def __call__(self, values: Float[Array, "..."], key: Array | None = None) -> Float[Array, "..."]:
        """Drop values in train mode, return them as they are otherwise.

        Args:
            values: Input of any shape.
            key: PRNG key for the mask.
        """
        if self.deterministic or self.rate == 0:
            return values
        if key is None:
            key = self.draw_key(values)
        kept = jax.random.bernoulli(key, 1 - self.rate, values.shape)
        return jnp.where(kept, values / (1 - self.rate), 0)

    def advance(self) -> None:
        """Count one call, if the module belongs to the running transformation."""
        if self.stream._can_update:
            self.stream[...] = self.stream[...] + jnp.asarray([0, 1], self.stream[...].dtype)

    def draw_key(self, values: Float[Array, "..."]) -> Array:
        """A PRNG key from the seed, the number of calls, which this counts, and what the values add up to."""
        seed, calls = jax.lax.stop_gradient(self.stream[...]).astype(jnp.uint32)
        content = jax.lax.stop_gradient(values).astype(jnp.float32).sum()
        self.advance()
        key = jax.random.fold_in(jax.random.key(seed), calls)
        return jax.random.fold_in(key, jax.lax.bitcast_convert_type(content, jnp.uint32))
