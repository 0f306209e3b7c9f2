"""Whether a run fits into this machine's memory and onto its disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from diffbio_core.problems import Problem
from diffbio_flows.runs.parameters import RunParameters
from diffbio_io.alignments.preflight import AlignmentReport
from diffbio_io.regions import Intervals

WORKER_BYTES = 1_500_000_000
"""Memory that a worker of a call may take."""

_WINDOW_BYTES_PER_READ = 100  # a store of 198,000 reads of 150 bp took 18.1 MB
_CRAM_GROWTH = 4  # windows are about as large as BAM, and CRAM a quarter to a half of it
_RECORD_BYTES_PER_BASE = 0.2  # shard text and VCF: a record of 150 bytes each kb
_BLOCK_BYTES_PER_BASE = 1.5  # a block of 70 bytes each 50 to 100 bases


def check_memory(workers: int, available: int, per_worker: int = WORKER_BYTES) -> list[Problem]:
    """Whether the workers fit into the memory that is free (bytes)."""
    if workers * per_worker <= available:
        return []
    fitting = available // per_worker
    what = (
        f"{workers} workers of {_size(per_worker)} need {_size(workers * per_worker)}, but {_size(available)} are free"
    )
    return [Problem("memory", what, f"Run with --workers {fitting}." if fitting else "Free memory first.")]


def check_disk(folder: Path, needed: int, option: str) -> list[Problem]:
    """Whether a folder's file system has room for what a run writes (bytes); an option names another folder."""
    free = shutil.disk_usage(folder).free
    if needed <= free:
        return []
    what = f"a run needs about {_size(needed)}, but {_size(free)} are free there"
    return [Problem(str(folder), what, f"Free some, or put {option} on another disk.")]


def estimate_disk(
    parameters: RunParameters,
    report: AlignmentReport,
    wanted: Mapping[str, Intervals],
    contigs: Mapping[str, int],
) -> int:
    """Bytes that a run writes: windows, if they stay, and records and blocks, twice since they are merged."""
    called = [contig for contig in report.contigs_with_reads if contig in wanted]
    bases = sum(stop - start for contig in called for start, stop in wanted[contig])
    whole = sum(contigs[contig] for contig in called)
    outputs = parameters.outputs
    per_base = _RECORD_BYTES_PER_BASE * bool(outputs) + _BLOCK_BYTES_PER_BASE * (len(outputs) > 1)
    records = round(2 * per_base * bases)
    if not parameters.keeps_windows or not whole:
        return records
    if report.mapped_reads is None:
        windows = parameters.reads.stat().st_size * _CRAM_GROWTH
    else:
        windows = report.mapped_reads * _WINDOW_BYTES_PER_READ
    return records + windows * bases // whole


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
