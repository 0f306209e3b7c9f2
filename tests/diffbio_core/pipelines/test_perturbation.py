from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from diffbio_core.pipelines import PerturbationPipeline, PerturbationPipelineConfig
from diffbio_core.sources.perturbation import (
    DatasetEntry,
    ExperimentConfig,
    FewshotEntry,
    PerturbationConcatSource,
    ZeroshotEntry,
)
from tests.diffbio_core.made_up_screens import CONTROL, GENES, screen, written

REAL = Path(__file__).parents[4] / "shared" / "data" / "expression" / "perturbench_devel.h5ad"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screens")
    return [
        written(folder, screen(sparse=True), "one"),
        written(folder, screen(sparse=True, seed=1, cell_types=("TypeB", "TypeD")), "two"),
    ]


def set_up(files, **fields):
    return PerturbationPipeline(PerturbationPipelineConfig(**fields)).setup(files)


def splits_of(result):
    split = np.full(len(result.source), -1)
    for number, indices in enumerate((result.train_indices, result.valid_indices, result.test_indices)):
        assert (split[indices] == -1).all(), "a cell in two splits"
        split[indices] = number
    return split


def leaks(result, by_batch=False):
    """Pairs that cross a split, a file, a cell type, or a batch where asked; and controls that serve two splits."""
    source, split = result.source, splits_of(result)
    perturbed = np.flatnonzero(~source.get_control_mask())
    assert len(result.control_mapping) == len(perturbed)
    agree = [split, source.get_file_codes(), source.get_cell_type_codes()]
    if by_batch:
        agree.append(source.get_batch_codes())
    cells = np.repeat(perturbed, result.control_mapping.shape[1])
    controls = result.control_mapping.ravel()
    cells, controls = cells[controls >= 0], controls[controls >= 0]
    assert len(cells)
    assert source.get_control_mask()[controls].all()
    return sum(np.count_nonzero(labels[cells] != labels[controls]) for labels in agree)


EXPERIMENT = {
    "zeroshot": (ZeroshotEntry("first", "TypeA", "test"), ZeroshotEntry("second", "TypeD", "val")),
    "fewshot": (FewshotEntry("first", "TypeC", ("GeneX",), ("GeneY",)),),
}


def experiment(files, **parts):
    datasets = tuple(DatasetEntry(name, str(file)) for name, file in zip(("first", "second"), files, strict=True))
    return ExperimentConfig(**{"datasets": datasets, "training_datasets": ("first",)} | EXPERIMENT | parts)


@pytest.mark.parametrize("strategy", ["random", "batch"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"split_mode": "zeroshot", "held_out_cell_types": ("TypeB",)},
        {"split_mode": "fewshot", "held_out_perturbations": ("GeneX", "GeneY")},
    ],
    ids=["random", "zeroshot", "fewshot"],
)
@pytest.mark.parametrize("number", [1, 2])
def test_no_split_leaks(files, fields, strategy, number):
    fields = fields | {"mapping_strategy": strategy, "n_basal_samples": 2, "train_frac": 0.6, "valid_frac": 0.2}

    result = set_up(files[:number], **fields)

    assert leaks(result, by_batch=strategy == "batch") == 0
    assert (splits_of(result) >= 0).all()


@pytest.mark.parametrize("strategy", ["random", "batch"])
def test_an_experiment_does_not_leak(files, strategy):
    config = PerturbationPipelineConfig(mapping_strategy=strategy)

    result = PerturbationPipeline(config).setup_experiment(experiment(files))

    assert leaks(result, by_batch=strategy == "batch") == 0


@pytest.mark.skipif(not REAL.is_file(), reason="no ../shared/data")
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"split_mode": "zeroshot", "held_out_cell_types": ("T98G",)},
        {"split_mode": "fewshot", "held_out_perturbations": ("FOXO4", "MAP2K6", "CBL+CNN1")},
    ],
    ids=["random", "zeroshot", "fewshot"],
)
def test_no_split_of_a_real_screen_leaks_and_all_its_cells_have_controls(fields):
    for strategy in ("random", "batch"):
        result = set_up([REAL], control_pert="control", batch_col="dataset", mapping_strategy=strategy, **fields)

        assert leaks(result, by_batch=strategy == "batch") == 0
        assert (result.control_mapping >= 0).all()
        assert (splits_of(result) >= 0).all()


