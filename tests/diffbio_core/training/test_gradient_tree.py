"""Whoever adds which leaves, the sum has the same bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.training.gradient_tree import split_leaves, sum_nodes, sum_run


def added(values, runs, order):
    parts = [sum_run(run, values.__getitem__, np.add, len(values)) for run in runs]
    return sum_nodes([parts[place] for place in order], np.add, len(values))


@given(leaves=st.integers(1, 21), parts=st.integers(1, 9), seed=st.integers(0, 99))
def test_neither_the_number_of_parts_nor_their_order_shows(leaves, parts, seed):
    random = np.random.default_rng(seed)
    values = [random.normal(size=3).astype(np.float32) * 10.0 ** random.integers(-3, 4) for _ in range(leaves)]
    runs = split_leaves(leaves, parts)
    found = added(values, runs, random.permutation(len(runs)))
    assert found.tobytes() == added(values, [range(leaves)], [0]).tobytes()
    np.testing.assert_allclose(found, np.sum(values, 0, dtype=np.float64), rtol=1e-4, atol=1e-1)


def test_runs_cover_all_leaves_evenly():
    assert split_leaves(8, 3) == [range(0, 2), range(2, 5), range(5, 8)]
    assert split_leaves(2, 4) == [range(0, 1), range(1, 2)]


def test_a_missing_leaf_is_an_error():
    with pytest.raises(ValueError, match="do not cover 4 leaves"):
        sum_nodes([{(1, 0): 1.0}, {(0, 2): 1.0}], lambda a, b: a + b, 4)
