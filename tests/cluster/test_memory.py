"""The peak of one process is its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from diffbio_cluster import peak_memory_mb


def test_the_peak_grows_with_what_is_used_and_stays():
    array = np.ones(200_000_000, np.uint8)
    held = peak_memory_mb()
    assert held > array.nbytes / 2**20
    del array
    # The kernel counts pages in batches, so the mark may fall back by a few.
    assert peak_memory_mb() > held - 2


def test_a_process_does_not_count_the_one_that_started_it():
    array = np.ones(300_000_000, np.uint8)
    script = "from diffbio_cluster.memory import peak_memory_mb; print(peak_memory_mb())"
    child = float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert child < 150 < array.nbytes / 2**20
