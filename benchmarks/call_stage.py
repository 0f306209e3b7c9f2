"""Windows per second from a window store to genotypes, on whatever device JAX finds: one process, several threads.

    diffbio ingest --reads R.bam --reference R.fa.gz --store windows.zarr
    python benchmarks/call_stage.py windows.zarr --threads 1 4 8
    JAX_PLATFORMS=cpu python benchmarks/call_stage.py windows.zarr --threads 1

Every shard is read, called and genotyped ``--rounds`` times. On a GPU, nvidia-smi samples the share of time that it
works. Beside it stands what the device alone does with batches that lie in its memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from diffbio_cluster.environment import gpu_worker_environment

# Before JAX is imported: what a worker with a GPU has.
os.environ["XLA_FLAGS"] = gpu_worker_environment(None, 1)["XLA_FLAGS"]
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import numpy as np

from diffbio_core.calling.call_stage import CallStage
from diffbio_core.calling.genotyping import genotype_sites
from diffbio_core.candidates.views import CandidateViews
from diffbio_core.models import default_model_path, load_model
from diffbio_core.windows.planes import PlaneBuffers
from diffbio_io.store.store import WindowStore

ROWS = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batches", type=int, nargs="*", default=[256, 1024, 4096, 16384])
    options = parser.parse_args()
    stage = CallStage(load_model(default_model_path()))
    print(f"JAX {jax.__version__} on {jax.devices()[0].device_kind}")
    through_store(WindowStore(options.store), stage, 1, 1)  # compiles
    for threads in options.threads:
        with Busy() as busy:
            print(through_store(WindowStore(options.store), stage, threads, options.rounds), end="")
        print(busy)
    for batch in options.batches:
        print(device_alone(stage, batch))


def through_store(store: WindowStore, stage: CallStage, threads: int, rounds: int) -> str:
    """Read, call and genotype every shard some times, by several threads."""
    shards = [shard for contig in store.contigs for shard in store.shards(contig)]
    seconds: Counter[str] = Counter()
    held, lock = threading.local(), threading.Lock()

    def work(shard):
        if not hasattr(held, "buffers"):
            held.buffers = PlaneBuffers()
        laps = [time.perf_counter()]
        planes = store.read(shard, held.buffers)
        laps.append(time.perf_counter())
        evidence = stage(planes)
        laps.append(time.perf_counter())
        genotype_sites(planes, evidence, min_qual=1.0, pass_qual=6.0, pass_gq=6.0)
        laps.append(time.perf_counter())
        with lock:
            seconds.update(dict(zip(("read", "call", "genotype"), np.diff(laps), strict=True)))

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(work, shards * rounds))
        wall = time.perf_counter() - start
    windows = rounds * sum(shard.num_windows for shard in shards)
    megabases = windows * store.grid.reference_length / 1e6
    stages = ", ".join(f"{name} {value / megabases:.3f}" for name, value in seconds.items())
    return f"{threads:3} threads: {windows / wall:8,.0f} windows/s, {megabases / wall:6.1f} Mb/s; thread-s/Mb: {stages}"


def device_alone(stage: CallStage, batch: int) -> str:
    """Candidates per second of batches that the device holds already, and the memory that it took at most."""
    random = np.random.default_rng(0)
    views = CandidateViews.empty(batch, ROWS)
    for cells, high in ((views.symbol, 4), (views.base_quality, 41), (views.group, 6), (views.reference, 4)):
        cells[:] = random.integers(0, high, cells.shape)
    arrays = {name: jax.device_put(values) for name, values in views.arrays().items()}
    jax.block_until_ready(stage.classify(arrays))
    repeats = max(3, 50_000 // batch)
    start = time.perf_counter()
    for _ in range(repeats):
        found = stage.classify(arrays)
    jax.block_until_ready(found)
    seconds = (time.perf_counter() - start) / repeats
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    memory = "" if peak is None else f", {peak / 1e9:.2f} GB"
    return f"batch of {batch:6,} x {ROWS} rows: {seconds * 1e3:8.2f} ms, {batch / seconds:11,.0f} candidates/s{memory}"


class Busy:
    """Share of time that a GPU works while this lasts; empty where there is none."""

    def __enter__(self):
        self._sampler = None
        if jax.default_backend() == "gpu":
            command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
            self._sampler = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._share = None
        if self._sampler is not None:
            self._sampler.terminate()
            self._share = np.mean([float(line) for line in self._sampler.communicate()[0].split()] or [0.0])

    def __str__(self) -> str:
        return "" if self._share is None else f"; GPU works {self._share:.0f} % of the time"


if __name__ == "__main__":
    main()
