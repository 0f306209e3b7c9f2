"""The peak of one process is its own, and what it frees it uses again."""

from __future__ import annotations

import os
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


def test_freed_memory_is_used_again_where_dask_would_have_it_given_back():
    script = """
import resource
from diffbio_cluster.memory import reuse_freed_memory
told = reuse_freed_memory()
bytearray(b"x") * 20_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    bytearray(b"x") * 20_000_000
print(int(told), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=environment)
    told, faults = map(int, child.stdout.split())
    # Five times 20 MB are 24,000 pages.
    assert not told or faults < 1000
