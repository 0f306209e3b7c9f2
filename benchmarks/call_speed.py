"""Speed of ``diffbio call`` beside ``bcftools mpileup | bcftools call`` on the same reads and the same machine.

    python benchmarks/call_speed.py [--rounds 3] [--workers 2] [--keep-windows no] [--folder DIR]
                                    [--reads BAM --reference FASTA]

Takes simulated reads of a contig of 1 Mb, writes them over and over under other contig names, and calls a few contigs
and many with both programs, in turn. The slope, seconds per further Mb, leaves start-up out; that is told apart, from
the command to the first shard done. diffbio is given more contigs: with its slope of half a second, those of a few Mb
would drown in what start-up varies by. Needs bcftools.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pysam

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "simulated_hg001_20"
CONTIGS = tuple(f"c{number}" for number in range(1, 13))
CALLED = {"diffbio": (2, 12), "bcftools": (1, 4)}
"""Contigs of the shorter and of the longer run."""

POLL_SECONDS = 0.02
MEMORY_EVERY = 5


@dataclass(frozen=True)
class Measurement:
    """One run of a command, its children included.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of CPU, user and system.
        memory: Highest resident memory of all processes together (MB); shared pages count once per process.
        first: Seconds to the first shard done; None where it was not looked for.
        output: What it printed.
    """

    wall: float
    cpu: float
    memory: float
    first: float | None
    output: str


def main() -> None:
    arguments = parse_arguments()
    if shutil.which("bcftools") is None:
        sys.exit("bcftools is not installed: apt-get install bcftools")
    if not arguments.reads.exists():
        sys.exit(f"{arguments.reads} is not there: give --reads and --reference, a BAM of one contig and its FASTA")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        reads, reference, length = repeat_contig(arguments.reads, arguments.reference, folder)
        megabases = length / 1e6
        programs: dict[str, Callable[[int], Measurement]] = {
            "diffbio": lambda contigs: call_diffbio(
                reads, reference, folder, contigs, arguments.workers, arguments.keep_windows
            ),
            "bcftools": lambda contigs: call_bcftools(reads, reference, folder, contigs),
        }
        # One run that is not counted fills the compile caches and the file cache.
        programs["diffbio"](1)
        runs: dict[tuple[str, int], list[Measurement]] = {}
        for _ in range(arguments.rounds):
            for place in (0, 1):
                for program, call in programs.items():
                    contigs = CALLED[program][place]
                    runs.setdefault((program, contigs), []).append(call(contigs))
        print_table(runs, megabases, arguments.workers)
        few, many = CALLED["diffbio"]
        print_stages(runs["diffbio", few], runs["diffbio", many], megabases * (many - few))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind; the median is told")
    parser.add_argument("--workers", type=int, default=2, help="workers of diffbio call")
    parser.add_argument("--keep-windows", choices=("yes", "no"), default="yes", help="of diffbio call")
    parser.add_argument("--folder", type=Path, help="where the files go while it runs; a temporary folder if not given")
    parser.add_argument("--reads", type=Path, default=SHARED / "reads_2x150_30x.bam", help="BAM of one contig")
    parser.add_argument("--reference", type=Path, default=SHARED / "reference.fa.gz", help="FASTA of that contig")
    return parser.parse_args()


def repeat_contig(reads: Path, reference: Path, folder: Path) -> tuple[Path, Path, int]:
    """The reads and the sequence of the first contig under each of many names, and its length (bp)."""
    repeated, text = folder / "reads.bam", folder / "reads.sam"
    with pysam.AlignmentFile(str(reads)) as source, pysam.FastaFile(str(reference)) as fasta, text.open("w") as sink:
        contig, length = source.references[0], source.lengths[0]
        sink.write("@HD\tVN:1.6\tSO:coordinate\n@RG\tID:1\tSM:sample\n")
        sink.writelines(f"@SQ\tSN:{name}\tLN:{length}\n" for name in CONTIGS)
        for name in CONTIGS:
            for record in source.fetch(contig):
                fields = record.to_string().split("\t", 11)
                # Read groups of the source are not in this header.
                sink.write("\t".join([*fields[:2], name, *fields[3:11], "RG:Z:1\n"]))
        sequence = fasta.fetch(contig)
    pysam.view("-b", "-o", str(repeated), str(text), catch_stdout=False)
    text.unlink()
    lines = [sequence[start : start + 60] for start in range(0, length, 60)]
    target = folder / "reference.fa"
    target.write_text("".join(f">{name}\n" + "\n".join(lines) + "\n" for name in CONTIGS))
    pysam.index(str(repeated))
    pysam.faidx(str(target))
    return repeated, target, length


def call_diffbio(reads: Path, reference: Path, folder: Path, contigs: int, workers: int, keep: str) -> Measurement:
    """One run of ``diffbio call`` from nothing."""
    output = folder / "diffbio.vcf.gz"
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "-m", "diffbio_flows.command", "call", "--json", "--force"]
    command += ["--reads", reads, "--reference", reference, "--output", output, "--work-dir", work]
    command += ["--workers", workers, "--keep-windows", keep]
    command += [part for contig in CONTIGS[:contigs] for part in ("--region", contig)]
    return measure(list(map(str, command)), lambda: any(work.glob("calls/[!.]*.json")))


def call_bcftools(reads: Path, reference: Path, folder: Path, contigs: int) -> Measurement:
    """One run of bcftools with its defaults."""
    where = ",".join(CONTIGS[:contigs])
    pileup = shlex.join(["bcftools", "mpileup", "-f", str(reference), "-r", where, str(reads)])
    calls = shlex.join(["bcftools", "call", "-mv", "-Oz", "-o", str(folder / "bcftools.vcf.gz")])
    return measure(["bash", "-c", f"set -o pipefail; {pileup} | {calls}"], None)


def measure(command: list[str], first_shard_done: Callable[[], bool] | None) -> Measurement:
    """Run a command to its end.

    Raises:
        SystemExit: It failed.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        tree = psutil.Process(process.pid)
        memory, first, polls = 0.0, None, 0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if first is None and first_shard_done is not None and first_shard_done():
                first = time.perf_counter() - start
            if polls % MEMORY_EVERY == 0:
                memory = max(memory, resident_memory(tree))
            polls += 1
            time.sleep(POLL_SECONDS)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{shlex.join(command)} failed:\n{errors.read()}")
        return Measurement(wall, usage.ru_utime + usage.ru_stime, memory, first, output.read())


