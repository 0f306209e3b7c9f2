import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.splitters.controls import _shares


@given(controls=st.integers(0, 200), sizes=st.lists(st.integers(0, 50), min_size=3, max_size=3))
def test_all_controls_are_shared_out_in_proportion_and_none_where_there_are_no_cells(controls, sizes):
    shares = np.array(_shares(controls, np.array(sizes)))

    assert shares.sum() == controls
    if sum(sizes):
        assert (shares[np.array(sizes) == 0] == 0).all()
        wanted = np.array(sizes) > 0
        assert np.count_nonzero(shares[wanted]) == min(wanted.sum(), controls)
        assert (shares <= np.maximum(np.ceil(controls * np.array(sizes) / sum(sizes)), 1)).all()


@pytest.mark.parametrize(
    ("controls", "sizes", "shares"),
    [
        (10, [10, 10, 80], [1, 1, 8]),
        (10, [1, 1, 98], [1, 1, 8]),
        (2, [1, 1, 98], [1, 1, 0]),
        (5, [0, 0, 7], [0, 0, 5]),
        (5, [0, 0, 0], [0, 0, 5]),
        (7, [1, 1, 1], [3, 2, 2]),
    ],
)
def test_each_split_with_cells_gets_one_first(controls, sizes, shares):
    assert _shares(controls, np.array(sizes)) == shares
