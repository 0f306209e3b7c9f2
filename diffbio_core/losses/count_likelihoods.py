"""Log-probabilities of counts: Poisson, negative binomial, zero-inflated negative binomial.

Loader 2000, "Fast and accurate computation of binomial probabilities": a probability is an error of Stirling's formula
and a deviance, which single precision holds to the last digits, where differences of log-gammas lose them for large
counts or little dispersion. Everything has gradients to rates and dispersions.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
_SHIFT = 3
"""Steps of the recurrence before Stirling's series, which then holds to 1e-7 from zero on."""


def poisson_log_prob(counts: Float[Array, "*#shape"], log_rate: Float[Array, "*#shape"]) -> Float[Array, "*#shape"]:
    """Log-probability of counts under a Poisson law.

    Args:
        counts: Counts, 0 or more.
        log_rate: Natural logarithm of the mean.
    """
    rate = jnp.exp(log_rate)
    some = jnp.where(counts > 0, counts, 1)
    positive = -_stirling_error(some) - _deviance(some / rate, (some - rate) / rate, rate)
    return jnp.where(counts > 0, positive - _HALF_LOG_TAU - 0.5 * jnp.log(some), -rate)


def negative_binomial_log_prob(
    counts: Float[Array, "*#shape"], log_rate: Float[Array, "*#shape"], log_theta: Float[Array, "*#shape"]
) -> Float[Array, "*#shape"]:
    """Log-probability of counts under a negative binomial law of variance mean + mean^2 / theta.

    Args:
        counts: Counts, 0 or more.
        log_rate: Natural logarithm of the mean.
        log_theta: Natural logarithm of the inverse dispersion.
    """
    rate, theta = jnp.exp(log_rate), jnp.exp(log_theta)
    some = jnp.where(counts > 0, counts, 1)
    total = some + theta
    # Of all trials, the expected numbers of either kind, and by how much there were more counts than that.
    expected_theta, expected_counts = total * theta / (theta + rate), total * rate / (theta + rate)
    surplus = theta * (some - rate) / (theta + rate)
    positive = (
        _stirling_error(total)
        - _stirling_error(theta)
        - _stirling_error(some)
        - _deviance((theta + rate) / total, -surplus / expected_theta, expected_theta)
        - _deviance(some / expected_counts, surplus / expected_counts, expected_counts)
        - _HALF_LOG_TAU
        + 0.5 * (jnp.log(theta) - jnp.log(total) - jnp.log(some))
    )
    return jnp.where(counts > 0, positive, -theta * jnp.log1p(rate / theta))


def zero_inflated_log_prob(
    counts: Float[Array, "*#shape"],
    log_rate: Float[Array, "*#shape"],
    log_theta: Float[Array, "*#shape"],
    pi_logit: Float[Array, "*#shape"],
) -> Float[Array, "*#shape"]:
    """Log-probability of counts that are zero by chance of their own, or else negative binomial.

    Args:
        counts: Counts, 0 or more.
        log_rate: Natural logarithm of the negative binomial's mean.
        log_theta: Natural logarithm of its inverse dispersion.
        pi_logit: Log-odds of a zero by chance of its own.
    """
    kept = jax.nn.log_sigmoid(-pi_logit) + negative_binomial_log_prob(counts, log_rate, log_theta)
    return jnp.where(counts > 0, kept, jnp.logaddexp(jax.nn.log_sigmoid(pi_logit), kept))


def _stirling_error(z: Array) -> Array:
    """Logarithm of z! minus Stirling's formula for it, for any z > 0."""
    error = jnp.zeros_like(z)
    for step in range(_SHIFT):
        error = error + (z + step + 0.5) * jnp.log1p(1 / (z + step)) - 1
    inverse = 1 / (z + _SHIFT)
    square = inverse**2
    series = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))
    return error + inverse * series


def _deviance(ratio: Array, excess: Array, expected: Array) -> Array:
    """Deviance expected x (r log r + 1 - r) of r = observed / expected, given r and r - 1, each to full precision."""
    near = jnp.abs(excess) < 0.5
    logarithm = jnp.where(near, jnp.log1p(jnp.where(near, excess, 0)), jnp.log(ratio))
    return expected * (ratio * logarithm - excess)
