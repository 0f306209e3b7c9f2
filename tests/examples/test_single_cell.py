import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared_data import SHARED

EXAMPLE = Path(__file__).parents[2] / "examples" / "single_cell.py"


def run(*options: str) -> str:
    command = [sys.executable, str(EXAMPLE), *options]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(command, capture_output=True, check=True, text=True, env=environment).stdout


def figures(told: str, what: str) -> tuple[float, float]:
    batches, types = re.findall(rf"{what}: LISI (\S+) of batches, (\S+) of types", told)[-1]
    return float(batches), float(types)


@pytest.mark.slow
def test_batches_mix_and_types_are_found():
    told = run("--cells", "200", "--epochs", "30")

    assert figures(told, "corrected")[0] > figures(told, "latent")[0]
    assert figures(told, "corrected")[1] < 1.3
    assert float(re.findall(r"agree with types: (\S+)", told)[0]) > 0.8


@pytest.mark.slow
def test_real_cell_lines_are_told_apart():
    if not (SHARED / "expression").is_dir():
        pytest.skip("../shared/data/expression is absent")

    told = run("--cells", "120", "--epochs", "1", "--cell-lines", str(SHARED / "expression"))

    assert figures(told, "corrected")[0] > 1.70
    assert figures(told, "corrected")[1] < 1.01
    assert float(re.findall(r"agree with lines: (\S+)", told)[0]) > 0.99
