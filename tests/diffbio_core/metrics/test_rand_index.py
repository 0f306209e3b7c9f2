import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.metrics import adjusted_rand_index


def test_the_published_example():
    assert adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])) == pytest.approx(4 / 7)
    assert adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == pytest.approx(-0.5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.permutations(range(5)))
def test_names_of_clusters_do_not_matter(labels, names):
    renamed = np.array([names[label] for label in labels])

    assert adjusted_rand_index(np.array(labels), renamed) == 1


def test_other_numbers_of_cells_are_told():
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\) differ"):
        adjusted_rand_index(np.zeros(2), np.zeros(3))
