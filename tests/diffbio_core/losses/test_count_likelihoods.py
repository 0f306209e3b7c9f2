from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit, gammaln
from scipy.stats import nbinom, poisson

from diffbio_core.losses.count_likelihoods import (
    negative_binomial_log_prob,
    poisson_log_prob,
    zero_inflated_log_prob,
)

COUNTS = np.array([0, 1, 2, 3, 7, 50, 1000, 20_000], np.float32)


def single(value: float) -> jax.Array:
    return jnp.asarray(value, jnp.float32)


def nbinom_log_prob(log_rate: float, log_theta: float) -> np.ndarray:
    rate, theta = np.exp(np.float64(np.float32(log_rate))), np.exp(np.float64(np.float32(log_theta)))
    return nbinom.logpmf(COUNTS, theta, theta / (theta + rate))


@settings(deadline=None, max_examples=50)
@given(log_rate=st.floats(-12, 9))
def test_poisson_is_scipys(log_rate):
    expected = poisson.logpmf(COUNTS, np.exp(np.float64(np.float32(log_rate))))

    np.testing.assert_allclose(poisson_log_prob(COUNTS, single(log_rate)), expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(log_rate=st.floats(-12, 9), log_theta=st.floats(-12, 12))
def test_the_negative_binomial_is_scipys(log_rate, log_theta):
    found = negative_binomial_log_prob(COUNTS, single(log_rate), single(log_theta))

    np.testing.assert_allclose(found, nbinom_log_prob(log_rate, log_theta), rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(log_rate=st.floats(-6, 6), log_theta=st.floats(-6, 6), pi_logit=st.floats(-8, 8))
def test_extra_zeros_are_mixed_in(log_rate, log_theta, pi_logit):
    zero = expit(pi_logit)
    inner = nbinom_log_prob(log_rate, log_theta)
    expected = np.log1p(-zero) + inner
    expected[0] = np.log(zero + (1 - zero) * np.exp(inner[0]))

    found = zero_inflated_log_prob(COUNTS, single(log_rate), single(log_theta), single(pi_logit))

    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


def test_little_dispersion_is_poisson_and_no_noise():
    few = negative_binomial_log_prob(COUNTS, single(1.0), single(18.0))

    np.testing.assert_allclose(few[:6], poisson_log_prob(COUNTS[:6], single(1.0)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("log_rate", "log_theta"), [(0.0, 0.0), (5.0, -3.0), (-8.0, 4.0)])
def test_gradients_are_those_of_scipy(log_rate, log_theta):
    def total(log_rate, log_theta):
        return negative_binomial_log_prob(COUNTS[:7], log_rate, log_theta).sum()

    found = jax.grad(total, argnums=(0, 1))(single(log_rate), single(log_theta))

    def slope(step_rate, step_theta):
        up = nbinom_log_prob64(log_rate + step_rate, log_theta + step_theta)
        return (up - nbinom_log_prob64(log_rate - step_rate, log_theta - step_theta)) / 2e-5

    np.testing.assert_allclose(found, [slope(1e-5, 0), slope(0, 1e-5)], rtol=1e-4, atol=1e-3)


def nbinom_log_prob64(log_rate: float, log_theta: float) -> float:
    rate, theta = np.exp(log_rate), np.exp(log_theta)
    return float(nbinom.logpmf(COUNTS[:7], theta, theta / (theta + rate)).sum())


@settings(deadline=None, max_examples=50)
@given(log_rate=st.floats(-300, 60), log_theta=st.floats(-80, 80), pi_logit=st.floats(-80, 80))
@example(log_rate=-45.0, log_theta=0.0, pi_logit=0.0)  # The square of such a rate is 0 in single precision.
@example(log_rate=-100.0, log_theta=-60.0, pi_logit=50.0)
def test_probabilities_and_slopes_are_finite_however_unlikely_a_count_is(log_rate, log_theta, pi_logit):
    laws = {
        poisson_log_prob: (log_rate,),
        negative_binomial_log_prob: (log_rate, log_theta),
        zero_inflated_log_prob: (log_rate, log_theta, pi_logit),
    }
    for law, parameters in laws.items():
        value, slopes = value_and_slopes(law, tuple(map(single, parameters)))
        assert np.isfinite([value, *slopes]).all(), law


@partial(jax.jit, static_argnums=0)
def value_and_slopes(law, parameters):
    return jax.value_and_grad(lambda parameters: law(COUNTS, *parameters).sum())(parameters)


@pytest.mark.parametrize("log_rate", [-87.0, -45.0, -20.0, 20.0])
def test_unlikely_counts_keep_their_digits(log_rate):
    np.testing.assert_allclose(
        poisson_log_prob(COUNTS, single(log_rate)), poisson.logpmf(COUNTS, np.exp(log_rate)), rtol=1e-5
    )
    # scipy's negative binomial loses a rate that is this small beside theta.
    theta, total = np.exp(2.0), np.logaddexp(2.0, log_rate)
    counts = COUNTS.astype(float)
    coefficients = gammaln(counts + theta) - gammaln(theta) - gammaln(counts + 1)
    expected = coefficients + theta * (2.0 - total) + counts * (log_rate - total)
    found = negative_binomial_log_prob(COUNTS, single(log_rate), single(2.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
