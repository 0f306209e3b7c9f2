import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.operators.statistical.filtering import benjamini_hochberg, filter_independently


def test_adjusted_p_values_are_those_of_r():
    found = benjamini_hochberg(np.array([0.01, 0.02, 0.03, 0.04, np.nan, 0.9]))
    assert found == pytest.approx([0.05, 0.05, 0.05, 0.05, np.nan, 0.9], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_keep_order_and_are_no_smaller(values):
    p_values = np.array(values)
    adjusted = benjamini_hochberg(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()


def test_genes_of_low_mean_that_are_never_found_are_filtered():
    rng = np.random.default_rng(1)
    means = np.exp(rng.normal(0, 3, 4000))
    p_values = np.where(means > 2, rng.random(4000) ** 4, rng.random(4000))

    found = filter_independently(p_values, means, 0.1)

    assert 0.2 < found.quantile < 0.7
    np.testing.assert_array_equal(np.isnan(found.adjusted), means < found.threshold)
    everything = benjamini_hochberg(p_values)
    assert (found.adjusted < 0.1).sum() > (everything < 0.1).sum()


def test_few_rejections_filter_nothing_but_zeros():
    rng = np.random.default_rng(2)
    means = np.concatenate([np.zeros(50), np.exp(rng.normal(0, 2, 150))])
    p_values = np.where(means > 0, np.linspace(0.2, 1, 200), np.nan)

    found = filter_independently(p_values, means, 0.1)

    np.testing.assert_array_equal(np.isnan(found.adjusted), means < found.threshold)
    assert found.quantile == pytest.approx(0.25)


def test_genes_of_one_mean_are_filtered_together_or_not_at_all():
    # Weights of a mean of equal values can round below or above it.
    means = np.repeat([1 / 3, 0.7, 11 / 7], 40)
    p_values = np.tile(np.linspace(1e-5, 0.9, 40), 3)

    for alpha in (0.05, 0.1, 0.2):
        kept = np.isfinite(filter_independently(p_values, means, alpha).adjusted).reshape(3, 40)
        np.testing.assert_array_equal(kept.all(axis=1), kept.any(axis=1))
