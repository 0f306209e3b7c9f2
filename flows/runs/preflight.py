"""Everything that can be known to be wrong with a run before it starts, told at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from diffbio_core.problems import InputError, Problem
from diffbio_io.alignments.preflight import AlignmentReport, check_alignment
from diffbio_io.reference import Reference
from diffbio_io.regions import Intervals, resolve_regions

PathLike = str | os.PathLike[str]

WORKER_BYTES = 1_500_000_000
"""Memory that a worker of a call may take."""

_WINDOW_BYTES_PER_READ = 100  # a store of 198,000 reads of 150 bp took 18.1 MB
_CRAM_GROWTH = 4  # windows are about as large as BAM, and CRAM a quarter to a half of it
_RECORD_BYTES_PER_BASE = 0.2  # shard text and VCF: a record of 150 bytes each kb
_BLOCK_BYTES_PER_BASE = 1.5  # a block of 70 bytes each 50 to 100 bases


@dataclass(frozen=True)
class CallInputs:
    """What the preflight learnt of inputs that are good.

    Attributes:
        sample: Name of the sample.
        contigs: Length (bp) of every contig of the reference, in its order.
        intervals: What to call: intervals by contig, only of contigs that have reads.
    """

    sample: str
    contigs: dict[str, int]
    intervals: dict[str, Intervals]


def check_call(
    reads: PathLike,
    reference: PathLike,
    output: PathLike | None,
    *,
    gvcf: PathLike | None = None,
    regions: Sequence[str] = (),
    bed: PathLike | None = None,
    sample: str | None = None,
    haploid_contigs: Iterable[str] = (),
    work_dir: PathLike | None = None,
    workers: int = 1,
    worker_bytes: int = WORKER_BYTES,
    local: bool = True,
    keep_windows: bool = True,
    force: bool = False,
    more: Iterable[Problem] = (),
) -> CallInputs:
    """Look at all that a call needs; nothing is written but, where it is absent, the reference's index.

    Args:
        reads: BAM or CRAM file.
        reference: FASTA file.
        output: VCF to be made; None where only windows are.
        gvcf: gVCF to be made.
        regions: Regions to call, as texts.
        bed: Regions to call, as a BED file.
        sample: Name that the sample is to have; None for the one in the reads' header.
        haploid_contigs: Contigs of which there is one copy.
        work_dir: Where shards and windows are kept; None for beside the output.
        workers: Number of workers.
        worker_bytes: Memory that each may take.
        local: Whether the workers run on this machine, whose memory then counts.
        keep_windows: Whether windows stay on disk.
        force: Whether an output that exists is replaced.
        more: Problems found elsewhere (of the model, say), told with the others.

    Raises:
        InputError: With all problems.
    """
    problems: list[Problem] = []
    contigs: dict[str, int] | None = None
    wanted: dict[str, Intervals] | None = None
    outputs = [path for path in (output, gvcf) if path is not None]
    # None where all goes to a remote store.
    folder = Path(work_dir) if work_dir is not None else Path(outputs[0]).parent if outputs else None
    named = bool(regions) or bed is not None
    regions_are_good = True
    with tempfile.TemporaryDirectory() as aside:
        indexed = Path(reference)
        # An index that cannot stand beside the file is built in the work directory only when that is the run's.
        made = folder is not None and (folder / indexed.name).is_symlink()
        try:
            with Reference(reference, folder if made else aside) as fasta:
                contigs, indexed = fasta.contigs, fasta.indexed
        except InputError as error:
            problems += error.problems
        if contigs is not None:
            try:
                wanted = resolve_regions(contigs, regions, bed)
            except InputError as error:
                problems += error.problems
                regions_are_good = False
            remedy = "Name contigs of the reference."
            problems += [
                Problem("--haploid-contigs", f"the reference has no contig {contig!r}", remedy)
                for contig in haploid_contigs
                if contig not in contigs
            ]
        # With regions that cannot be read, every contig would be looked at, and faults told of those not asked for.
        known = contigs if regions_are_good else None
        report = check_alignment(reads, indexed, known, wanted if named else None, sample)
    problems += report.problems
    problems += check_outputs(outputs, (reads, reference), force=force)
    # Where it would be made beside an output, that folder's faults are told already.
    if work_dir is not None and _nearest(Path(work_dir)) not in {_nearest(Path(path).parent) for path in outputs}:
        problems += check_new_folder(Path(work_dir))
    if local:
        problems += check_memory(workers, psutil.virtual_memory().available, worker_bytes)
    if not problems and folder is not None and wanted is not None and contigs is not None:
        needed = estimate_disk(Path(reads), report, wanted, contigs, keep_windows, gvcf is not None)
        problems += check_disk(_nearest(folder), needed)
    problems += more
    if problems or contigs is None or wanted is None or report.sample is None:
        raise InputError(list(dict.fromkeys(problems)))
    intervals = {contig: wanted[contig] for contig in contigs if contig in set(report.contigs_with_reads)}
    return CallInputs(report.sample, contigs, {c: i for c, i in intervals.items() if c in wanted})


def check_outputs(outputs: Sequence[PathLike], inputs: Iterable[PathLike], *, force: bool) -> list[Problem]:
    """Whether each VCF can be made: its name, its folder, and what is there already."""
    problems = []
    taken = {Path(path).resolve() for path in inputs}
    for path in map(Path, outputs):
        if not path.name.endswith(".vcf.gz"):
            problems.append(Problem(str(path), "does not end in .vcf.gz", "VCF is written bgzipped: name it so."))
        if path.is_dir():
            problems.append(Problem(str(path), "is a folder", "Name a file."))
        elif path.resolve() in taken:
            problems.append(Problem(str(path), "is an input or another output of this run", "Name another file."))
        elif os.path.lexists(path) and not force:
            problems.append(Problem(str(path), "exists", "Name another file, or replace it with --force."))
        taken.add(path.resolve())
        problems += check_folder(path.parent, str(path))
    return problems


def check_folder(folder: Path, subject: str) -> list[Problem]:
    """Whether a folder is there and files can be made in it."""
    if not folder.exists():
        return [Problem(subject, f"its folder {folder} does not exist", f"Make it: `mkdir -p {folder}`.")]
    if not folder.is_dir():
        what = "is not a folder" if folder == Path(subject).absolute() else f"{folder} is not a folder"
        return [Problem(subject, what, "Name another place.")]
    try:
        # Rights alone do not tell: a file system may be read-only, or full of files.
        with tempfile.TemporaryFile(dir=folder):
            return []
    except OSError as error:
        what = f"its folder {folder} cannot be written ({error.strerror})"
        return [Problem(subject, what, "Name a place that you may write to.")]


def check_new_folder(folder: Path) -> list[Problem]:
    """Whether a folder is there, or can be made, and files can be made in it."""
    return check_folder(_nearest(folder), str(folder))


def check_memory(workers: int, available: int, per_worker: int = WORKER_BYTES) -> list[Problem]:
    """Whether the workers fit into the memory that is free (bytes)."""
    if workers * per_worker <= available:
        return []
    fitting = available // per_worker
    what = (
        f"{workers} workers of {_size(per_worker)} need {_size(workers * per_worker)}, but {_size(available)} are free"
    )
    return [Problem("memory", what, f"Run with --workers {fitting}." if fitting else "Free memory first.")]


def check_disk(folder: Path, needed: int) -> list[Problem]:
    """Whether a folder's file system has room for what a run writes (bytes)."""
    free = shutil.disk_usage(folder).free
    if needed <= free:
        return []
    what = f"a run needs about {_size(needed)}, but {_size(free)} are free there"
    return [Problem(str(folder), what, "Free some, or put --work-dir on another disk.")]


def estimate_disk(
    reads: Path,
    report: AlignmentReport,
    wanted: Mapping[str, Intervals],
    contigs: Mapping[str, int],
    keep_windows: bool,
    gvcf: bool = False,
) -> int:
    """Bytes that a run writes: windows, if they stay, and records and blocks, twice since they are merged."""
    called = [contig for contig in report.contigs_with_reads if contig in wanted]
    bases = sum(stop - start for contig in called for start, stop in wanted[contig])
    whole = sum(contigs[contig] for contig in called)
    records = round(2 * (_RECORD_BYTES_PER_BASE + _BLOCK_BYTES_PER_BASE * gvcf) * bases)
    if not keep_windows or not whole:
        return records
    if report.mapped_reads is None:
        windows = reads.stat().st_size * _CRAM_GROWTH
    else:
        windows = report.mapped_reads * _WINDOW_BYTES_PER_READ
    return records + windows * bases // whole


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: where it would be made."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