def test_a_zero_shot_split_keeps_its_own_controls(files):
    result = set_up(files, split_mode="zeroshot", held_out_cell_types=("TypeB",))

    control = result.source.get_control_mask()
    names = result.source.cells.cell_types.names
    assert set(names[result.test_indices]) == {"TypeB"}
    assert set(np.flatnonzero(control & (names == "TypeB"))) <= set(result.test_indices)
    assert (result.controls_of(result.test_indices) >= 0).all()


def test_a_few_shot_split_has_controls_of_every_cell_type_in_test(files):
    result = set_up(files[:1], split_mode="fewshot", held_out_perturbations=("GeneX",))

    source, test = result.source, result.test_indices
    control = source.get_control_mask()[test]
    assert set(source.cells.perturbations.names[test]) == {"GeneX", CONTROL}
    assert set(source.cells.cell_types.names[test[control]]) == {"TypeA", "TypeB", "TypeC"}
    assert (result.controls_of(test[~control]) >= 0).all()


def test_an_experiment_holds_out_within_cell_types_and_files(files):
    result = PerturbationPipeline(PerturbationPipelineConfig()).setup_experiment(experiment(files))

    source, split = result.source, splits_of(result)
    types, names, file = source.cells.cell_types.names, source.cells.perturbations.names, source.get_file_codes()
    control = source.get_control_mask()
    of_c = (types == "TypeC") & ~control
    assert set(split[types == "TypeA"]) == {2}
    assert set(split[(types == "TypeB") & (file == 0)]) == {0}
    assert set(split[(types == "TypeB") & (file == 1)]) == {-1}
    assert set(split[types == "TypeD"]) == {1}
    assert {name: set(split[of_c & (names == name)]) for name in GENES} == {"GeneX": {1}, "GeneY": {2}, "GeneZ": {0}}
    assert np.bincount(split[(types == "TypeC") & control]).tolist() == [2, 3, 3]
    reasons = {(row.split, row.cell_type): row.why for row in result.split_table.rows}
    assert reasons["none", "TypeB"] == "data set is not in [training]"
    assert reasons["test", "TypeA"] == "zero-shot: cell type for test, with its controls"
    assert reasons["test", "TypeC"] == "few-shot: perturbation for test; controls, shared out over the splits"


def test_names_of_an_experiment_that_do_not_exist_are_told_at_once(files):
    wrong = experiment(
        files,
        zeroshot=(ZeroshotEntry("first", "typea", "test"),),
        fewshot=(FewshotEntry("first", "TypeC", ("GeneW",), ("BRCA1",)),),
    )

    with pytest.raises(ValueError, match=r"cell types 'typea' \(is 'TypeA' meant\?\)") as error:
        PerturbationPipeline(PerturbationPipelineConfig()).setup_experiment(wrong)

    assert "no cell is perturbed by 'GeneW'" in str(error.value)
    assert "no cell is perturbed by 'BRCA1'" in str(error.value)


def test_a_data_set_without_files_is_told(files, tmp_path):
    lost = experiment([files[0], tmp_path / "nothing" / "*.h5ad"])

    with pytest.raises(ValueError, match=r"data set 'second': .* leads to no \.h5ad file"):
        PerturbationPipeline(PerturbationPipelineConfig()).setup_experiment(lost)
    with pytest.raises(ValueError, match="leave out split_mode='fewshot'"):
        PerturbationPipeline(
            PerturbationPipelineConfig(split_mode="fewshot", held_out_perturbations=("GeneX",))
        ).setup_experiment(lost)


