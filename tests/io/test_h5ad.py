import pickle

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from diffbio_core.problems import InputError
from diffbio_io.h5ad import expression_of, read_anndata, read_expression, write_anndata

COUNTS = np.array([[0, 2, 0], [1, 0, 0], [0, 0, 5], [4, 0, 6]], dtype=np.float32)


def table(counts=COUNTS) -> anndata.AnnData:
    obs = pd.DataFrame({"perturbation": pd.Categorical(["a", "b", "a", "c"]), "depth": [2.0, 1.0, 5.0, 10.0]})
    obs.index = ["w", "x", "y", "z"]
    var = pd.DataFrame({"is_hvg": [True, False, True]}, index=["G1", "G2", "G3"])
    return anndata.AnnData(counts, obs=obs, var=var, obsm={"X_pca": np.arange(8.0).reshape(4, 2)})


@pytest.fixture
def sparse_file(tmp_path):
    write_anndata(table(scipy.sparse.csr_matrix(COUNTS)), tmp_path / "sparse.h5ad")
    return tmp_path / "sparse.h5ad"


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_matrix])
def test_what_is_written_is_read_and_stays_as_it_is_kept(tmp_path, kind, backed):
    write_anndata(table(kind(COUNTS)), tmp_path / "t.h5ad")

    found = read_expression(tmp_path / "t.h5ad", backed=backed)

    assert found.counts.is_sparse == (kind is not np.asarray)
    assert found.counts.is_stored == backed
    np.testing.assert_array_equal(found.counts[[3, 0, 3]], COUNTS[[3, 0, 3]])
    np.testing.assert_array_equal(np.asarray(found.counts), COUNTS)
    assert found.gene_names.tolist() == ["G1", "G2", "G3"]
    assert found.cell_names.tolist() == ["w", "x", "y", "z"]
    assert found.obs["perturbation"].tolist() == ["a", "b", "a", "c"]
    assert found.obs["depth"].tolist() == [2.0, 1.0, 5.0, 10.0]
    assert found.var["is_hvg"].tolist() == [True, False, True]
    np.testing.assert_array_equal(found.obsm["X_pca"], np.arange(8.0).reshape(4, 2))
    assert found.log_scale is None


def test_a_backed_matrix_survives_pickling(sparse_file):
    counts = read_expression(sparse_file, backed=True).counts

    np.testing.assert_array_equal(pickle.loads(pickle.dumps(counts))[[1, 2]], COUNTS[[1, 2]])


def test_a_file_that_says_log1p_is_told(tmp_path):
    adata = table()
    adata.uns["log1p"] = {}

    assert expression_of(adata).log_scale is True


def test_a_backed_matrix_by_genes_is_refused_with_what_to_do(tmp_path):
    write_anndata(table(scipy.sparse.csc_matrix(COUNTS)), tmp_path / "csc.h5ad")

    with pytest.raises(InputError, match=r"csc\.h5ad: keeps its matrix by genes .* store it as CSR"):
        read_expression(tmp_path / "csc.h5ad", backed=True)
    np.testing.assert_array_equal(np.asarray(read_expression(tmp_path / "csc.h5ad").counts), COUNTS)


def test_what_is_no_h5ad_is_refused(tmp_path):
    text = tmp_path / "text.h5ad"
    text.write_text("not HDF5")

    with pytest.raises(InputError, match=r"text\.h5ad: cannot be read as \.h5ad"):
        read_anndata(text)
    with pytest.raises(InputError, match="no such file"):
        read_anndata(tmp_path / "absent.h5ad")


def test_a_table_without_a_matrix_is_refused(tmp_path):
    write_anndata(anndata.AnnData(obs=table().obs), tmp_path / "none.h5ad")

    with pytest.raises(InputError, match="holds no matrix X"):
        read_anndata(tmp_path / "none.h5ad")


def test_a_failed_write_leaves_what_was_there(tmp_path, sparse_file):
    before = sparse_file.read_bytes()
    broken = table()
    broken.uns["cannot be written"] = object()

    with pytest.raises(Exception, match="object"):
        write_anndata(broken, sparse_file)

    assert sparse_file.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["sparse.h5ad"]


def test_categories_are_sorted_and_those_without_cells_left_out():
    adata = table()
    adata.obs["perturbation"] = pd.Categorical(["b", "a", "b", "d"], categories=["d", "c", "b", "a"])
    adata.obs["plate"] = pd.Categorical([2, 10, 2, 2])

    labels = expression_of(adata).labels

    assert labels["perturbation"].categories.tolist() == ["a", "b", "d"]
    assert labels["perturbation"].codes.tolist() == [1, 0, 1, 2]
    assert labels["plate"].names.tolist() == ["2", "10", "2", "2"]
    assert labels["plate"].categories.tolist() == ["2", "10"]


def test_a_cell_without_a_label_is_told():
    adata = table()
    adata.obs["perturbation"] = pd.Categorical(["a", None, "a", "c"])

    with pytest.raises(
        InputError, match=r"obs column 'perturbation' lacks labels: 1 of 4 are missing, first that of 1"
    ):
        expression_of(adata, "t.h5ad").labels_of("perturbation")
    with pytest.raises(InputError, match=r"t\.h5ad: has no obs column 'guide'; its columns are depth, perturbation"):
        expression_of(adata, "t.h5ad").labels_of("guide")
