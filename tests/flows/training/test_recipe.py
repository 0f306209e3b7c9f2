"""A recipe makes its sets, trains on them, and makes nothing again that is there."""

import json

import pytest

from diffbio_core.problems import InputError
from diffbio_flows import train_model
from diffbio_flows.training.recipe import make_sets, read_recipe, shipped_recipe

RECIPE = """
[options]
epochs = 1
batch = 8
channels = 8

[[simulated]]
name = "seen"
seed = 3
megabases = 0.02
depths = [15.0, 20.0]
rate = 5.0

[[simulated]]
name = "apart"
seed = 4
megabases = 0.02
depths = [15.0, 20.0]
rate = 5.0
role = "validation"
"""


@pytest.mark.slow
def test_a_recipe_is_followed_and_its_sets_are_made_once(in_process, individual, tmp_path, monkeypatch):
    recipe = tmp_path / "recipe.toml"
    files = {name: getattr(individual, name) for name in ("reads", "reference", "truth", "confident")}
    there = "".join(f'{name} = "{file}"\n' for name, file in files.items())
    recipe.write_text(f'{RECIPE}\n[[sequenced]]\nname = "there"\n{there}training = ["chr1:1-10,000"]\n')
    fields = {"sets": recipe, "output": tmp_path / "model", "cluster": in_process}
    first = train_model(**fields)
    assert sum(first.sets["seen"]["training"]) > 0
    assert sum(first.sets["apart"]["validation"]) > 0
    assert sum(first.sets["there"]["training"]) > 0
    assert individual.reads.exists()
    assert not any(tmp_path.rglob("reads.bam"))
    store = tmp_path / "model.work.sets" / "seen" / "windows.zarr" / "zarr.json"
    made = store.stat().st_mtime_ns
    again = train_model(**{**fields, "output": tmp_path / "other", "work_dir": tmp_path / "model.work", "force": True})
    assert store.stat().st_mtime_ns == made
    assert again.parameters_sha256 == first.parameters_sha256
    assert json.loads((tmp_path / "model" / "card.json").read_text())["training"]["epochs"] == 1
    monkeypatch.setattr("diffbio_flows.training.recipe.source_state", lambda also: "other code makes other reads")
    make_sets(read_recipe(recipe), tmp_path / "model.work.sets", cluster=in_process)
    assert store.stat().st_mtime_ns != made


def test_the_recipe_of_the_shipped_model_can_be_read():
    if not (shipped_recipe().parents[3] / "shared" / "data" / "grch38").exists():
        pytest.skip("needs ../shared/data/grch38")
    recipe = read_recipe(shipped_recipe())
    assert {one.role for one in recipe.simulated} == {"training", "validation"}
    assert len({one.seed for one in recipe.simulated}) == len(recipe.simulated)


def test_a_file_that_a_recipe_lacks_is_named(tmp_path):
    recipe = tmp_path / "recipe.toml"
    files = ("reads", "reference", "truth", "confident")
    recipe.write_text(f'{RECIPE}\n[[sequenced]]\nname = "gone"\n' + "".join(f'{name} = "{name}"\n' for name in files))
    with pytest.raises(InputError) as caught:
        read_recipe(recipe)
    assert [problem.what for problem in caught.value.problems] == [
        f"there is no {tmp_path / name}" for name in sorted(files)
    ]


def test_a_fault_of_a_recipe_is_named(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.replace("rate", "rte", 1))
    with pytest.raises(InputError, match=r"simulated\.0\.rte: Extra inputs are not permitted"):
        read_recipe(recipe)
