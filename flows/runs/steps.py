"""The steps of a run, which the plain run and the Prefect flow share."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diffbio_cluster import Executor, TaskFailedError, describe, peak_memory_mb
from diffbio_core import __version__
from diffbio_flows.reports.progress import Progress
from diffbio_flows.reports.summary import CallSummary, ShardTotals, WorkSummary, count_variants
from diffbio_flows.reports.tables import as_html
from diffbio_flows.runs.plan import CallPlan, bp_per_task
from diffbio_flows.shards.commit import load_marker, load_shard, shard_path, write_whole
from diffbio_flows.shards.message import ShardResult, ShardTask
from diffbio_flows.shards.worker import run_shard

if TYPE_CHECKING:
    from diffbio_io.store.store import WindowStore

Join = Callable[[Iterator[bytes]], Iterable[bytes]]


def prepare_work(plan: CallPlan) -> None:
    """Makes what workers share: the reference's index, and the arrays that they write to side by side."""
    index_reference(plan.parameters.reference, plan.work.path)
    if plan.parameters.keep_windows:
        from diffbio_io.store.store import WindowStore

        store = WindowStore(plan.work.store, plan.parameters.grid)
        made_of = {"sample": plan.sample, "reads": str(plan.parameters.reads)}
        create_contigs(store, {contig: plan.contigs[contig] for contig in plan.intervals}, made_of)


def index_reference(reference: Path, folder: Path) -> None:
    """Has the reference indexed once, before every worker would do it; in a folder where its own cannot be written.

    Raises:
        TaskFailedError: The folder cannot be written.
    """
    from diffbio_io.reference import Reference

    with writing(folder):
        Reference(reference, folder).close()


def create_contigs(store: WindowStore, lengths: Mapping[str, int], made_of: Mapping[str, str]) -> None:
    """Lays out contigs of a window store.

    Raises:
        TaskFailedError: The store cannot be written, or holds other contigs of these names.
    """
    from diffbio_io.store.store import StoreError

    try:
        with writing(store.url):
            store.create_contigs(lengths, made_of)
    except StoreError as error:
        raise TaskFailedError("the window store", str(error)) from error


def split_tasks(plan: CallPlan) -> tuple[list[ShardTask], list[ShardTask]]:
    """Shards still to do, and those that an earlier run has finished."""
    waiting: list[ShardTask] = []
    finished: list[ShardTask] = []
    for task in plan.tasks():
        (finished if load_shard(task.calls, task.name) else waiting).append(task)
    return waiting, finished


def announce(progress: Progress, waiting: list[ShardTask], finished: list[ShardTask]) -> None:
    """Tells what is to be done."""
    progress.stage("calling")
    bp = bp_per_task(waiting), bp_per_task(finished)
    progress.planned(len(waiting) + len(finished), sum(bp), len(finished), bp[1])


def process_shards(
    executor: Executor,
    tasks: list[ShardTask],
    progress: Progress,
    work: Callable[[ShardTask], ShardResult] = run_shard,
) -> list[ShardResult]:
    """Has every shard processed; what it made is committed before it counts as done."""
    results: list[ShardResult] = []
    for result in executor.map_unordered(work, tasks, name=lambda task: f"shard {task.name}"):
        results.append(result)
        progress.advanced(result)
    return results


def merge_calls(plan: CallPlan) -> None:
    """Writes the output from the shards' files; it appears under its name when it is whole, index included.

    Raises:
        TaskFailedError: The output cannot be written.
    """
    from diffbio_io.reference import Reference
    from diffbio_io.variants.gvcf import GVCF_FIELDS, without_seams

    _merge(plan, plan.parameters.output, ".vcf")
    if plan.parameters.gvcf is not None:
        with Reference(plan.parameters.reference, plan.work.path) as reference:

            def join(shards: Iterable[bytes]) -> Iterator[bytes]:
                return without_seams(shards, lambda contig, start: reference.sequence(contig, start, start + 1))

            _merge(plan, plan.parameters.gvcf, ".g.vcf", GVCF_FIELDS, join)


def _merge(plan: CallPlan, output: Path, ending: str, fields: Sequence[str] = (), join: Join = iter) -> None:
    """Writes one output from the shards' files of an ending."""
    from diffbio_io.variants.vcf import merge_shards, vcf_header

    meta = [("source", f"diffbio {__version__}"), ("reference", plan.parameters.reference.name)]
    header = vcf_header(plan.contigs, plan.sample, fields=fields, meta=meta)
    shards = [shard_path(plan.work.calls, shard.name, ending) for shard in plan.shards()]
    with writing(output):
        merge_shards(output, shards, plan.contigs, header, join, aside=plan.work.aside(output))


def finish(plan: CallPlan, *, resumed_shards: int, workers: int, wall_seconds: dict[str, float]) -> CallSummary:
    """Writes summary and report, and frees what only an unfinished run needs."""
    parameters, work = plan.parameters, plan.work
    results = (load_marker(work.calls, shard.name) for shard in plan.shards())
    lines = (line for shard in plan.shards() for line in shard_lines(work.calls, shard.name))
    summary = CallSummary(
        output=str(parameters.output),
        gvcf=str(parameters.gvcf) if parameters.gvcf else None,
        store=str(work.store) if parameters.keep_windows else None,
        report=str(work.report),
        sample=plan.sample,
        variants=count_variants(lines),
        work=WorkSummary(ShardTotals.of(results), resumed_shards, workers, wall_seconds, peak_memory_mb()),
    )
    with writing(work.path):
        write_whole(work.report, as_html(summary).encode())
        write_whole(work.summary, json.dumps(summary.to_json(), indent=2).encode())
        shutil.rmtree(work.calls)
    return summary


@contextmanager
def writing(what: str | Path) -> Iterator[None]:
    """Names what could not be written where the system only says why."""
    try:
        yield
    except OSError as error:
        raise TaskFailedError(f"writing {what}", describe(error)) from error


def shard_lines(calls: Path, name: str) -> Iterator[str]:
    """VCF lines of a shard."""
    with shard_path(calls, name, ".vcf").open() as file:
        yield from file


class Stopwatch:
    """Wall-clock time by stage.

    Attributes:
        seconds: Time by the stage's name.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Adds the time of a with block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
