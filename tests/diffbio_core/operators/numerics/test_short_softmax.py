"""Written out, a softmax is still a softmax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_core.operators.numerics.short_softmax import short_softmax


@pytest.mark.parametrize("shape", [(3,), (7, 4), (2, 5, 3), (4, 1)])
def test_it_is_the_softmax_over_the_last_axis(shape):
    logits = 5 * jax.random.normal(jax.random.key(0), shape)
    np.testing.assert_allclose(short_softmax(logits), jax.nn.softmax(logits, axis=-1), rtol=2e-6)


def test_its_gradient_is_that_of_the_softmax():
    logits = jax.random.normal(jax.random.key(1), (6, 4))
    weights = jnp.arange(24.0).reshape(6, 4)
    written_out, built_in = (
        jax.grad(lambda logits, f=f: (f(logits) * weights).sum())(logits) for f in (short_softmax, jax.nn.softmax)
    )
    np.testing.assert_allclose(written_out, built_in, atol=1e-5)


def test_large_logits_do_not_overflow():
    np.testing.assert_allclose(short_softmax(jnp.array([1e4, 0.0, -1e4])), [1, 0, 0])


def test_its_second_derivative_is_that_of_the_softmax():
    logits = jax.random.normal(jax.random.key(2), (4,))
    written_out, built_in = (
        jax.hessian(lambda logits, f=f: (f(logits) * jnp.arange(4.0)).sum())(logits)
        for f in (short_softmax, jax.nn.softmax)
    )
    np.testing.assert_allclose(written_out, built_in, atol=1e-5)
