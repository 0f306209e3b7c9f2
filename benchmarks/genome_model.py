"""What leader and scheduler add to a run over a whole genome, and how long the merge of its shards takes.

    python benchmarks/genome_model.py [--seconds 0.3] [--workers 2 16 64] [--shards-per-worker 185] [--records 400]

The leader is the real one, the scheduler Dask's, and the tasks are those of all shards of GRCh38 (3.1 Gb); only what a
worker does with a shard is a sleep of the seconds that `shard_stages.py` measures. Workers are threads, 16 of a
process, so that what this process takes is what leader and scheduler do. With 64 workers all shards are worked on,
with fewer ones as many as keep each of them as long. Then as many shards of records as the genome has are merged and
indexed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
from distributed import LocalCluster

from diffbio_cluster import ClusterConfig, open_executor
from diffbio_cluster.environment import worker_environment
from diffbio_core.windows.grid import WindowGrid
from diffbio_flows.reports.progress import Silence
from diffbio_flows.runs.steps import Work, process_shards
from diffbio_flows.shards.commit import commit_shard, shard_path
from diffbio_flows.shards.message import ShardResult, ShardTask
from diffbio_io.files.state import FileState
from diffbio_io.variants.bgzf_blocks import bgzf_blocks
from diffbio_io.variants.vcf import concatenate_shards, vcf_header

# Of a worker process; with one process each, 64 would not fit a small machine.
THREADS = 16

# Lengths (Mb) of GRCh38's chromosomes 1 to 22, X, Y.
MEGABASES = (
    248.96, 242.19, 198.30, 190.21, 181.54, 170.81, 159.35, 145.14, 138.39, 133.80, 135.09, 133.28,
    114.36, 107.04, 101.99, 90.34, 83.26, 80.37, 58.62, 64.44, 46.71, 50.82, 156.04, 57.23,
)  # fmt: skip
CONTIGS = {f"chr{name}": round(length * 1e6) for name, length in zip([*range(1, 23), "X", "Y"], MEGABASES, strict=True)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3, help="that a worker takes for a shard")
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 16, 64])
    parser.add_argument("--shards-per-worker", type=int, default=185)
    parser.add_argument("--records", type=int, default=400, help="of a shard")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tasks = genome_tasks(Path(folder), options.seconds)
        print(f"{len(tasks):,} shards of {options.seconds:g} s")
        print(f"{'workers':>8}{'shards':>8}{'wall (s)':>10}{'ideal (s)':>11}{'added':>8}{'its CPU (ms/shard)':>20}"
              f"{'memory (MB)':>13}")  # fmt: skip
        for workers in options.workers:
            print(run(tasks[: workers * options.shards_per_worker], workers, options.seconds))
        print(merge(tasks, options.records, Path(folder)))


def genome_tasks(folder: Path, seconds: float) -> list[ShardTask]:
    """A task for each shard of the genome, as large as those of a run; its sleep stands among its times."""
    grid = WindowGrid()
    (folder / "reads").write_bytes(b"")
    inputs = tuple(FileState.of(folder / "reads") for _ in range(5))
    return [
        ShardTask(
            shard, grid, ((0, length),), str(folder / "reads.bam"), str(folder / "reference.fa"), "NA12878",
            str(folder), calls=str(folder), model="model", inputs=inputs, model_identity="0" * 64, run="0" * 32,
            made_of={"reads": {"path": "reads.bam", "size": 1}, "reference": {"path": "reference.fa", "size": 1}},
            seconds_before={"sleep": seconds},
        )
        for contig, length in CONTIGS.items()
        for shard in grid.shards(contig, length, [(0, length)])
    ]  # fmt: skip


def sleep(task: ShardTask) -> ShardResult:
    """What a worker does in place of calling."""
    time.sleep(task.seconds_before["sleep"])
    counters = {f"reads_{number}": number for number in range(12)}
    return ShardResult(task.name, 262_144, counters, dict.fromkeys(("ingest", "call"), 0.1), 500.0, {".vcf": "0" * 64})


def run(tasks: list[ShardTask], workers: int, seconds: float) -> str:
    """A line of the table: some shards worked off."""
    process = psutil.Process()
    cluster = LocalCluster(
        n_workers=-(-workers // THREADS), threads_per_worker=min(workers, THREADS), env=worker_environment(),
        memory_limit=0, dashboard_address=None,  # pyright: ignore[reportArgumentType]
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    )  # fmt: skip
    with cluster, open_executor(ClusterConfig(kind="address", address=cluster.scheduler_address)) as executor:
        process_shards(executor, tasks[: 2 * workers], Work(sleep), Silence())
        memory, cpu, start = process.memory_info().rss, sum(process.cpu_times()[:2]), time.perf_counter()
        results = process_shards(executor, tasks, Work(sleep), Silence())
        wall = time.perf_counter() - start
        spent = (sum(process.cpu_times()[:2]) - cpu) / len(tasks)
        grown = process.memory_info().rss
    assert len(results) == len(tasks)
    ideal = -(-len(tasks) // workers) * seconds
    return (
        f"{workers:>8}{len(tasks):>8,}{wall:>10.1f}{ideal:>11.1f}{wall / ideal - 1:>8.1%}{1000 * spent:>20.2f}"
        f"{memory / 2**20:>7.0f} {grown / 2**20:>5.0f}"
    )


def merge(tasks: list[ShardTask], records: int, folder: Path) -> str:
    """How long the records of all shards take to become a file with its index."""
    paths = []
    for task in tasks:
        first = task.shard.first_window * task.grid.reference_length
        lines = "".join(
            f"{task.shard.contig}\t{first + 600 * number + 1}\t.\tA\tG\t{50 + number % 40}.10\tPASS\t"
            f"DP={20 + number % 19};AC=1;AN=2\tGT:GQ:DP:AD:PL\t"
            f"0/1:{number % 99}:30:{number % 17},15:{number},0,{number}\n"
            for number in range(min(records, CONTIGS[task.shard.contig] // 600 - first // 600))
        )
        commit_shard(
            folder,
            replace(sleep(replace(task, seconds_before={"sleep": 0})), files={}),
            {".vcf.gz": bgzf_blocks(lines.encode())},
        )
        paths.append(shard_path(folder, task.name, ".vcf.gz"))
    header = vcf_header(CONTIGS, "NA12878")
    start = time.perf_counter()
    concatenate_shards(folder / "out.vcf.gz", paths, CONTIGS, header, aside=folder / "aside")
    seconds = time.perf_counter() - start
    return f"{records * len(paths):,} records of {len(paths):,} shards merged and indexed in {seconds:.1f} s"


if __name__ == "__main__":
    # What workers run is sent by its name, as in a run; that of a script would be sent in full with each shard.
    import genome_model

    genome_model.main()
