"""Rounding that gradients pass through: keeps the last bits of a sum, which depend on its order, out of results."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def round_straight_through(values: Float[Array, "*shape"], steps: int) -> Float[Array, "*shape"]:
    """Round to multiples of 1 / steps; the gradient is that of no rounding (Bengio et al. 2013, arXiv 1308.3432)."""
    return values + jax.lax.stop_gradient(jnp.round(values * steps) / steps - values)
