"""The script that makes the shipped model: from datasets on disk to a model folder that the command takes."""

import json
import subprocess
import sys

import pytest

from diffbio_core.models import load_model
from diffbio_core.simulation.variants import VariantModel
from diffbio_io.simulation.dataset import simulate_dataset

pytestmark = pytest.mark.slow


def make(data, output, *options):
    command = [
        sys.executable,
        "-m",
        "diffbio_flows.datasets.shipped_model",
        "--data",
        data,
        "--output",
        output,
        *options,
    ]
    small = ["--epochs", "1", "--channels", "8", "--members", "1"]
    return subprocess.run([*map(str, command), *small], capture_output=True, text=True, check=True).stdout


def test_networks_of_another_model_join_those_that_are_trained(tmp_path):
    simulate_dataset(
        tmp_path / "data" / "own_small", length=60_000, depth=20, seed=3, variants=VariantModel().scaled(4), threads=1
    )
    assert "own_small: " in make(tmp_path / "data", tmp_path / "first")
    make(tmp_path / "data", tmp_path / "both", "--seed", "1", "--join", tmp_path / "first")

    first, both = (load_model(tmp_path / name).classifier.networks for name in ("first", "both"))
    assert (len(first), len(both)) == (1, 2)
    assert (first[0].head.kernel[...] == both[1].head.kernel[...]).all()
    card = json.loads((tmp_path / "both" / "card.json").read_text())
    assert card["joined"][0]["command"].endswith("--seed 0")
    assert card["training_data"].keys() == {"own_small"}
    assert card["metrics"]["candidates"] == card["training_data"]["own_small"]
