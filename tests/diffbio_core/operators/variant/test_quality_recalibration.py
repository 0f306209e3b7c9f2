import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.variant import SoftVariantQualityFilter, VariantQualityFilterConfig
from tests.diffbio_core.read_samples import largest_difference

FEATURES = jnp.asarray(np.random.default_rng(0).random((6, 4)), float)


def quality_filter(**config):
    return SoftVariantQualityFilter(VariantQualityFilterConfig(**config), rngs=nnx.Rngs(0))


def gaussian_mixture(operator, features):
    """Log densities of the components, written down from the definition."""
    means, variances = np.asarray(operator.means[...]), np.asarray(operator.get_variances())
    exponents = -((np.asarray(features)[:, None] - means) ** 2) / (2 * variances) - np.log(2 * np.pi * variances) / 2
    return exponents.sum(axis=-1) + np.log(np.asarray(operator.get_mixing_weights()))


def test_components_are_gaussians_with_their_mixing_weights():
    operator = quality_filter()
    operator.log_variances[...] = jnp.linspace(-1, 1, 12).reshape(3, 4)
    operator.log_mixing_weights[...] = jnp.array([0.0, 1.0, 2.0])

    log_probs = operator.compute_component_log_probs(FEATURES)

    assert largest_difference(log_probs, gaussian_mixture(operator, FEATURES)) < 1e-5
    assert operator.get_mixing_weights() == pytest.approx(np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum())


def test_scores_weights_and_responsibilities_come_out_in_range():
    result, _, _ = quality_filter().apply({"variant_features": FEATURES, "name": "x"}, {}, None)

    assert largest_difference(result["component_probs"].sum(axis=-1), np.ones(6)) < 1e-6
    for key in ("quality_scores", "filter_weights"):
        assert result[key].shape == (6,)
        assert ((result[key] >= 0) & (result[key] <= 1)).all()
    assert result["name"] == "x"


def test_a_variant_near_the_first_component_scores_higher_than_one_near_the_last():
    operator = quality_filter()

    scores = operator.compute_quality_scores(operator.means[...] * 10)
    at_means = operator.compute_quality_scores(operator.means[...])

    assert scores.shape == (3,)
    assert at_means[0] > at_means[2]


def test_filter_weights_fall_as_the_threshold_rises():
    low, high = (
        quality_filter(threshold=threshold).apply({"variant_features": FEATURES}, {}, None)[0]["filter_weights"]
        for threshold in (0.2, 0.8)
    )

    assert (high < low).all()


def test_high_temperatures_make_responsibilities_even():
    spreads = [
        float(jnp.var(quality_filter(temperature=temperature).compute_responsibilities(FEATURES)))
        for temperature in (0.1, 1.0, 10.0)
    ]

    assert spreads[0] > spreads[1] > spreads[2]


def test_no_variants_give_empty_results():
    result, _, _ = quality_filter().apply({"variant_features": jnp.zeros((0, 4))}, {}, None)

    assert result["quality_scores"].shape == (0,)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"variant_features has shape \(6, 3\), expected \(variants, 4\)"):
        quality_filter().apply({"variant_features": FEATURES[:, :3]}, {}, None)
    with pytest.raises(ValueError, match=r"variant_features of shape .* has 1 NaN"):
        quality_filter().apply({"variant_features": FEATURES.at[1, 1].set(jnp.nan)}, {}, None)
    with pytest.raises(ValueError, match="n_components must be positive"):
        VariantQualityFilterConfig(n_components=0)
    with pytest.raises(ValueError, match="threshold must lie between 0 and 1"):
        VariantQualityFilterConfig(threshold=2)


def test_all_parameters_get_gradients():
    gradients = jax.grad(lambda operator: operator.compute_quality_scores(FEATURES).sum())(quality_filter())

    for parameter in ("means", "log_variances", "log_mixing_weights", "component_logits"):
        assert jnp.abs(getattr(gradients, parameter)[...]).max() > 0
