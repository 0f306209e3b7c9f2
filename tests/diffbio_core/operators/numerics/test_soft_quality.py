import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from diffbio_core.operators.numerics.rounding import round_straight_through
from diffbio_core.operators.numerics.soft_quality import soft_retention


def test_a_quality_at_the_threshold_counts_half_whatever_the_temperature():
    assert float(soft_retention(jnp.array(20.0), jnp.array(20.0))) == 0.5
    assert float(soft_retention(jnp.array(20.0), jnp.array(20.0), jnp.log(3.0))) == 0.5


def test_the_temperature_is_the_width_of_the_threshold():
    np.testing.assert_allclose(
        soft_retention(jnp.array([17.0, 23.0]), jnp.array(20.0), jnp.log(3.0)),
        jax.nn.sigmoid(jnp.array([-1.0, 1.0])),
        rtol=1e-6,
    )


def test_integer_qualities_count_as_their_number():
    quality = np.arange(0, 60, 3, dtype=np.uint8)
    np.testing.assert_array_equal(
        soft_retention(quality, jnp.array(20.0)), soft_retention(quality.astype(np.float32), jnp.array(20.0))
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(low=st.floats(0, 60), more=st.floats(0, 40), log_temperature=st.floats(-2, 3))
def test_a_higher_threshold_keeps_no_more(low, more, log_temperature):
    quality = jnp.arange(0.0, 60.0)
    kept = soft_retention(quality, jnp.array(low), log_temperature)
    assert np.all(soft_retention(quality, jnp.array(low + more), log_temperature) <= kept)
    assert np.all((kept >= 0) & (kept <= 1))


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        check_grads(soft_retention, (jnp.arange(10.0, 30.0), jnp.array(20.0), jnp.array(0.5)), 1)


def test_rounding_is_to_multiples_and_its_gradient_that_of_none():
    values = jnp.array([0.1, 0.13, -0.62])
    np.testing.assert_array_equal(round_straight_through(values, 8), [0.125, 0.125, -0.625])
    np.testing.assert_array_equal(jax.grad(lambda values: round_straight_through(values, 8).sum())(values), [1, 1, 1])
