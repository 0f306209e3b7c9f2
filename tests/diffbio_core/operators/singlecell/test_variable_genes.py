import numpy as np
from scipy.sparse import csr_matrix

from diffbio_core.operators.singlecell.variable_genes import residual_variances, variable_genes
from diffbio_core.sources.matrix import DenseCounts, SparseCounts

RANDOM = np.random.default_rng(0)
RATES = np.tile(RANDOM.uniform(0.5, 5, 30), (400, 1))
RATES[:200, :4] *= 5
COUNTS = RANDOM.poisson(RATES).astype(np.float32)


def test_genes_that_differ_between_cells_are_chosen_sparse_or_dense():
    for matrix in (DenseCounts(COUNTS), SparseCounts(csr_matrix(COUNTS))):
        assert variable_genes(matrix, 4).tolist() == [0, 1, 2, 3]


def test_a_gene_that_only_counting_varies_has_a_variance_near_one():
    np.testing.assert_allclose(residual_variances(DenseCounts(COUNTS))[4:], 1, atol=0.35)


def test_all_genes_are_chosen_where_there_are_fewer():
    assert variable_genes(DenseCounts(COUNTS), 100).tolist() == list(range(30))
