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
_LOG_THETA = 40.0
"""Dispersions beyond e to this change no probability that single precision could show."""
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
    deviance = _deviance(some, jnp.log(some), rate, log_rate, some - rate)
    positive = -_stirling_error(some) - deviance - _HALF_LOG_TAU - 0.5 * jnp.log(some)
    return jnp.where(counts > 0, positive, -rate)


def negative_binomial_log_prob(
    counts: Float[Array, "*#shape"], log_rate: Float[Array, "*#shape"], log_theta: Float[Array, "*#shape"]
) -> Float[Array, "*#shape"]:
    """Log-probability of counts under a negative binomial law of variance mean + mean^2 / theta.

    Args:
        counts: Counts, 0 or more.
        log_rate: Natural logarithm of the mean.
        log_theta: Natural logarithm of the inverse dispersion.
    """
    log_theta = jnp.clip(log_theta, -_LOG_THETA, _LOG_THETA)
    theta = jnp.exp(log_theta)
    some = jnp.where(counts > 0, counts, 1)
    total = some + theta
    log_total = jnp.log(total)
    # Of all trials, the expected numbers of either kind, and by how much there were more counts than that.
    log_share_of_theta, log_share_of_counts = (
        -jax.nn.softplus(log_rate - log_theta),
        -jax.nn.softplus(log_theta - log_rate),
    )
    share_of_theta, share_of_counts = jnp.exp(log_share_of_theta), jnp.exp(log_share_of_counts)
    surplus = some * share_of_theta - theta * share_of_counts
    positive = (
        _stirling_error(total)
        - _stirling_error(theta)
        - _stirling_error(some)
        - _deviance(theta, log_theta, total * share_of_theta, log_total + log_share_of_theta, -surplus)
        - _deviance(some, jnp.log(some), total * share_of_counts, log_total + log_share_of_counts, surplus)
        - _HALF_LOG_TAU
        + 0.5 * (log_theta - log_total - jnp.log(some))
    )
    return jnp.where(counts > 0, positive, -theta * jax.nn.softplus(log_rate - log_theta))


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


def _deviance(observed: Array, log_observed: Array, expected: Array, log_expected: Array, surplus: Array) -> Array:
    """Deviance observed x log(observed / expected) - surplus, where surplus = observed - expected is given exactly.

    Where the two are far apart nothing is divided by what was expected: that may be so small that the quotient, or its
    slope, overflows.
    """
    near = jnp.abs(log_observed - log_expected) < 0.4
    excess = jnp.where(near, surplus, 0) / jnp.where(near, expected, 1)
    return jnp.where(
        near,
        expected * ((1 + excess) * jnp.log1p(excess) - excess),
        observed * (log_observed - log_expected) - surplus,
    )
