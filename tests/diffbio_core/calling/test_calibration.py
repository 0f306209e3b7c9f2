import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.calling.calibration import Calibration, candidate_kinds, fit_calibration
from diffbio_core.models import ModelError, default_model_path, load_card, model_identity


def drawn(number=4_000, slope=0.6, seed=1):
    """Labels drawn from probabilities, and the logarithms of a classifier that is too sure of them."""
    rng = np.random.default_rng(seed)
    true = np.log(rng.dirichlet([0.6, 0.5, 0.4], number).clip(1e-6))
    true -= np.logaddexp.reduce(true, axis=1, keepdims=True)
    labels = np.array([rng.choice(3, p=np.exp(row)) for row in true], np.int8)
    sure = true / slope
    return sure - np.logaddexp.reduce(sure, axis=1, keepdims=True), labels


def test_a_classifier_that_is_too_sure_is_made_less_so():
    logs, labels = drawn()
    kinds, depth = np.full(labels.size, 2), np.full(labels.size, 20)
    fitted = fit_calibration(logs, labels, kinds, depth)
    assert fitted.slope[2, 1] == pytest.approx(0.6, abs=0.05)
    assert fitted.offset[2, 1] == pytest.approx(0, abs=0.15)
    others = np.ones((3, 3), bool)
    others[2, 1] = False
    assert np.all(fitted.slope[others] == 1)
    found = fitted(logs, kinds, depth)
    rows = np.arange(labels.size)
    assert -found[rows, labels].mean() < -logs[rows, labels].mean() - 0.05
    assert np.allclose(np.logaddexp.reduce(found, axis=1), 0)


def test_a_few_candidates_move_a_class_little():
    logs, labels = drawn(number=3)
    fitted = fit_calibration(logs, labels, np.zeros(3, int), np.zeros(3, int))
    assert abs(np.log(fitted.slope[0, 0])) < 0.3


def test_candidates_without_a_label_are_left_out():
    logs, _ = drawn(number=50)
    fitted = fit_calibration(logs, np.full(50, -1, np.int8), np.zeros(50, int), np.zeros(50, int))
    assert np.all(fitted.slope == 1)


@given(st.lists(st.lists(st.floats(-50, 0), min_size=3, max_size=3), min_size=1, max_size=5))
def test_no_calibration_changes_no_bit(rows):
    logs = np.array(rows)
    number = np.zeros(len(rows), int)
    assert Calibration.none()(logs, number, number).tobytes() == logs.tobytes()


def test_kinds_go_by_length_and_tract():
    assert candidate_kinds(np.array([0, 1, -2, 1]), np.array([0, 5, 6, 40])).tolist() == [0, 1, 2, 2]


def test_a_card_gives_back_what_was_put_in():
    fitted = fit_calibration(*drawn(number=200), np.ones(200, int), np.full(200, 40))
    again = Calibration.from_card(json.loads(json.dumps({"calibration": fitted.to_card()})))
    assert np.array_equal(again.slope, fitted.slope)
    assert np.array_equal(again.offset, fitted.offset)


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(default_model_path(), tmp_path / "model")


def with_calibration(model, entry):
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps({**card, "calibration": entry}))
    return model


def test_a_model_without_calibration_still_loads_and_another_one_is_another_model(model):
    plain = with_calibration(model, None)
    identity = model_identity(load_card(plain))
    assert model_identity(load_card(with_calibration(model, Calibration.none().to_card()))) != identity


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"version": 2}, "calibration is of version 2, expected 1"),
        ("none", "calibration is of version none"),
        ({"version": 1, "slope": [[1.0]], "offset": [[0.0]]}, "must hold finite slope"),
        ({"version": 1, "slope": [["a"]], "offset": None}, "could not convert"),
        ({**Calibration.none().to_card(), "slope": [[0.0] * 3] * 3}, "must hold finite slope"),
    ],
)
def test_a_broken_calibration_is_refused_with_the_card_that_holds_it(model, entry, told):
    with pytest.raises(ModelError, match=told) as raised:
        load_card(with_calibration(model, entry))
    assert "card.json" in str(raised.value)
