import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from diffbio_core.evaluation.perturbation.agreement import (
    agreements,
    average_precision,
    count_correlation,
    roc_area,
    spearman,
)
from diffbio_core.evaluation.perturbation.differential import DifferentialExpression


def expression(fold_change, fdr):
    return DifferentialExpression(np.array(fold_change, float), np.array(fdr, float), np.array(fdr, float))


REAL = expression([[3.0, -2, 1, 5, 0], [1, 1, 1, 1, 1]], [[0.01, 0.01, 0.04, 0.5, 0.05], [1, 1, 1, 1, 1]])
PREDICTED = expression([[2.0, 4, 1, 5, 0], [1, 1, 1, 1, 1]], [[0.01, 0.02, 0.3, 0.01, 0.6], [1, 0.01, 1, 1, 1]])


def test_agreement_of_significant_genes():
    found = {name: values.tolist() for name, values in agreements(REAL, PREDICTED).items()}

    # Measured: genes 0, 1, 2 by size of effect; predicted: 3, 1, 0.
    assert found["overlap_at_N"][0] == pytest.approx(2 / 3)
    assert found["precision_at_50"][0] == pytest.approx(2 / 3)
    assert found["de_direction_match"][0] == pytest.approx(2 / 3)
    assert found["de_sig_genes_recall"][0] == pytest.approx(2 / 3)
    assert found["de_spearman_lfc_sig"][0] == pytest.approx(spearmanr([3, -2, 1], [2, 4, 1]).statistic)
    assert found["de_nsig_counts_real"] == [3, 0]
    assert found["de_nsig_counts_pred"] == [3, 1]


def test_without_a_significant_gene_agreement_is_not_defined():
    found = {name: values[1] for name, values in agreements(REAL, PREDICTED).items()}

    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {
        *(f"overlap_at_{size}" for size in ("N", 50, 100, 200, 500)),
        "de_direction_match",
        "de_sig_genes_recall",
        "de_spearman_lfc_sig",
        "pr_auc",
        "roc_auc",
    }
    assert found["precision_at_N"] == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=15))
def test_areas_are_those_of_all_thresholds_and_pairs(rows):
    true, confidence = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], float)

    precision, area = average_precision(true, confidence), roc_area(true, confidence)

    if true.all() or not true.any():
        assert math.isnan(precision)
        assert math.isnan(area)
        return
    pairs = [np.sign(a - b) / 2 + 0.5 for a in confidence[true] for b in confidence[~true]]
    assert area == pytest.approx(np.mean(pairs))
    expected = last = 0.0
    for threshold in sorted(set(confidence), reverse=True):
        chosen = confidence >= threshold
        recall = true[chosen].sum() / true.sum()
        expected += (recall - last) * true[chosen].mean()
        last = recall
    assert precision == pytest.approx(expected)


def test_numbers_of_genes_are_correlated_where_some_are_truly_significant():
    assert count_correlation(np.array([0, 1, 2, 3.0]), np.array([9, 1, 2, 3.0])) == pytest.approx(1)
    assert math.isnan(count_correlation(np.array([0, 1.0]), np.array([1, 1.0])))
    assert math.isnan(spearman(np.array([1, 1.0]), np.array([1, 2.0])))
    assert spearman(np.array([np.inf, 1, 2]), np.array([5.0, 3, 4])) == pytest.approx(1)
