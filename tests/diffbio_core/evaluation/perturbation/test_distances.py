import numpy as np
import pytest
from scipy.spatial.distance import cdist

from diffbio_core.evaluation.perturbation import distances
from diffbio_core.evaluation.perturbation.distances import e_distance, mean_distance, spread


@pytest.mark.parametrize("rows", [3, 1024])
def test_distances_are_those_of_all_pairs_whatever_the_blocks(monkeypatch, rows):
    monkeypatch.setattr(distances, "_ROWS", rows)
    x, y = np.random.default_rng(0).normal(size=(10, 4)), np.random.default_rng(1).normal(1, size=(7, 4))

    np.testing.assert_allclose(mean_distance(x, y), cdist(x, y).mean())
    np.testing.assert_allclose(spread(x), cdist(x, x).mean())
    expected = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    np.testing.assert_allclose(e_distance(x, y), expected)
    np.testing.assert_allclose(e_distance(x, y, spread(y)), expected)


def test_equal_cells_have_no_spread():
    assert spread(np.broadcast_to(np.array([0.1, 0.7, 123.456]), (50, 3))) == 0
