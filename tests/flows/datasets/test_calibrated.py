"""The script that calibrates a model: from a dataset on disk to a model folder of the same parameters."""

import subprocess
import sys

import pytest

from diffbio_core.calling.calibration import Calibration
from diffbio_core.models import default_model_path, load_card, model_identity
from diffbio_core.simulation.variants import VariantModel
from diffbio_io.simulation.dataset import simulate_dataset

pytestmark = pytest.mark.slow


def test_a_calibrated_model_keeps_its_parameters_and_tells_what_it_was_fitted_on(tmp_path):
    simulate_dataset(tmp_path / "data", length=40_000, depth=20, seed=3, variants=VariantModel().scaled(4), threads=1)
    command = [sys.executable, "-m", "diffbio_flows.datasets.calibrated", "--output", tmp_path / "model"]
    parts = ["--without", "chr1:0-10000", tmp_path / "data"]
    run = subprocess.run([*map(str, [*command, *parts])], capture_output=True, text=True, check=True)
    plain, calibrated = load_card(default_model_path()), load_card(tmp_path / "model")
    assert calibrated["parameters_sha256"] == plain["parameters_sha256"]
    assert model_identity(calibrated) != model_identity(plain)
    assert calibrated["calibration"]["sets"] == ["data/reads.bam"]
    assert (Calibration.from_card(calibrated).slope != 1).any()
    assert "kept apart: " in run.stdout
