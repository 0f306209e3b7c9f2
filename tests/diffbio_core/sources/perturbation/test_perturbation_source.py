import jax
import numpy as np
import pytest
import scipy.sparse

from diffbio_core.sources.perturbation import PerturbationAnnDataSource, PerturbationSourceConfig
from tests.diffbio_core.made_up_screens import CONTROL, GENES, TYPES, screen, written


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return written(tmp_path_factory.mktemp("screen"), screen(sparse=True))


def opened(file, **fields):
    return PerturbationAnnDataSource(PerturbationSourceConfig(file_path=file, **{"output_space": "all"} | fields))


def test_an_element_holds_counts_codes_onehots_and_names(file):
    source, table = opened(file), screen(sparse=True)
    cell = source[9]  # TypeA under GeneX, batch2

    np.testing.assert_array_equal(cell["counts"], table.X[9].toarray()[0])
    assert (cell["pert_name"], cell["cell_type_name"], cell["batch_name"]) == ("GeneX", "TypeA", "batch2")
    assert (cell["pert_code"], cell["cell_type_code"], cell["batch_code"]) == (0, 0, 1)
    assert cell["is_control"] is False
    assert source[0]["is_control"] is True
    assert cell["pert_emb"].tolist() == [1, 0, 0, 0]
    assert cell["cell_type_onehot"].tolist() == [1, 0, 0]
    assert cell["batch_onehot"].tolist() == [0, 1]
    assert cell["obs"]["barcode"] == "ACGT9"
    np.testing.assert_array_equal(cell["obsm"]["X_pca"], table.obsm["X_pca"][9])
    assert "barcode" not in cell


def test_getters_tell_the_vocabulary_and_the_cells(file):
    source = opened(file)

    assert len(source) == 96
    assert source.get_pert_categories().tolist() == [*GENES, CONTROL]
    assert source.get_cell_type_categories().tolist() == list(TYPES)
    assert source.get_var_dims() == {"n_genes": 6, "n_cells": 96, "n_perts": 4, "n_cell_types": 3, "n_batches": 2}
    assert source.get_control_mask().sum() == 24
    assert source.get_group_codes()[8] == 0
    assert source.get_group_codes()[95] == 2 * 4 + 2
    assert source.get_onehot_map()["GeneY"].tolist() == [0, 1, 0, 0]
    assert source.get_n_genes() == 6
    assert source.get_dataset_info() == {"n_genes": 6, "n_cells": 96}


@pytest.mark.parametrize("backed", [False, True])
def test_a_sparse_matrix_stays_sparse_and_a_backed_one_in_its_file(file, backed):
    counts = opened(file, backed=backed).load()["counts"]

    assert counts.is_sparse
    assert counts.is_stored == backed
    assert scipy.sparse.issparse(counts.block(np.arange(3)))
    np.testing.assert_array_equal(np.asarray(counts), screen(sparse=True).X.toarray())


def test_barcodes_and_columns_come_where_asked(file):
    cell = opened(file, include_barcodes=True, additional_obs=("batch",))[5]

    assert (cell["barcode"], cell["batch"]) == ("ACGT5", "batch2")


def test_negative_numbers_count_from_the_end_and_others_are_index_errors(file):
    source = opened(file)

    assert source[-1]["pert_name"] == "GeneZ"
    for wrong in (96, -97):
        with pytest.raises(IndexError, match="which yields 96 cells"):
            source[wrong]
    with pytest.raises(IndexError, match="got -1"):
        source.gather([0, -1])


def test_highly_variable_genes_and_embeddings_are_chosen_by_the_output_space(file):
    genes = opened(file, output_space="gene", hvg_col="is_hvg")
    embedded = opened(file, output_space="embedding", embedding_key="X_pca")

    np.testing.assert_array_equal(genes[3]["counts"], screen(sparse=True).X[3].toarray()[0, [0, 2, 4]])
    assert genes.get_gene_names("gene") == ["GeneX", "GeneZ", "Other2"]
    assert len(genes.get_gene_names()) == 6
    assert embedded[3]["counts"].shape == (0,)
    assert list(embedded[3]["obsm"]) == ["X_pca"]