def resident_memory(tree: psutil.Process) -> float:
    """Resident memory of a process and its descendants (MB)."""
    total = 0
    try:
        for process in (tree, *tree.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        pass
    return total / 2**20


def print_table(runs: dict[tuple[str, int], list[Measurement]], megabases: float, workers: int) -> None:
    """Seconds, slopes and their ratio."""

    def median(program: str, contigs: int, name: str) -> float:
        return statistics.median(getattr(run, name) for run in runs[program, contigs])

    slopes = {
        (program, name): (median(program, many, name) - median(program, few, name)) / (megabases * (many - few))
        for program, (few, many) in CALLED.items()
        for name in ("wall", "cpu")
    }
    print(f"{'':<28}{'diffbio, ' + str(workers) + ' workers':>20}{'bcftools':>12}")
    for place in (0, 1):
        sizes = [CALLED[program][place] for program in CALLED]
        print(f"{'called (Mb)':<28}{sizes[0] * megabases:>20.1f}{sizes[1] * megabases:>12.1f}")
        for name, unit in (("wall", "s"), ("cpu", "s"), ("memory", "MB")):
            values = [median(program, size, name) for program, size in zip(CALLED, sizes, strict=True)]
            print(f"{f'{name} ({unit})':<28}{values[0]:>20.1f}{values[1]:>12.1f}")
    for name in ("wall", "cpu"):
        print(f"{'slope, ' + name + ' (s/Mb)':<28}{slopes['diffbio', name]:>20.3f}{slopes['bcftools', name]:>12.3f}")
    first = statistics.median(run.first for run in runs["diffbio", CALLED["diffbio"][1]] if run.first is not None)
    print(f"{'first shard done (s)':<28}{first:>20.1f}")
    ratio = slopes["bcftools", "wall"] / slopes["diffbio", "wall"]
    print(f"\nEach further Mb takes bcftools {ratio:.1f} times as long.")


def print_stages(few_runs: list[Measurement], many_runs: list[Measurement], further: float) -> None:
    """Where the workers' time goes, per further Mb of so many."""
    print(f"\n{'stage of the workers':<28}{'s/Mb of one worker':>20}")
    few, all_stages = (
        [json.loads(run.output)["work"]["totals"]["seconds"] for run in runs] for runs in (few_runs, many_runs)
    )
    total = 0.0
    for stage in all_stages[0]:
        seconds = [statistics.median(run.get(stage, 0.0) for run in runs) for runs in (few, all_stages)]
        slope = (seconds[1] - seconds[0]) / further
        total += slope
        print(f"{stage:<28}{slope:>20.3f}")
    print(f"{'all':<28}{total:>20.3f}")


if __name__ == "__main__":
    main()
