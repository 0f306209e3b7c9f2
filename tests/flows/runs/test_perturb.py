import json

import numpy as np
import pytest

from diffbio_core.problems import InputError
from diffbio_flows import evaluate_predictions, set_up_perturbations
from tests.diffbio_core.made_up_screens import CONTROL, screen, written


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return written(tmp_path_factory.mktemp("screen"), screen())


def logarithmic(folder, name, **fields):
    table = screen(**fields)
    table.X = np.log1p(table.X)
    return written(folder, table, name)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split_mode": "zeroshot", "held_out_cell_types": ("typea",)}, r"\(is 'TypeA' meant\?\)"),
        ({"split_mode": "fewshot"}, "held_out_perturbations is required"),
        ({"control_pert": "ctrl"}, "perturbation holds no control 'ctrl'"),
        ({"train_frac": 0.9, "valid_frac": 0.2}, "train_frac .* must be at most 1"),
        ({"batch_col": "plate"}, "has no obs columns 'plate'"),
        ({"output": "/dev/null/x"}, "/dev/null: is not a folder"),
    ],
)
def test_what_is_wrong_with_a_setup_is_bad_input(file, options, told):
    with pytest.raises(InputError, match=told):
        set_up_perturbations([file], **options)


def test_files_or_an_experiment_are_needed_and_not_both(file, tmp_path):
    toml = tmp_path / "e.toml"
    toml.write_text("[datasets]\n")

    for files, experiment in (((), None), ((file,), toml)):
        with pytest.raises(InputError, match=r"give \.h5ad files, or an experiment's TOML"):
            set_up_perturbations(files, experiment=experiment)
    with pytest.raises(InputError, match=r"e\.toml|names no data set"):
        set_up_perturbations(experiment=toml)


def test_a_folder_is_replaced_only_by_force(file, tmp_path):
    output = tmp_path / "out"
    set_up_perturbations([file], output=output, seed=1)

    with pytest.raises(InputError, match=r"exists\. Name another folder, or replace it with --force"):
        set_up_perturbations([file], output=output, seed=2)
    assert json.loads((output / "setup.json").read_text())["options"] == {"seed": 1}

    set_up_perturbations([file], output=output, seed=2, force=True)
    assert json.loads((output / "setup.json").read_text())["options"] == {"seed": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_holds_something_else_is_not_replaced_even_by_force(file, tmp_path):
    (tmp_path / "mine.txt").touch()

    with pytest.raises(InputError, match=r"holds 'mine.txt', which this command did not write"):
        set_up_perturbations([file], output=tmp_path, force=True)

    assert (tmp_path / "mine.txt").exists()


def test_the_folder_that_one_is_in_can_be_replaced(file, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    set_up_perturbations([file], output=".", force=True)

    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["cells.csv", "setup.json", "splits.csv"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["same"] * 96, "names 1 cells more than once, first 'same'"),
        ([f"cell;{number}" for number in range(96)], "names cells with ';'.* such as 'cell;0'"),
    ],
)
@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_names_by_which_controls_could_not_be_told_are_refused_where_they_are_written(tmp_path, names, told):
    table = screen()
    table.obs_names = names
    path = written(tmp_path, table)

    assert len(set_up_perturbations([path]).train_indices) == 76
    with pytest.raises(InputError, match=told):
        set_up_perturbations([path], output=tmp_path / "out")


def test_a_cell_type_with_controls_alone_is_passed_over(tmp_path):
    table = screen(per_group=12)
    table.X = np.log1p(table.X)
    kept = (table.obs["cell_type"] == "TypeA") | (table.obs["perturbation"] == CONTROL)
    real, predicted = written(tmp_path, table[kept].copy(), "real"), logarithmic(tmp_path, "predicted", per_group=12)
    told = []

    scores = evaluate_predictions(real, predicted, cell_type_col="cell_type", profile="effects", tell=told.append)

    assert list(scores.by_cell_type) == ["TypeA"]
    assert told[0] == "passed over, as none of their cells are perturbed: TypeB, TypeC"


def test_predictions_that_cannot_be_compared_are_bad_input(file, tmp_path):
    few = logarithmic(tmp_path, "few", perturbations=(CONTROL, "GeneX"))

    with pytest.raises(InputError, match="holds counts") as error:
        evaluate_predictions(file, few)

    assert "lacks 2 of the 3 measured perturbations: GeneY, GeneZ" in str(error.value)
    with pytest.raises(InputError, match="--alpha"):
        evaluate_predictions(file, few, alpha=2)


def test_a_cell_type_that_is_not_predicted_is_told(tmp_path):
    real = logarithmic(tmp_path, "real")
    predicted = logarithmic(tmp_path, "predicted", cell_types=("TypeA",))

    with pytest.raises(InputError, match=r"predicted\.h5ad: has no cells of the cell type 'TypeB'"):
        evaluate_predictions(real, predicted, cell_type_col="cell_type")


def test_baselines_of_an_unseen_cell_type_learn_from_all(tmp_path):
    real, predicted = (logarithmic(tmp_path, f"r{seed}", cell_types=("TypeA",), seed=seed) for seed in (0, 1))
    training = logarithmic(tmp_path, "training", cell_types=("TypeB",), seed=2)

    typed = evaluate_predictions(real, predicted, training=training, cell_type_col="cell_type", profile="effects")
    whole = evaluate_predictions(real, predicted, training=training, profile="effects")

    assert typed.by_cell_type["TypeA"]["mae"] == whole.by_cell_type[""]["mae"]
    assert typed.by_cell_type["TypeA"].rows[0].baselines == whole.by_cell_type[""].rows[0].baselines
    assert whole.to_csv().splitlines()[0].startswith("perturbation,real_cells")
    assert typed.to_csv().splitlines()[1].startswith("TypeA,GeneX,8,8")
