import csv
import io
import json
import math
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from diffbio_core.evaluation.perturbation import METRICS, CellGroups, evaluate_perturbations
from diffbio_core.evaluation.perturbation.distances import e_distance
from diffbio_core.evaluation.perturbation.groups import ConstantProfiles, SameProfiles
from diffbio_core.sources import open_expression

REAL = Path(__file__).parents[5] / "shared" / "data" / "expression" / "perturbench_devel.h5ad"
GENES = ["A", "B", "C", "D"]


def cells(effects, *, per_group=20, seed=0, genes=GENES, control="non-targeting"):
    """log1p values around 2, with an effect per perturbation and a little noise."""
    generator = np.random.default_rng(seed)
    names = np.repeat([control, *effects], per_group)
    means = np.array([[0.0] * len(genes), *effects.values()], float) + 2
    values = np.repeat(means, per_group, axis=0) + generator.normal(0, 0.05, (len(names), len(genes)))
    obs = pd.DataFrame({"perturbation": pd.Categorical(names)}, index=[f"c{i}" for i in range(len(names))])
    return anndata.AnnData(values, obs=obs, var=pd.DataFrame(index=list(genes)))


EFFECTS = {"A": [-1, 0.2, 0, 0], "B": [0, -1, 0.3, 0], "A+B": [-1, -0.8, 0.3, 0], "C": [0, 0, -1, 0.5]}


@pytest.fixture(scope="module")
def scores():
    return evaluate_perturbations(cells(EFFECTS), cells(EFFECTS, seed=1))


@pytest.mark.skipif(not REAL.is_file(), reason="no ../shared/data")
def test_halves_of_a_real_screen_score_as_cell_eval_scores_them():
    table = open_expression(REAL)
    half = np.random.default_rng(0).integers(0, 2, 5961)
    k562 = table.obs["cell_type"] == "k562"
    real, predicted = (CellGroups.of(table, control="control", chosen=k562 & (half == number)) for number in (0, 1))

    scores = evaluate_perturbations(real, predicted, controls="predicted")

    expected = {
        "pearson_delta": 0.69915,
        "mae": 0.0069135,
        "discrimination_score_l1": 0.95684,
        "discrimination_score_l2": 0.96235,
        "pearson_edistance": 0.95787,
        # Of cell-eval 0.8.2, too, where every perturbation has a value there.
        "mse": 0.0007201046826109654,
        "mae_delta": 0.008747914488704479,
        "clustering_agreement": 0.7980242971467597,
        "discrimination_score_cosine": 0.8760330578512396,
        "de_spearman_sig": 0.809928646859007,
        "de_direction_match": 1.0,
        "de_sig_genes_recall": 0.9692982456140351,
        "de_nsig_counts_real": 1.1515151515151516,
        "de_nsig_counts_pred": 1.4545454545454546,
    }
    for metric, value in expected.items():
        assert scores[metric] == pytest.approx(value, abs=1e-5), metric
    rows = {row.metric: row for row in scores.rows}
    assert (rows["pearson_delta"].defined, rows["pr_auc"].defined, rows["pr_auc"].of) == (33, 19, 33)
    assert rows["overlap_at_N"].value * rows["overlap_at_N"].defined / 33 == pytest.approx(0.4696969696969697)


def test_every_metric_has_a_row_with_its_number_and_baselines(scores):
    assert [row.metric for row in scores.rows] == list(METRICS)
    rows = {row.metric: row for row in scores.rows}
    assert rows["pearson_delta"].value > 0.99
    assert rows["pearson_delta"].baselines["control"][1] == 0
    assert math.isnan(rows["pearson_delta"].scores["control"])
    assert rows["mse"].baselines["additive"][1] == 1
    assert rows["mse"].scores["mean"] > 0.99
    assert rows["discrimination_score_l1"].value == 1
    assert set(rows["mae"].baselines) == {"mean", "control", "additive"}


