import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.dropout import Dropout

VALUES = jnp.ones((40, 50))


def training(rate=0.25):
    dropout = Dropout(rate, rngs=nnx.Rngs(0))
    dropout.deterministic = False
    return dropout


def test_dropout_does_nothing_in_evaluation_mode():
    assert (Dropout(0.5)(VALUES) == VALUES).all()


def test_it_zeroes_the_rate_and_keeps_the_mean():
    dropped = training()(VALUES)

    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert float((dropped == 0).mean()) == pytest.approx(0.25, abs=0.03)


def test_it_draws_anew_on_each_call():
    dropout = training()

    assert not (dropout(VALUES) == dropout(VALUES)).all()


def test_a_key_decides_the_mask():
    dropout, key = training(), jax.random.key(1)

    assert (dropout(VALUES, key) == dropout(VALUES, key)).all()


def test_samples_under_vmap_get_masks_of_their_own():
    dropout = training()

    dropped = jax.vmap(lambda sample: dropout(sample))(jnp.arange(1.0, 3)[:, None] * jnp.ones(200))

    assert not ((dropped[0] == 0) == (dropped[1] == 0)).all()


def test_it_passes_jit_and_grad_as_an_argument():
    gradients = jax.jit(jax.grad(lambda dropout, values: dropout(values).sum(), argnums=1))(training(), VALUES)

    assert set(np.unique(gradients)) == {0, np.float32(1 / 0.75)}


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_a_rate_outside_0_to_1_is_refused(rate):
    with pytest.raises(ValueError, match="rate must"):
        Dropout(rate)


def test_a_rate_of_zero_draws_nothing():
    dropout = training(0.0)

    assert (dropout(VALUES) == VALUES).all()
    assert dropout.stream[...][1] == 0


def test_the_seed_and_the_number_of_calls_decide_the_masks():
    first, second = training(), training()

    masks = [[np.asarray(dropout(VALUES)) for _ in range(3)] for dropout in (first, second)]

    np.testing.assert_array_equal(*masks)
    assert first.stream[...][1] == 3
    other = Dropout(0.25, rngs=nnx.Rngs(1))
    other.deterministic = False
    assert (np.asarray(other(VALUES)) != masks[0][0]).any()
