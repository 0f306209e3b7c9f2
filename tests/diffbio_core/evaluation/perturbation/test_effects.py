import numpy as np
import pytest

from diffbio_core.evaluation.perturbation.effects import (
    absolute_errors,
    correlations,
    discrimination,
    squared_errors,
)


def test_correlations_are_pearsons_and_undefined_for_a_constant_row():
    x = np.random.default_rng(0).normal(size=(3, 20))
    y = x + np.random.default_rng(1).normal(size=(3, 20))
    y[2] = 0.1

    found = correlations(x, y)

    np.testing.assert_allclose(found[:2], [np.corrcoef(x[i], y[i])[0, 1] for i in range(2)])
    assert np.isnan(found[2])


def test_errors_are_means_over_genes():
    x, y = np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])

    assert (squared_errors(x, y)[0], absolute_errors(x, y)[0]) == (2.5, 1.5)


REAL = np.array([[0.0, 0, 9], [1, 0, 0], [4, 0, 0], [0, 3, 0]])
NONE = np.zeros((4, 3), bool)


@pytest.mark.parametrize(("metric", "expected"), [("l1", [1, 0.75, 1, 0.75]), ("l2", [1, 0.75, 1, 0.75])])
def test_a_score_counts_the_effects_that_are_nearer_than_its_own(metric, expected):
    predicted = np.array([[0.0, 0, 8], [3, 0, 0], [4, 0, 0], [1, 1, 0]])

    assert discrimination(predicted, REAL, NONE, np.arange(4), metric).tolist() == expected


def test_the_target_gene_is_left_out():
    predicted, targets = np.array([[4.0, 0, 9]]), NONE.copy()
    targets[0, 2] = True

    assert discrimination(predicted, REAL, NONE, np.array([0]), "l1").tolist() == [1]
    assert discrimination(predicted, REAL, targets, np.array([0]), "l1").tolist() == [1 - 2 / 4]


def test_the_cosine_of_no_effect_is_not_defined():
    predicted = np.array([[0.0, 0, 0], [2, 0, 0]])

    found = discrimination(predicted, REAL, NONE, np.array([0, 1]), "cosine")

    assert np.isnan(found[0])
    assert found[1] == 1
