"""Bases count by their own quality and by their read's."""

import jax
import numpy as np
import pytest

from diffbio_core.operators.allele.quality_filter import WindowQualityFilter, WindowQualityFilterConfig

CONFIG = WindowQualityFilterConfig(
    quality_threshold=20.0, quality_temperature=2.0, mapping_quality_threshold=10.0, mapping_quality_temperature=5.0
)


def weights(base_quality, mapping_quality, config=CONFIG):
    view = {
        "base_quality": np.array(base_quality, np.uint8),
        "mapping_quality": np.array(mapping_quality, np.uint8),
    }
    data, _, _ = WindowQualityFilter(config).apply(view, {}, None)
    return np.asarray(data["weight"])


def test_a_base_counts_the_product_of_both_sigmoids():
    found = weights([[20, 26], [40, 2]], [10, 60])
    sigmoid = jax.nn.sigmoid
    expected = [[0.5 * 0.5, sigmoid(3.0) * 0.5], [sigmoid(10.0) * sigmoid(10.0), sigmoid(-9.0) * sigmoid(10.0)]]
    np.testing.assert_allclose(found, expected, atol=1 / 1024)


def test_weights_are_multiples_of_the_step():
    found = weights(np.arange(60).reshape(2, 30), [3, 33]) * CONFIG.weight_steps
    np.testing.assert_array_equal(found, np.round(found))


@pytest.mark.parametrize("name", ["threshold", "log_temperature", "mapping_threshold", "mapping_log_temperature"])
def test_every_parameter_gets_a_gradient(name):
    view = {"base_quality": np.array([[15, 24]], np.uint8), "mapping_quality": np.array([7], np.uint8)}
    gradient = jax.grad(lambda operator: operator.apply(view, {}, None)[0]["weight"].sum())(WindowQualityFilter(CONFIG))
    assert float(getattr(gradient, name)[...]) != 0
