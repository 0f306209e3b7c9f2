"""Records of random bytes must not reach outside an array, which would crash the process or change others' memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_damaged_records_never_reach_outside_an_array(tmp_path):
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment = os.environ | checked | {"NUMBA_OPT": "0"}  # else nearly all of the time goes to compiling
    done = subprocess.run(
        [sys.executable, "-m", "tests.diffbio_core.reads.corrupt_records", "25", str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("300 packed")
