"""Kernels and programs compiled before they are needed, each by one of the processes that keep them in one folder.

After an installation every worker lacks all of them. Left alone, each of them would compile all.
``python -m diffbio_flows.shards.kernels`` is for those who install: it compiles what a call with the shipped model
needs.
"""

from __future__ import annotations

import fcntl
import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

if TYPE_CHECKING:
    from diffbio_core.calling.call_stage import CallStage
    from diffbio_core.reads.thinning import Interval, IntervalReads
    from diffbio_core.windows.planes import ShardPlanes

GRID = (512, 256, 1)

_PATIENCE = 60.0  # seconds that another process may take, several times what a group takes


def project() -> None:
    """Compiles what packs reads into planes, for no reads at all: types are what a kernel is compiled for."""
    from diffbio_core.windows.grid import Shard, WindowGrid
    from diffbio_core.windows.packing import pack_shard, shard_interval

    grid, shard = WindowGrid(*GRID), Shard("1", 0, 0, 1)
    none = no_reads(shard_interval(shard, grid, grid.reference_length, 0))
    pack_shard(none, np.zeros(grid.positions, np.uint8), shard, grid, grid.reference_length)


def settle() -> None:
    """Compiles what settles overlapping mates, for none."""
    from diffbio_core.reads.thinning import Interval, IntervalReads

    IntervalReads.none(Interval(0, 0, 512, 0, 512))


def scan() -> None:
    """Compiles what finds and describes the records of a BAM, for no records."""
    from diffbio_core.reads.thinning import Interval, scan_records
    from diffbio_io.alignments.reader import walk_records

    none = np.empty(0, np.uint8)
    walk_records(none, 0, 0, 0, 0)
    scan_records(none, Interval(0, 0, 512, 0, 512))


def realign() -> None:
    """Compiles what aligns reads through long indels, for no reads."""
    from diffbio_core.reads.realignment import realign_reads
    from diffbio_core.reads.records import ReadTable

    realign_reads(np.empty(0, np.uint8), ReadTable.empty(0), np.zeros(512, np.uint8), 0)


def discover() -> None:
    """Compiles what finds candidates and counts depths, for no reads."""
    from diffbio_core.candidates.discovery import IndelEvents, find_candidates
    from diffbio_core.windows.depths import count_depths
    from diffbio_core.windows.grid import Shard, WindowGrid

    grid, shard = WindowGrid(*GRID), Shard("1", 0, 0, 1)
    codes, counts = np.zeros(grid.positions, np.uint8), np.zeros(grid.positions, np.int32)
    find_candidates(
        codes, np.zeros((grid.positions, 4), np.uint16), counts, IndelEvents.empty(0), np.empty(0, np.uint8), counts,
        shard, grid, grid.reference_length,
    )  # fmt: skip
    count_depths(one_deletion(), [])


def cut() -> None:
    """Compiles what cuts the views of candidates, for no reads."""
    from diffbio_core.candidates.views import cut_views
    from diffbio_core.windows.planes import LANES_PER_BLOCK

    cut_views(one_deletion(), np.empty(0, np.int32), LANES_PER_BLOCK)


def weigh() -> None:
    """Compiles what holds reads against the lengths of a repeat and against haplotypes, for no reads."""
    from diffbio_core.calling.read_likelihoods import Stretch, log_likelihoods
    from diffbio_core.calling.repeat_lengths import repeat_lengths

    planes = one_deletion()
    repeat_lengths(planes, [0])
    log_likelihoods(planes, Stretch(0, 20, 40, 30, 32, 4), [planes.reference[0, 16:44]])


def count_slips() -> None:
    """Compiles what counts the reads that slip, for no reads."""
    from diffbio_core.reads.slippage import SlippageCounts
    from diffbio_core.reads.thinning import Interval

    SlippageCounts().add(no_reads(Interval(0, 0, 32, 0, 32)), np.repeat(np.arange(3, dtype=np.uint8), 10), 0)


def no_reads(interval: Interval) -> IntervalReads:
    """No reads of an interval, in arrays of the types that some have, without what finds them."""
    from diffbio_core.reads.records import SET_ASIDE
    from diffbio_core.reads.thinning import IntervalReads

    return IntervalReads(
        raw=np.empty(0, np.uint8),
        offset=np.empty(0, np.int64),
        start=np.empty(0, np.int32),
        alignment_start=np.empty(0, np.int32),
        end=np.empty(0, np.int32),
        mate=np.empty(0, np.int64),
        rank=np.empty(0, np.uint8),
        thinned=np.zeros(interval.stop - interval.start, np.int32),
        counts=np.zeros(len(SET_ASIDE), np.int64),
    )


