"""A call run from start to end, as plain stages that the command line and the Prefect flow share."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffbio_cluster import Executor, TaskFailedError, describe, open_executor, peak_memory_mb
from diffbio_core import __version__
from diffbio_flows.parameters import CallParameters
from diffbio_flows.plan import CallPlan, bp_per_task, plan_call
from diffbio_flows.progress import Progress, Silence
from diffbio_flows.report import as_html
from diffbio_flows.shard_task import ShardResult, ShardTask, load_marker, load_shard, shard_path, write_whole
from diffbio_flows.summary import CallSummary, ShardTotals, WorkSummary, count_variants
from diffbio_flows.worker import run_shard, warm_up

if TYPE_CHECKING:
    from diffbio_io.store import WindowStore

Join = Callable[[Iterator[bytes]], Iterable[bytes]]


def call_variants(
    parameters: CallParameters | None = None, /, *, progress: Progress | None = None, **fields: Any
) -> CallSummary:
    """Calls variants of one sample; a run that was interrupted goes on where it stood.

    Args:
        parameters: What to do; or give its fields as keyword arguments, as ``call_variants(reads=..., ...)``.
        progress: Told how far the run is.
        **fields: Fields of `CallParameters`.

    Returns:
        What was called, and where it lies.

    Raises:
        InputError: The input cannot be used; holds every problem found. Nothing has been written.
        TaskFailedError: A shard could not be processed, or the output not be written. Finished shards are kept.
        ClusterLostError: No worker could be started, or none is left. Finished shards are kept.
    """
    parameters = CallParameters(**fields) if parameters is None else parameters
    progress = progress or Silence()
    clock = Stopwatch()
    progress.stage("checking input")
    with clock("check"):
        plan = plan_call(parameters)
    with plan.work.claim(plan.identity()) as work:
        progress.stage("starting workers")
        with ExitStack() as stack:
            with clock("start workers"):
                executor = open_executor(parameters.cluster_config().with_scratch(work.scratch.resolve()))
                stack.enter_context(executor)
                executor.warm_up(warm_up)
                workers = executor.workers
                prepare_work(plan)
            with clock("shards"):
                waiting, finished = split_tasks(plan)
                announce(progress, waiting, finished)
                process_shards(executor, waiting, progress)
        progress.stage("writing VCF")
        with clock("merge"):
            merge_calls(plan)
        return finish(plan, resumed_shards=len(finished), workers=workers, wall_seconds=clock.seconds)


def prepare_work(plan: CallPlan) -> None:
    """Makes what workers share: the reference's index, and the arrays that they write to side by side."""
    index_reference(plan.parameters.reference, plan.work.path)
    if plan.parameters.keep_windows:
        from diffbio_io.store import WindowStore

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
    from diffbio_io.store import StoreError

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
    from diffbio_io.gvcf import GVCF_FIELDS, without_seams
    from diffbio_io.reference import Reference

    _merge(plan, plan.parameters.output, ".vcf")
    if plan.parameters.gvcf is not None:
        with Reference(plan.parameters.reference, plan.work.path) as reference:

            def join(shards: Iterable[bytes]) -> Iterator[bytes]:
                return without_seams(shards, lambda contig, start: reference.sequence(contig, start, start + 1))

            _merge(plan, plan.parameters.gvcf, ".g.vcf", GVCF_FIELDS, join)


def _merge(plan: CallPlan, output: Path, ending: str, fields: Sequence[str] = (), join: Join = iter) -> None:
    """Writes one output from the shards' files of an ending."""
    from diffbio_io.vcf import merge_shards, vcf_header

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
