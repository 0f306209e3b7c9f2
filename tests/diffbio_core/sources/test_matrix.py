import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from diffbio_core.sources.matrix import CountMatrix, DenseCounts, SparseCounts, StackedCounts, StoredCounts


class Rows:
    """A file's stand-in at the interface that readers keep: ascending rows without repeats."""

    def __init__(self, values):
        self._values, self.shape, self.dtype = values, values.shape, values.dtype

    def read_rows(self, rows):
        assert (np.diff(rows) > 0).all()
        return self._values[rows]


def matrices(values: np.ndarray) -> list[CountMatrix]:
    sparse = scipy.sparse.csr_matrix(values)
    half = len(values) // 2
    return [
        DenseCounts(values),
        SparseCounts(sparse),
        StoredCounts(Rows(values), is_sparse=False),
        StoredCounts(Rows(sparse), is_sparse=True),
        StackedCounts([DenseCounts(values[:half]), SparseCounts(sparse[half:])]),
        StackedCounts([SparseCounts(sparse[:half]), StoredCounts(Rows(sparse[half:]), is_sparse=True)]),
    ]


@given(
    values=arrays(np.int32, st.tuples(st.integers(2, 6), st.integers(1, 4)), elements=st.integers(0, 3)),
    data=st.data(),
)
def test_every_kind_of_matrix_indexes_as_its_dense_array_does(values, data):
    rows = np.array(data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1)))
    genes = np.array(data.draw(st.lists(st.integers(0, values.shape[1] - 1), min_size=1)))
    for matrix in matrices(values):
        assert matrix.shape == values.shape
        np.testing.assert_array_equal(matrix[rows], values[rows])
        np.testing.assert_array_equal(matrix[int(rows[0])], values[rows[0]])
        np.testing.assert_array_equal(matrix[-1], values[-1])
        np.testing.assert_array_equal(matrix[1:, genes], values[1:][:, genes])
        np.testing.assert_array_equal(matrix.columns(genes), values[:, genes])
        np.testing.assert_array_equal(np.asarray(matrix), values)
        chosen = matrix.select_genes(genes)
        assert type(chosen) is type(matrix)
        np.testing.assert_array_equal(chosen[rows], values[np.ix_(rows, genes)])
        again = chosen.select_genes(np.array([0]))
        np.testing.assert_array_equal(again[rows], values[np.ix_(rows, genes[:1])])


def test_sparse_parts_stack_to_a_sparse_matrix():
    values = scipy.sparse.csr_matrix(np.eye(4))

    stacked = StackedCounts([SparseCounts(values[:2]), SparseCounts(values[2:])])

    assert stacked.is_sparse
    assert scipy.sparse.issparse(stacked.block(np.array([3, 0])))


def test_a_row_outside_is_an_index_error():
    with pytest.raises(IndexError, match="row 3 of a matrix of 3 rows"):
        DenseCounts(np.eye(3))[3]


def test_parts_of_other_genes_do_not_stack():
    with pytest.raises(ValueError, match=r"\[2, 3\] genes"):
        StackedCounts([DenseCounts(np.eye(2)), DenseCounts(np.eye(3))])


@pytest.mark.parametrize("stored", [False, True])
def test_entries_that_stand_for_one_place_are_one_value(stored):
    halves = scipy.sparse.csr_matrix(([0.5, 0.5, 2.0], [1, 1, 0], [0, 2, 3]), shape=(2, 2))

    matrix = StoredCounts(Rows(halves), is_sparse=True) if stored else SparseCounts(halves)

    (_, block), *_ = matrix.blocks()
    assert block.data.tolist() == [1.0, 2.0]
    assert halves.data.tolist() == [0.5, 0.5, 2.0]