def test_the_sampler_gives_cells_of_the_training_split(files):
    result = set_up(files, sentence_size=5, sentences_per_batch=3)

    batches = list(result.train_sampler)

    assert sorted(cell for batch in batches for cell in batch) == result.train_indices.tolist()
    batch = result.get_paired_batch(batches[0])
    assert batch["control_counts"].shape == (len(batches[0]), 1, 6)
    for place, cell in enumerate(batches[0][:4]):
        own = result.get_element(int(batch["control_indices"][place, 0]))
        assert own["is_control"]
        assert own["cell_type_name"] == result.get_element(cell)["cell_type_name"]
        np.testing.assert_array_equal(batch["control_counts"][place, 0], own["counts"])


def test_cells_without_controls_are_counted_and_no_batch_is_made_of_them(tmp_path):
    table = screen(cell_types=("TypeA", "TypeB"))
    lonely = table[~((table.obs["cell_type"] == "TypeB") & (table.obs["perturbation"] == CONTROL))].copy()
    result = set_up([written(tmp_path, lonely)])

    assert sum(row.without_control for row in result.split_table.rows) == 24
    assert np.count_nonzero(result.control_mapping < 0) == 24
    of_b = [cell for cell in result.train_indices if result.get_element(cell)["cell_type_name"] == "TypeB"]
    with pytest.raises(ValueError, match="have no control in their split, cell type and file"):
        result.get_paired_batch(of_b)


@pytest.mark.parametrize("number", [-1, 160])
def test_a_number_that_is_no_cell_has_no_controls(files, number):
    with pytest.raises(IndexError, match=f"has cells 0 to 159, got {number}"):
        set_up(files).controls_of([0, number])


@pytest.mark.parametrize("backed", [False, True])
def test_files_stay_sparse(files, backed):
    result = set_up(files, backed=backed)

    assert isinstance(result.source, PerturbationConcatSource)
    counts = result.source.cells.expression
    assert (counts.is_sparse, counts.is_stored) == (True, backed)
    assert scipy.sparse.issparse(counts.block(np.array([0, 150])))
    assert result.get_var_dims() == {"n_genes": 6, "n_cells": 160, "n_perts": 4, "n_cell_types": 4, "n_batches": 2}


def test_the_knockdown_filter_takes_cells_out_of_the_splits_and_says_why(files):
    result = set_up(files[:1], enable_knockdown_filter=True, min_cells=5, var_gene_col="symbol", n_basal_samples=2)
    weak = set_up(files[:1], enable_knockdown_filter=True, min_cells=5, residual_expression=0.01)

    assert result.filter_mask.all()
    assert (splits_of(result) >= 0).all()
    assert weak.filter_mask.sum() == 24
    assert weak.knockdown.verdicts[0].why == "perturbation keeps 0.01 of its target or more"
    assert set(splits_of(weak)[~weak.filter_mask]) == {-1}
    assert (weak.control_mapping == -1).all()
    assert [row for row in weak.split_table.rows if row.perturbed_cells and row.split != "none"] == []
    assert "perturbation keeps 0.01" in str(weak.split_table)


def test_the_table_counts_every_cell_once(files):
    result = set_up(files, split_mode="zeroshot", held_out_cell_types=("TypeB",))

    rows = result.split_table.rows
    assert sum(row.perturbed_cells for row in rows) == 120
    assert sum(row.controls for row in rows) == 40
    test = [row for row in rows if row.split == "test"]
    assert [(row.file, row.perturbations, row.perturbed_cells, row.controls) for row in test] == [
        (str(file), 3, 24, 8) for file in files
    ]
    lines = result.split_table.to_csv().splitlines()
    assert lines[0] == "split,file,cell_type,perturbations,perturbed_cells,controls,without_control,why"
    assert len(lines) == len(rows) + 1
    text = str(result.split_table)
    assert "one.h5ad" in text
    assert str(files[0]) not in text