def one_deletion() -> ShardPlanes:
    """Planes without reads, of a reference of short homopolymers, with a deletion in one of them for a candidate."""
    from diffbio_core.candidates.discovery import CandidateTable
    from diffbio_core.windows.encoding import N_BASE
    from diffbio_core.windows.grid import Shard, WindowGrid
    from diffbio_core.windows.lanes import LaneRows
    from diffbio_core.windows.planes import LANES_PER_BLOCK, PlaneBuffers, ShardPlanes

    grid, shard = WindowGrid(*GRID), Shard("1", 0, 0, 1)
    reads, indels = LaneRows.room(0, 0, 0).by_lane(LANES_PER_BLOCK)
    cells = PlaneBuffers().take(1, 1, grid.positions)
    homopolymers = (np.arange(grid.positions, dtype=np.uint8) // 8 % 4)[None]
    one = np.array([grid.halo + 7], np.int32)
    deletion = CandidateTable(
        one * 0, one, one * 0 - 1, np.array([N_BASE], np.uint8), one * 0, np.zeros(2, np.int32), np.zeros(2, np.int32),
        np.empty(0, np.uint8), np.empty(0, np.uint8),
    )  # fmt: skip
    return ShardPlanes(
        shard, grid, grid.reference_length, homopolymers, reads=reads, indels=indels,
        candidates=deletion, base=cells["base"], base_quality=cells["base_quality"],
    )  # fmt: skip


GROUPS: Mapping[str, Callable[[], None]] = {
    "project": project,
    "realign": realign,
    "cut": cut,
    "settle": settle,
    "weigh": weigh,
    "scan": scan,
    "discover": discover,
    "slippage": count_slips,
}
"""What is compiled by one process at a time, the slowest first."""

LEADER_GROUPS = {name: GROUPS[name] for name in ("scan", "settle", "slippage")}
"""Those of them that the leader of a run needs, too."""


def programs(stage: CallStage, identity: str, rows: Iterable[int]) -> dict[str, Callable[[], None]]:
    """What compiles a model's programs, one for each number of rows that a view may have.

    Args:
        stage: The model's call stage.
        identity: Of the model, since XLA keeps its programs by what they compute.
        rows: Which, of ``ROW_BUCKETS``.
    """
    import jax

    state = f"{jax.__version__}-{jax.default_backend()}-{identity[:16]}"
    return {f"program-{state}-{number}": partial(stage.compile, number) for number in rows}


def kernel_folder() -> Path | None:
    """Where kernels of this state of the sources are kept; None where they are kept nowhere."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return Path(folder) if folder else None


def are_compiled() -> bool:
    """Whether no process has to compile kernels any more, as far as the folder tells."""
    folder = kernel_folder()
    return folder is not None and all((folder / f"{name}.compiled").exists() for name in GROUPS)


def compile_kernels(groups: Mapping[str, Callable[[], None]] = GROUPS, *, wait: bool = True) -> None:
    """Compiles those groups that no other process has compiled or is compiling, and waits for those that one is.

    Args:
        groups: What compiles each.
        wait: Whether to wait.
    """
    folder = kernel_folder()
    if folder is None:
        return
    busy = [name for name, work in groups.items() if not _compiled(folder, name, work, wait=False)]
    for name in busy if wait else ():
        # Its process may have died.
        _compiled(folder, name, groups[name], wait=True)


def _compiled(folder: Path, name: str, work: Callable[[], None], *, wait: bool) -> bool:
    """Compiles a group unless that is done; False where another process is at it and is not to be waited for."""
    mark = folder / f"{name}.compiled"
    if mark.exists():
        return True
    try:
        with (folder / f"{name}.lock").open("w") as lock:
            if not _locked(lock, _PATIENCE if wait else 0.0) and not wait:
                return False
            if not mark.exists():
                with _without_collections():
                    work()
                mark.touch()
    except OSError:
        # A folder that cannot be locked or written: every process compiles for itself.
        return True
    return True


@contextmanager
def _without_collections() -> Iterator[None]:
    """Has Python collect no garbage meanwhile: a tenth of what Numba takes, for little of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _locked(lock: TextIO, patience: float) -> bool:
    """Whether a lock could be had within so many seconds: who holds it may hang."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def main() -> None:
    """Compiles everything, as ``make install`` does, with the settings that a worker of this machine has."""
    from diffbio_cluster.environment import complete_environment

    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    complete_environment(threads=1)
    from diffbio_core.candidates.views import ROW_BUCKETS
    from diffbio_core.models import default_model_path, load_card, model_identity
    from diffbio_flows.shards.worker import warm_up

    model = default_model_path()
    warm_up(str(model), model_identity(load_card(model)), ROW_BUCKETS)


if __name__ == "__main__":
    main()
