"""Seconds of a core that each stage of a shard takes per Mb, beside what inflating the BAM takes, in one process.

    python benchmarks/shard_stages.py [--reads BAM --reference FASTA --contig NAME] [--rounds 5] [--only STAGE ...]

Every shard of a contig is ingested, stored, read back, called, genotyped and committed, some times over; told is the
least of the rounds, in seconds of CPU, which other programs on the machine disturb less than they do the clock. The
ratios are to ``samtools view -u`` of the same reads, through pysam, and of the store's size to the BAM's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from diffbio_cluster.environment import worker_environment

# Before JAX is imported: what a worker of one thread has.
os.environ.update(worker_environment())

import pysam

from diffbio_core.calling.call_stage import CallStage
from diffbio_core.calling.genotyping import genotype_sites
from diffbio_core.models import default_model_path, load_model
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_core.windows.planes import PlaneBuffers
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.reference import Reference
from diffbio_io.store.store import WindowStore
from diffbio_io.variants.vcf import vcf_line

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "simulated_hg001_20"


class Laps:
    """Seconds of CPU of this process by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        """Adds what the block takes."""
        start = time.process_time()
        yield
        self.seconds[stage] += time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=Path, default=SHARED / "reads_2x150_30x.bam")
    parser.add_argument("--reference", type=Path, default=SHARED / "reference.fa.gz")
    parser.add_argument("--contig", help="the first of the reference if not given")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not options.reads.exists():
        raise SystemExit(f"{options.reads} is not there: give --reads and --reference")
    with tempfile.TemporaryDirectory() as folder:
        run = shard_run(options.reads, options.reference, options.contig, Path(folder))
        run()  # compiles
        rounds = [run() for _ in range(options.rounds)]
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    megabases = rounds[0].seconds.pop("bases") / 1e6
    for other in rounds[1:]:
        other.seconds.pop("bases")
    inflate = min(inflated(options.reads) for _ in range(options.rounds)) / megabases
    print(f"{'stage':<12}{'s/Mb':>8}{'x inflate':>11}")
    for stage in rounds[0].seconds:
        least = min(laps.seconds[stage] for laps in rounds) / megabases
        print(f"{stage:<12}{least:>8.3f}{least / inflate:>11.2f}")
    print(f"{'inflate':<12}{inflate:>8.3f}{1:>11.2f}")
    print(f"\nThe store takes {size / options.reads.stat().st_size:.2f} times the BAM's bytes.")


def shard_run(reads: Path, reference: Path, contig: str | None, folder: Path) -> Callable[[], Laps]:
    """What takes all shards of a contig through all stages once and tells how long each took."""
    grid, buffers, again = WindowGrid(), PlaneBuffers(), PlaneBuffers()
    fasta = Reference(reference, folder)
    bam = AlignmentReader(reads, str(fasta.indexed))
    name = contig or next(iter(fasta.contigs))
    length = fasta.contigs[name]
    store = WindowStore(folder / "windows.zarr", grid)
    store.create_contigs({name: length})
    stage = CallStage(load_model(default_model_path()))

    def run() -> Laps:
        laps = Laps()
        for shard in grid.shards(name, length, [(0, length)]):
            with laps.lap("ingest"):
                interval = shard_interval(shard, grid, length, bam.contig_number(name))
                codes = fasta.codes(name, *interval.scanned)
                found = bam.read(interval, codes)
                planes = pack_shard(found, interval.under(codes), shard, grid, length, buffers)
            with laps.lap("write"):
                store.write(planes)
            with laps.lap("read back"):
                planes = store.read(shard, again)
            with laps.lap("call"):
                evidence = stage(planes)
            with laps.lap("genotype"):
                sites = genotype_sites(planes, evidence, min_qual=1.0, pass_qual=6.0, pass_gq=6.0)
            with laps.lap("records"):
                "".join(map(vcf_line, sites))
            laps.seconds["bases"] += len(codes) - (codes == 4).sum()
        return laps

    return run


def inflated(reads: Path) -> float:
    """Seconds of CPU that htslib takes to go through a BAM's records."""
    start = time.process_time()
    pysam.view("-u", "-o", os.devnull, str(reads), catch_stdout=False)
    return time.process_time() - start


if __name__ == "__main__":
    main()
