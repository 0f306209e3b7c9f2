import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import false_discovery_control, mannwhitneyu

from diffbio_core.evaluation.perturbation import differential
from diffbio_core.evaluation.perturbation.differential import (
    against_controls,
    benjamini_hochberg,
    log2_fold_change,
    rank_sum_test,
)

FEW_VALUES = st.integers(0, 3).map(float)


@given(
    x=arrays(float, st.integers(1, 12), elements=FEW_VALUES), y=arrays(float, st.integers(1, 12), elements=FEW_VALUES)
)
def test_p_values_are_scipys(x, y):
    found = rank_sum_test(np.sort(x)[None], np.sort(y)[None])[0]

    if len(set(x) | set(y)) == 1:
        assert found == 1
    else:
        np.testing.assert_allclose(found, mannwhitneyu(x, y, method="asymptotic").pvalue, rtol=1e-12)


@given(arrays(float, st.integers(1, 20), elements=st.floats(0, 1)))
def test_false_discovery_rates_are_scipys(p_value):
    np.testing.assert_allclose(benjamini_hochberg(p_value), false_discovery_control(p_value), atol=1e-15)


def test_fold_changes_are_of_geometric_means():
    mean, control = np.log1p(np.array([4.0, 0, 3, 0])), np.log1p(np.array([1.0, 0, 0, 3]))

    np.testing.assert_allclose(log2_fold_change(mean, control), [2, 0, np.inf, -np.inf], atol=1e-12)


@pytest.mark.parametrize("entries", [1, 2**25])
def test_genes_may_be_tested_in_parts(monkeypatch, entries):
    monkeypatch.setattr(differential, "_ENTRIES", entries)
    generator = np.random.default_rng(0)
    controls, cells = generator.poisson(2, (30, 5)).astype(float), generator.poisson(3, (20, 5)).astype(float)

    found = against_controls(["a"], lambda name: cells, controls)

    expected = mannwhitneyu(cells, controls, method="asymptotic").pvalue
    np.testing.assert_allclose(found.p_value[0], expected)
    np.testing.assert_allclose(found.fdr[0], false_discovery_control(expected))
