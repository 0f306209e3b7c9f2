import numpy as np
import pytest

from diffbio_core.sources.perturbation import (
    PerturbationAnnDataSource,
    PerturbationConcatSource,
    PerturbationSourceConfig,
)
from tests.diffbio_core.made_up_screens import CONTROL, GENES, screen, written


def source(folder, table, name, **fields):
    config = PerturbationSourceConfig(file_path=written(folder, table, name), **{"output_space": "all"} | fields)
    return PerturbationAnnDataSource(config)


def test_a_code_means_the_same_in_every_file(tmp_path):
    first = source(tmp_path, screen(perturbations=(CONTROL, "GeneY")), "one")
    second = source(tmp_path, screen(perturbations=(CONTROL, "GeneX", "GeneZ"), cell_types=("TypeB", "TypeD")), "two")

    both = PerturbationConcatSource([first, second])

    assert len(both) == len(first) + len(second) == 96
    assert both.get_pert_categories().tolist() == [*GENES, CONTROL]
    assert both.get_cell_type_categories().tolist() == ["TypeA", "TypeB", "TypeC", "TypeD"]
    assert both[8]["pert_name"] == first[8]["pert_name"] == "GeneY"
    assert (both[8]["pert_code"], first[8]["pert_code"]) == (1, 0)
    last, own = both[-1], second[-1]
    assert (
        (last["pert_name"], last["cell_type_name"]) == (own["pert_name"], own["cell_type_name"]) == ("GeneZ", "TypeD")
    )
    assert last["pert_emb"].tolist() == [0, 0, 1, 0]
    assert both.get_file_codes()[[0, 47, 48, 95]].tolist() == [0, 0, 1, 1]
    assert both.get_group_codes()[95] == 3 * 4 + 2


def test_genes_in_another_order_are_aligned(tmp_path):
    first = source(tmp_path, screen(seed=1), "one")
    turned = screen(seed=2, genes=("Other3", "Other2", "Other1", *GENES), sparse=True)
    both = PerturbationConcatSource([first, source(tmp_path, turned, "two")])

    assert both.get_gene_names() == [*GENES, "Other1", "Other2", "Other3"]
    np.testing.assert_array_equal(both[96]["counts"], turned.X[0].toarray()[0, [3, 4, 5, 2, 1, 0]])
    np.testing.assert_array_equal(both[0]["counts"], screen(seed=1).X[0])


def test_other_genes_are_refused_unless_shared_ones_are_asked_for(tmp_path):
    sources = [
        source(tmp_path, screen(genes=(*GENES, "Other1", "Only1")), "one"),
        source(tmp_path, screen(genes=("Only2", *GENES, "Other1")), "two"),
    ]

    with pytest.raises(ValueError, match=r"two\.h5ad: and .*one\.h5ad differ in 2 genes, such as 'Only1'"):
        PerturbationConcatSource(sources)
    assert PerturbationConcatSource(sources, shared_genes=True).get_gene_names() == [*GENES, "Other1"]


def test_files_that_do_not_fit_are_refused(tmp_path):
    plain = source(tmp_path, screen(), "one")
    other = screen(perturbations=("ctrl", "GeneX"))

    with pytest.raises(ValueError, match=r"controls are called 'non-targeting' in .* 'ctrl' in"):
        PerturbationConcatSource([plain, source(tmp_path, other, "two", control_pert="ctrl")])
    with pytest.raises(ValueError, match="should_yield_controls"):
        PerturbationConcatSource([plain, source(tmp_path, screen(), "three", should_yield_controls=False)])
    with pytest.raises(ValueError, match="at least one source"):
        PerturbationConcatSource([])


def test_embeddings_of_perturbations_are_joined_by_name(tmp_path):
    np.save(tmp_path / "one.npy", [[1.0], [9.0]])
    np.save(tmp_path / "two.npy", [[2.0], [9.0]])
    np.save(tmp_path / "other.npy", [[2.0], [8.0]])
    first = source(
        tmp_path, screen(perturbations=("GeneX", CONTROL)), "one", perturbation_features_file=tmp_path / "one.npy"
    )
    second, clash = (
        source(tmp_path, screen(perturbations=("GeneY", CONTROL)), name, perturbation_features_file=tmp_path / file)
        for name, file in (("two", "two.npy"), ("three", "other.npy"))
    )

    assert PerturbationConcatSource([first, second]).cells.features.tolist() == [[1], [2], [9]]
    with pytest.raises(ValueError, match="perturbation 'non-targeting' differs between files"):
        PerturbationConcatSource([first, clash])


def test_columns_that_differ_between_files_are_left_out_of_var_and_kept_if_common_in_obs(tmp_path):
    first, second = screen(), screen()
    first.obs["depth"], second.var["is_hvg"] = 1.0, False
    both = PerturbationConcatSource([source(tmp_path, first, "one"), source(tmp_path, second, "two")])

    assert "depth" not in both[0]["obs"]
    assert list(both.load()["var"]) == ["symbol"]
