import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_thresholds.py"
FIGURES = r"(.+): held-out loss (\S+), (\S+)% of variants found, (\S+)% of other positions called, threshold Q(\S+)"


@pytest.mark.slow
def test_a_threshold_that_is_trained_with_the_network_lowers_the_held_out_loss():
    command = [sys.executable, str(EXAMPLE), "--samples", "600", "--steps", "300"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    output = subprocess.run(command, capture_output=True, check=True, text=True, env=environment).stdout
    found = {name: [float(figure) for figure in figures] for name, *figures in re.findall(FIGURES, output)}
    loss, recall, false_calls, threshold = zip(*found.values(), strict=True)
    assert list(found) == ["network only", "network and threshold"]
    assert threshold[0] == 20 < 24 < threshold[1]
    assert loss[1] < 0.9 * loss[0]
    assert recall[1] > recall[0]
    assert false_calls[1] < false_calls[0]
