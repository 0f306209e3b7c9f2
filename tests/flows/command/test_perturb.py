"""``diffbio perturb`` as a process of its own."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.diffbio_core.made_up_screens import CONTROL, GENES, screen, written


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return written(tmp_path_factory.mktemp("screen"), screen())


def rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_setup_prints_the_table_and_writes_splits_and_pairs_by_name(diffbio, file, tmp_path):
    output = tmp_path / "new" / "setup"

    done = diffbio("perturb", "setup", file, "--split", "zeroshot", "--held-out", "TypeB", "--output", output)

    assert done.returncode == 0
    assert "zero-shot: cell type held out, with its controls" in done.stdout
    assert sorted(path.name for path in output.iterdir()) == ["cells.csv", "setup.json", "splits.csv"]
    cells = {row["cell"]: row for row in rows(output / "cells.csv")}
    assert len(cells) == 96
    for row in cells.values():
        assert (row["split"] == "test") == (row["cell_type"] == "TypeB")
        own = cells[row["controls"]]
        assert own["perturbation"] == CONTROL
        assert (own["split"], own["cell_type"]) == (row["split"], row["cell_type"])
    about = json.loads((output / "setup.json").read_text())
    assert about["dimensions"]["n_perts"] == 4
    assert about["options"]["held_out_cell_types"] == ["TypeB"]


def test_an_experiment_and_the_knockdown_filter_give_json(diffbio_here, file, tmp_path):
    toml = tmp_path / "e.toml"
    toml.write_text(
        f'[datasets]\ns = "{file}"\n[training]\ns = "train"\n[fewshot."s.TypeA"]\nval = ["GeneX"]\ntest = ["GeneY"]\n'
    )

    done = diffbio_here(
        *("perturb", "setup", "--experiment", toml, "--knockdown", "--min-cells", "5", "--counts", "--json"),
        *("--output", tmp_path / "out", "--mapping", "batch"),
    )

    assert done.returncode == 0
    splits = json.loads(done.stdout)["splits"]
    assert {row["cell_type"] for row in splits if row["split"] in ("valid", "test")} == {"TypeA"}
    assert [row["why"] for row in rows(tmp_path / "out" / "knockdown.csv")] == ["kept"] * 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["absent.h5ad"], "absent.h5ad: no such file"),
        (["absent.h5ad", "--held-out", "TypeA"], "--held-out needs --split"),
    ],
)
def test_a_wrong_setup_ends_with_2_and_says_why(diffbio_here, tmp_path, arguments, told):
    done = diffbio_here("perturb", "setup", *arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_evaluate_scores_each_cell_type_beside_baselines(diffbio_here, tmp_path):
    files = []
    for seed in (0, 1, 2):
        table = screen(seed=seed, per_group=12)
        table.X = np.log1p(table.X)
        files.append(written(tmp_path, table, f"cells{seed}"))
    output = tmp_path / "scores"

    done = diffbio_here(
        *("perturb", "evaluate", "--real", files[0], "--predicted", files[1], "--training", files[2]),
        *("--cell-type-col", "cell_type", "--output", output),
    )

    assert done.returncode == 0
    assert done.stdout.count("pearson_delta") == 3
    assert "mean baseline" in done.stdout
    scores = json.loads((output / "scores.json").read_text())["cell_types"]
    assert list(scores) == ["TypeA", "TypeB", "TypeC"]
    value = {entry["metric"]: entry for entry in scores["TypeA"]["metrics"]}["pearson_delta"]
    assert value["value"] > 0.9 > value["baselines"]["mean"]["value"]
    table = rows(output / "scores.csv")
    assert [(row["cell_type"], row["perturbation"]) for row in table[:3]] == [("TypeA", gene) for gene in GENES]