def test_true_controls_are_the_default_and_predicted_ones_are_to_be_had():
    off = cells(EFFECTS, seed=1)
    off.X = off.X + np.array([0.0, 0.0, 0.0, 1.0])  # the model's controls err as its perturbed cells do

    true = evaluate_perturbations(cells(EFFECTS), off, profile="effects")
    own = evaluate_perturbations(cells(EFFECTS), off, profile="effects", controls="predicted")

    assert own["mae_delta"] < 0.02
    assert true["mae_delta"] == pytest.approx(true["mae"])
    assert true["mae_delta"] > 0.24
    assert true["pearson_delta"] < own["pearson_delta"]


def test_predicted_cells_need_no_controls_of_their_own_unless_asked_for():
    predicted = cells(EFFECTS, seed=1)
    predicted = predicted[predicted.obs["perturbation"] != "non-targeting"].copy()

    assert evaluate_perturbations(cells(EFFECTS), predicted)["mae"] < 0.02
    with pytest.raises(ValueError, match="predicted: has no controls 'non-targeting', but A, A"):
        evaluate_perturbations(cells(EFFECTS), predicted, controls="predicted")


def test_without_training_cells_no_perturbation_is_in_its_own_mean():
    exact = {name: np.array(effect, float) for name, effect in EFFECTS.items()}
    scores = evaluate_perturbations(cells(EFFECTS), cells(EFFECTS, seed=1), profile="effects")

    expected = []
    for name, effect in exact.items():
        others = np.mean([other for key, other in exact.items() if key != name], axis=0)
        expected.append(np.abs(others - effect).mean())
    assert scores.rows[2].metric == "mae"
    assert scores.rows[2].baselines["mean"][0] == pytest.approx(np.mean(expected), abs=0.02)


def test_baselines_learn_from_training_cells_where_given():
    training = cells({"A": [-1, 0.2, 0, 0], "B": [0, -1, 0.3, 0]}, seed=2)
    doubles = {"A+B": [-1, -0.8, 0.3, 0], "A+C": [0, 0, 0, 1]}

    scores = evaluate_perturbations(cells(doubles), cells(doubles, seed=1), training=training, profile="effects")

    assert scores.perturbations == ("A+B", "A+C")
    additive = scores.baselines["additive"].values["mae"]
    assert additive[0] == pytest.approx(0, abs=0.06)
    assert np.isnan(additive[1])  # no cell was perturbed by C alone
    mean = np.array([-0.5, -0.4, 0.15, 0])
    expected = [np.abs(mean - np.array(effect)).mean() for effect in doubles.values()]
    np.testing.assert_allclose(scores.baselines["mean"].values["mae"], expected, atol=0.06)


def test_a_sparse_matrix_scores_as_its_dense_one_does():
    real, predicted = cells(EFFECTS), cells(EFFECTS, seed=1)
    dense = evaluate_perturbations(real, predicted)
    real.X, predicted.X = scipy.sparse.csr_matrix(real.X), scipy.sparse.csc_matrix(predicted.X)

    sparse = evaluate_perturbations(real, predicted)

    for metric in METRICS:
        assert sparse[metric] == pytest.approx(dense[metric], nan_ok=True)


def test_genes_in_another_order_are_aligned_and_others_refused():
    turned = cells(EFFECTS, seed=1)[:, ["D", "A", "C", "B"]].copy()

    straight = evaluate_perturbations(cells(EFFECTS), cells(EFFECTS, seed=1), profile="effects")
    assert evaluate_perturbations(cells(EFFECTS), turned, profile="effects")["mae"] == pytest.approx(straight["mae"])
    with pytest.raises(ValueError, match="predicted: lacks 1 genes, such as 'D', and has further 1 genes, such as 'E'"):
        evaluate_perturbations(cells(EFFECTS), cells(EFFECTS, genes=["A", "B", "C", "E"]))


