"""Models are found by path or by name."""

import shutil

import pytest

from diffbio_core.models import ModelError, default_model_path, find_model, list_models, models_folder


@pytest.fixture
def environment(tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(default_model_path(), folder / "mine")
    return {"DIFFBIO_MODELS": str(folder)}


def test_a_name_is_looked_for_in_the_folder_of_models(environment, tmp_path):
    assert find_model("mine", environment) == tmp_path / "models" / "mine"
    assert find_model(None, environment) == find_model("shipped", environment) == default_model_path()


def test_a_path_wins_over_a_name(environment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert str(find_model("mine", environment)) == "mine"
    assert str(find_model("other/mine", environment)) == "other/mine"


def test_one_that_cannot_be_used_is_listed_with_the_reason(environment, tmp_path):
    card = tmp_path / "models" / "mine" / "card.json"
    card.write_text(card.read_text().replace('"version": 7', '"version": 2'))
    found = list_models(environment)
    assert list(found) == ["shipped", "mine"]
    assert isinstance(found["mine"], ModelError)
    assert "version is 2, expected 7" in str(found["mine"])


def test_the_folder_is_the_users_unless_it_is_named():
    assert str(models_folder({"HOME": "/home/me"})) == "/home/me/.local/share/diffbio/models"
    assert str(models_folder({"XDG_DATA_HOME": "/data", "HOME": "/home/me"})) == "/data/diffbio/models"
