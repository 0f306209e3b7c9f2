import numpy as np
import pytest

from diffbio_core.metrics import local_inverse_simpson
from tests.diffbio_core.cell_samples import lisi_of_r

POINTS = np.random.default_rng(0).normal(size=(100, 2))


def test_lisi_is_one_where_all_share_a_label_and_two_where_labels_alternate():
    line = np.arange(200.0)[:, None]

    np.testing.assert_allclose(local_inverse_simpson(line, np.zeros(200), 10), 1, atol=1e-6)
    middle = local_inverse_simpson(line, np.arange(200) % 2, 10)[50:150]
    np.testing.assert_allclose(middle, 2, atol=0.15)


def test_cells_that_coincide_are_counted_alike():
    labels = np.arange(100) % 4

    found = local_inverse_simpson(np.zeros((100, 2)), labels, 30)

    assert np.isfinite(found).all()
    assert (found > 3).all()


def test_too_few_cells_are_told():
    with pytest.raises(ValueError, match="perplexity 40 needs over 119 cells, got 100"):
        local_inverse_simpson(POINTS, np.zeros(100), 40)


def test_another_number_of_labels_is_told():
    with pytest.raises(ValueError, match=r"99 labels for embeddings of shape \(100, 2\)"):
        local_inverse_simpson(POINTS, np.zeros(99), 10)


def test_lisi_is_that_of_r():
    points, labels, expected = lisi_of_r()

    for column in range(2):
        np.testing.assert_allclose(local_inverse_simpson(points, labels[column]), expected[:, column], atol=1e-4)
