"""Weights of bases by their Phred qualities: of the pileup, and of every quality filter."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

_NEPERS_PER_PHRED = math.log(10) / 10


def soft_retention(
    quality: Real[Array, "*shape"], threshold: Float[Array, "#*shape"], log_temperature: Float[Array, ""] | float = 0.0
) -> Float[Array, "*shape"]:
    """Weight in [0, 1] of each quality: sigmoid((quality - threshold) / temperature).

    Args:
        quality: Phred.
        threshold: Quality that counts half (Phred).
        log_temperature: Logarithm of the width of the threshold (Phred); by it any number is a valid temperature.
    """
    return jax.nn.sigmoid((quality - threshold) * jnp.exp(-log_temperature))


def base_weights(quality: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Probability that a base was read right, 1 - 10^(-quality / 10), by Phred quality; 0 below quality 0."""
    return jnp.maximum(1 - jnp.exp(-_NEPERS_PER_PHRED * quality), 0)