def test_all_that_is_wrong_is_told_at_once():
    counts, broken = cells(EFFECTS), cells({"A": [0, 0, 0, 0]}, genes=["A", "B", "C", "X"])
    counts.X = np.round(np.expm1(counts.X))
    broken.X[0, 0] = np.nan

    with pytest.raises(ValueError, match="real: holds counts") as error:
        evaluate_perturbations(counts, broken)

    told = str(error.value)
    assert "predicted: holds 1 values that are NaN or infinite" in told
    assert "predicted: lacks 3 of the 4 measured perturbations: A+B, B, C" in told
    assert "predicted: lacks 1 genes, such as 'D'" in told


def test_perturbations_that_were_not_measured_are_passed_over():
    further = {**EFFECTS, "Z": [9, 9, 9, 9]}

    assert evaluate_perturbations(cells(EFFECTS), cells(further, seed=1), profile="effects")["mae"] < 0.02


@pytest.mark.parametrize("field", ["controls", "profile"])
def test_another_choice_is_refused(field):
    with pytest.raises(ValueError, match=field):
        evaluate_perturbations(None, None, **{field: "some"})


def test_the_table_is_text_csv_and_json(scores):
    text = str(scores).splitlines()
    assert text[0].split()[:5] == ["metric", "value", "defined", "mean", "baseline"]
    assert len(text) == 1 + len(METRICS)
    rows = list(csv.DictReader(io.StringIO(scores.to_csv())))
    assert [row["perturbation"] for row in rows] == ["A", "A+B", "B", "C"]
    assert rows[0]["real_cells"] == "20"
    assert rows[0]["additive:mae"] == ""
    assert float(rows[1]["additive:mae"]) < 0.06
    entry = json.loads(scores.to_json())
    assert entry["metrics"][0]["metric"] == "pearson_delta"
    assert entry["metrics"][0]["baselines"]["control"] == {"value": None, "defined": 0}
    assert entry["perturbations"]["mae"]["A"] == pytest.approx(float(rows[0]["mae"]))


def test_cells_that_are_alike_are_looked_at_once_and_score_the_same():
    generator = np.random.default_rng(0)
    profiles = {name: generator.random(4) for name in ("A", "B")}
    constant = ConstantProfiles(profiles, {"A": 5, "B": 3})
    controls = generator.random((6, 4))
    same = SameProfiles(controls)

    assert constant.cells("A").shape == (5, 4)
    assert constant.cloud("A").shape == (1, 4)
    for name in profiles:
        whole = e_distance(constant.cells(name), controls)
        assert e_distance(constant.cloud(name), controls) == pytest.approx(whole)
    kinds, like = same.kinds(("A", "B"))
    assert (list(kinds), like.tolist()) == (["A"], [0, 0])
    assert constant.kinds(("A", "B"))[1].tolist() == [0, 1]


def test_measured_values_that_were_centred_are_refused_and_predicted_ones_below_zero_are_not():
    centred, predicted = cells(EFFECTS), cells(EFFECTS, seed=1)
    centred.X = centred.X - centred.X.mean(axis=0)
    predicted.X[0] = -0.01

    with pytest.raises(ValueError, match=r"real: holds negative values \(down to -0\.") as error:
        evaluate_perturbations(centred, predicted, training=centred, profile="effects")
    assert "training: holds negative values" in str(error.value)
    assert "predicted" not in str(error.value)


def test_tables_without_genes_are_refused():
    with pytest.raises(ValueError, match="real: holds 100 cells and 0 genes"):
        evaluate_perturbations(cells(EFFECTS)[:, :0], cells(EFFECTS, seed=1)[:, :0])


def test_a_backed_table_scores_as_one_in_memory(tmp_path):
    sparse, predicted = cells(EFFECTS), cells(EFFECTS, seed=1)
    sparse.X = scipy.sparse.csr_matrix(sparse.X)
    sparse.write_h5ad(tmp_path / "real.h5ad")
    backed = anndata.read_h5ad(tmp_path / "real.h5ad", backed="r")

    scores = evaluate_perturbations(backed, predicted, profile="effects")

    assert scores["pearson_delta"] == evaluate_perturbations(sparse, predicted, profile="effects")["pearson_delta"]
