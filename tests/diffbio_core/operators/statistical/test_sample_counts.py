import numpy as np
import pytest
import scipy.sparse

from diffbio_core.operators.statistical.sample_counts import SampleCounts

NAMES = {"sample_names": ["a", "b"], "gene_names": ["x", "y", "z"]}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "is NaN or infinite"), (-1.0, "is negative"), (2.5, "is no whole number")]
)
def test_a_bad_count_is_told_by_gene_and_sample(value, what, sparse):
    counts = np.array([[1.0, 0, 3], [4, 5, 6]])
    counts[1, 2] = value
    with pytest.raises(ValueError, match=f"gene z in sample b {what}"):
        SampleCounts(scipy.sparse.csr_matrix(counts) if sparse else counts, **NAMES)


def test_values_that_are_no_numbers_or_no_table_are_refused():
    with pytest.raises(ValueError, match="of type"):
        SampleCounts(np.array([["1", "2"]]))
    with pytest.raises(ValueError, match="3 axes"):
        SampleCounts(np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="2 gene names for 3 genes"):
        SampleCounts(np.zeros((2, 3)), gene_names=["x", "y"])
    with pytest.raises(ValueError, match="0 samples x 3 genes are empty"):
        SampleCounts(np.zeros((0, 3)))


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_blocks_and_samples_are_rows_of_the_table(kind):
    values = np.arange(40).reshape(4, 10)
    counts = SampleCounts(kind(values))

    np.testing.assert_array_equal(counts.block(np.array([3, 7])), values[:, [3, 7]].T)
    np.testing.assert_array_equal(counts.sample(2), values[2])
    np.testing.assert_array_equal(np.concatenate(list(counts.blocks())), np.arange(10))
    np.testing.assert_array_equal(counts.is_zero_in(np.array([True, False, False, False])), np.arange(10) == 0)
    assert counts.has_gene_without_zeros()


def test_replaced_rows_show_in_blocks_alone():
    counts = SampleCounts(np.arange(12).reshape(2, 6)).with_replaced(np.array([1, 4]), np.array([[70.0, 71], [80, 81]]))

    np.testing.assert_array_equal(counts.block(np.array([0, 4, 5])), [[0, 6], [80, 81], [5, 11]])
    np.testing.assert_array_equal(counts.sample(0), np.arange(6))


def test_work_on_blocks_comes_back_in_their_order():
    counts = SampleCounts(np.ones((2, 100)))

    firsts = counts.map_blocks(np.arange(100), lambda genes: int(genes[0]))

    assert firsts == sorted(firsts)
    assert firsts[0] == 0
