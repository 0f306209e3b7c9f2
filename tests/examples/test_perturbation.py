import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "perturbation.py"
SCREEN = Path(__file__).parents[3] / "shared" / "data" / "expression" / "perturbench_devel.h5ad"


@pytest.mark.slow
@pytest.mark.skipif(not SCREEN.is_file(), reason="no ../shared/data")
def test_what_the_example_learns_beats_the_sum_of_single_effects():
    output = subprocess.run(
        [sys.executable, str(EXAMPLE), str(SCREEN)],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    ).stdout

    assert "held out: KLF1+MAP2K6, KLF1+TGFBR2, MAP2K3+MAP2K6, MAP2K3+SLC38A2, MAPK1+TGFBR2" in output
    lines = {line.split()[0]: line.split() for line in output.splitlines() if line}
    # metric, value, defined of all, mean baseline, over how many, score, control, additive
    value, mean, additive = (float(lines["pearson_delta"][place]) for place in (1, 5, -3))
    assert value == pytest.approx(0.576, abs=0.03)
    assert value > additive > mean