def test_controls_are_left_out_where_asked(file):
    source = opened(file, should_yield_controls=False)

    assert len(source) == 72
    assert not any(cell["is_control"] for cell in source)
    assert source.get_control_mask().shape == (96,)
    assert source[0]["obs"]["barcode"] == "ACGT8"
    assert source.cell_indices[0] == 8


def test_batches_go_through_the_cells_epoch_by_epoch_and_start_again_after_reset(file):
    source = opened(file)

    sizes = [source.get_batch(40)["counts"].shape for _ in range(4)]
    assert sizes == [(40, 6), (40, 6), (16, 6), (40, 6)]
    source.reset()
    assert source.get_batch(2)["obs"]["barcode"].tolist() == ["ACGT0", "ACGT1"]
    assert source.get_batch(3)["pert_name"] == [CONTROL] * 3


def test_a_key_draws_cells_without_repeats_and_without_state(file):
    source = opened(file)

    first = source.get_batch(30, key=jax.random.key(1))["obs"]["barcode"]
    assert first.tolist() == source.get_batch(30, key=jax.random.key(1))["obs"]["barcode"].tolist()
    assert len(set(first)) == 30


def test_shuffling_gives_every_cell_once_in_another_order_each_epoch(file):
    source = opened(file, shuffle=True, seed=3)

    first, second = ([cell["obs"]["barcode"] for cell in source] for _ in range(2))
    assert sorted(first) == sorted(second) == sorted(f"ACGT{number}" for number in range(96))
    assert first != second


def test_an_embedding_of_perturbations_replaces_the_onehot(file, tmp_path):
    np.save(tmp_path / "f.npy", np.arange(8).reshape(4, 2))
    np.save(tmp_path / "wrong.npy", np.zeros((3, 2)))

    assert opened(file, perturbation_features_file=tmp_path / "f.npy")[9]["pert_emb"].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"wrong\.npy: has shape \(3, 2\), expected one row for each of the 4"):
        opened(file, perturbation_features_file=tmp_path / "wrong.npy")


def test_all_that_is_absent_is_told_at_once(file):
    with pytest.raises(ValueError, match="no obs columns 'guide', 'plate'") as error:
        opened(file, pert_col="guide", batch_col="plate", output_space="gene", hvg_col="variable")

    assert "no var column 'variable'; its columns are is_hvg, symbol" in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"output_space": "gene"}, "no hvg_col names the column"),
        ({"output_space": "embedding", "embedding_key": "X_umap"}, "no embedding 'X_umap'; it has X_pca"),
        ({"output_space": "gene", "hvg_col": "symbol"}, "holds more than true and false"),
        ({"include_barcodes": True, "additional_obs": ("dose",)}, "no obs columns 'dose'"),
    ],
)
def test_what_a_file_lacks_is_told(file, fields, message):
    with pytest.raises(ValueError, match=message):
        opened(file, **fields)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "file_path"),
        ({"file_path": "x", "output_space": "genes"}, "output_space"),
        ({"file_path": "x", "output_space": "embedding"}, "embedding_key"),
        ({"file_path": "x", "additional_obs": ("a", "a")}, "additional_obs"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_by_field(fields, field):
    with pytest.raises(ValueError, match=field):
        PerturbationSourceConfig(**fields)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.h5ad"):
        opened(tmp_path / "absent.h5ad")


@pytest.mark.parametrize(
    ("chosen", "told"), [((slice(0), slice(None)), "0 cells and 6"), ((slice(None), slice(0)), "96 cells and 0")]
)
def test_a_table_without_cells_or_genes_is_refused(tmp_path, chosen, told):
    path = written(tmp_path, screen()[chosen].copy())

    with pytest.raises(ValueError, match=f"holds {told} genes"):
        opened(path)


def test_a_value_that_is_not_finite_is_named(tmp_path):
    table = screen()
    table.X[7, 2] = np.nan

    with pytest.raises(ValueError, match=r"holds nan \(cell cell7, gene GeneZ\)"):
        opened(written(tmp_path, table))
