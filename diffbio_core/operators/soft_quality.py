"""Soft threshold on Phred qualities: what every quality filter weighs its bases by."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real


def soft_retention(
    quality: Real[Array, "*shape"], threshold: Float[Array, ""], log_temperature: Float[Array, ""] | float = 0.0
) -> Float[Array, "*shape"]:
    """Weight in [0, 1] of each quality: sigmoid((quality - threshold) / temperature).

    Args:
        quality: Phred.
        threshold: Quality that counts half (Phred).
        log_temperature: Logarithm of the width of the threshold (Phred); by it any number is a valid temperature.
    """
    return jax.nn.sigmoid((quality - threshold) * jnp.exp(-log_temperature))
