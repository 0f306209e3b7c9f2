import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_core.operators.singlecell import DownsamplingConfig, ReadDownsampler

COUNTS = jnp.asarray(np.random.default_rng(0).integers(0, 20, (50, 40)), float)


def downsampled(counts=COUNTS, key=0, **config):
    settings = {"apply_log1p": False, "is_log1p_input": False} | config
    operator = ReadDownsampler(DownsamplingConfig(**settings))
    return operator.apply({"counts": counts}, {}, None, jax.random.key(key))[0]["counts"]


def test_a_fraction_is_kept_in_whole_counts():
    kept = downsampled(fraction=0.3)

    assert (kept == jnp.round(kept)).all()
    assert (jnp.abs(kept - 0.3 * COUNTS) < 1).all()
    assert float(kept.sum() / COUNTS.sum()) == pytest.approx(0.3, abs=0.02)


def test_deeper_cells_come_down_to_the_target_and_others_stay():
    counts = COUNTS.at[0].set(0).at[0, 0].set(7)

    kept = downsampled(counts, mode="target_depth", target_depth=100)

    assert (kept[0] == counts[0]).all()
    np.testing.assert_allclose(kept[1:].sum(axis=1), 100, atol=20)


def test_logarithms_go_in_and_come_out():
    kept = downsampled(jnp.log1p(COUNTS), apply_log1p=True, is_log1p_input=True, fraction=0.5)

    np.testing.assert_allclose(jnp.expm1(kept), jnp.round(jnp.expm1(kept)), atol=1e-4)


def test_the_gradient_is_that_of_the_expectation():
    gradient = jax.grad(lambda counts: downsampled(counts, fraction=0.3).sum())(COUNTS)

    np.testing.assert_allclose(gradient, 0.3, rtol=1e-5)


def test_draws_follow_the_key():
    assert (downsampled(fraction=0.3) == downsampled(fraction=0.3)).all()
    assert not (downsampled(fraction=0.3) == downsampled(fraction=0.3, key=1)).all()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"mode": "depth"}, "mode must be"),
        ({"mode": "target_depth"}, "needs a target_depth"),
        ({"fraction": 1.5}, "fraction must lie between 0 and 1"),
    ],
)
def test_a_wrong_configuration_is_told(config, told):
    with pytest.raises(ValueError, match=told):
        downsampled(**config)
