import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "preprocessing.py"


@pytest.mark.slow
def test_the_example_prints_its_figures_and_draws_its_pictures(tmp_path):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "MPLCONFIGDIR": str(tmp_path / "matplotlib")}

    output = subprocess.run(
        [sys.executable, str(EXAMPLE), str(tmp_path / "pictures")],
        capture_output=True,
        check=True,
        text=True,
        env=environment,
    ).stdout

    assert re.findall(r"loss = (\S+), threshold = (\S+)", output) == [
        ("0.1986", "34.00"),
        ("0.0007", "25.20"),
        ("0.0000", "21.47"),
        ("0.0001", "20.03"),
        ("0.0001", "19.50"),
    ]
    assert "Threshold changed: 34.00 -> 19.36" in output
    assert "0.154 mean retention, 43.7% of Q>30 kept, 100.0% of Q<15 filtered" in output
    assert "0.858 mean retention, 100.0% of Q>30 kept, 99.7% of Q<15 filtered" in output
    assert len(list((tmp_path / "pictures").glob("preprocessing-*.png"))) == 6