def test_the_same_seed_gives_the_same_and_another_one_another(files):
    first, again, other = (set_up(files, seed=seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first.train_indices, again.train_indices)
    np.testing.assert_array_equal(first.control_mapping, again.control_mapping)
    assert list(first.train_sampler) == list(again.train_sampler)
    assert first.train_indices.tolist() != other.train_indices.tolist()


def test_a_perturbation_of_an_experiment_is_held_out_under_all_its_names(tmp_path):
    pairs = ("GeneX", "GeneX+GeneY", "GeneY+GeneX")
    path = written(tmp_path, screen(perturbations=(CONTROL, *pairs), cell_types=("TypeA",)))

    def held_out(**names):
        entry = FewshotEntry("only", "TypeA", **names)
        data = (DatasetEntry("only", str(path)),)
        only = ExperimentConfig(datasets=data, training_datasets=("only",), fewshot=(entry,))
        return PerturbationPipeline(PerturbationPipelineConfig()).setup_experiment(only)

    for apart in (
        {"test_perturbations": pairs[1:2]},
        {"test_perturbations": pairs[1:2], "val_perturbations": pairs[2:]},
    ):
        with pytest.raises(ValueError, match=r"'GeneY\+GeneX' \(the same as 'GeneX\+GeneY'\) would be elsewhere"):
            held_out(**apart)
    assert len(held_out(test_perturbations=pairs[1:]).test_indices) == 16 + 5  # of 8 controls


@pytest.mark.parametrize("backed", [False, True])
def test_the_same_cells_in_two_files_are_refused(files, tmp_path, backed):
    import shutil

    shutil.copy(files[0], tmp_path / "copy.h5ad")
    (tmp_path / "link.h5ad").symlink_to(files[0])

    for again in (files[0], tmp_path / "copy.h5ad", tmp_path / "link.h5ad"):
        with pytest.raises(ValueError, match=r"holds cells that .*one\.h5ad holds, too"):
            set_up([*files, again], backed=backed)
    assert len(set_up(files, backed=backed).source) == 160  # other cells of the same names


def test_an_absent_control_label_is_told(files):
    with pytest.raises(ValueError, match=r"no control 'Non-targeting' \(is 'non-targeting' meant\?\)"):
        set_up(files, control_pert="Non-targeting")
    with pytest.raises(ValueError, match="perturbation holds no control 'ctrl', but GeneX, GeneY"):
        set_up(files, control_pert="ctrl")
    with pytest.raises(ValueError, match="at least one file"):
        set_up([])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"output_space": "embedding"}, "embedding_key"),
        ({"output_space": "genes"}, "output_space"),
        ({"mapping_strategy": "near"}, "mapping_strategy"),
        ({"split_mode": "cells"}, "split_mode"),
        ({"n_basal_samples": 0}, "n_basal_samples"),
        ({"sentence_size": 0}, "sentence_size"),
        ({"sentences_per_batch": -1}, "sentences_per_batch"),
        ({"min_cells": 0}, "min_cells"),
        ({"train_frac": 1.5}, "train_frac"),
        ({"valid_frac": -0.1}, "valid_frac"),
        ({"train_frac": 0.8, "valid_frac": 0.3}, "train_frac"),
        ({"residual_expression": 0.0}, "residual_expression"),
        ({"cell_residual_expression": 1.2}, "cell_residual_expression"),
        ({"split_mode": "zeroshot"}, "held_out_cell_types"),
        ({"split_mode": "fewshot"}, "held_out_perturbations"),
        ({"held_out_cell_types": ("A",)}, "held_out_cell_types"),
        ({"split_mode": "zeroshot", "held_out_cell_types": "TypeA"}, "held_out_cell_types"),
        (
            {"split_mode": "zeroshot", "held_out_cell_types": ("A",), "held_out_perturbations": ("B",)},
            "held_out_perturbations",
        ),
    ],
)
def test_a_rule_that_is_broken_is_told_by_its_field(fields, field):
    with pytest.raises(ValueError, match=field):
        PerturbationPipelineConfig(**fields)
