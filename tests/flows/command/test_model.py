"""``diffbio model``: the shipped model, those of a folder, and what two cards say differently."""

from __future__ import annotations

import json
import shutil

import pytest

from diffbio_core.models import default_model_path, load_card


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder of models: one whose card tells of other training, one of other features, one that is damaged."""
    folder = tmp_path / "models"
    for name in ("older", "other", "damaged"):
        shutil.copytree(default_model_path(), folder / name)
    change_card(folder / "older", training_data={"mine": {}}, metrics={"calls": [{"METRIC.F1_Score": 0.25}]})
    change_card(folder / "other", features={"version": 0})
    (folder / "damaged" / "parameters.safetensors").write_bytes(b"not them")
    monkeypatch.setenv("DIFFBIO_MODELS", str(folder))
    return folder


def change_card(model, **fields):
    path = model / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_the_list_tells_of_each_model_and_why_one_cannot_be_used(diffbio_here, models):
    sha256 = load_card(default_model_path())["parameters_sha256"]
    done = diffbio_here("model", "list")
    assert done.returncode == 0
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert list(told) == ["shipped", "damaged", "older", "other"]
    assert told["older"] == f"{sha256[:12]}, 1 set, F1 0.2500 on what was kept apart"
    assert "cannot be used" in told["other"]
    assert "version is 0, expected" in told["other"]
    assert "its card says" in told["damaged"]
    found = json.loads(diffbio_here("model", "list", "--json").stdout)
    assert found["older"] == {"parameters_sha256": sha256, "f1": 0.25, "sets": ["mine"]}
    assert "damaged" in found["damaged"]["cannot be used"]


def test_two_cards_are_compared_field_by_field(diffbio_here, models):
    done = diffbio_here("model", "compare", "shipped", "older", "--json")
    differing = json.loads(done.stdout)
    assert differing["metrics.calls"][1] == [{"METRIC.F1_Score": 0.25}]
    assert not any(key.startswith("config.") or key == "parameters_sha256" for key in differing)
    assert diffbio_here("model", "compare", "shipped", "shipped").stdout == "the cards say the same\n"


def test_a_model_that_cannot_be_used_is_not_compared(diffbio_here, models):
    done = diffbio_here("model", "compare", "shipped", "other")
    assert done.returncode == 2
    assert "version is 0, expected" in done.stderr
