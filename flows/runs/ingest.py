"""An ingest run: reads to a window store, for training, or for calling again without decoding."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from diffbio_cluster import peak_memory_mb
from diffbio_core.problems import InputError, Problem
from diffbio_core.whole_file import naming
from diffbio_core.windows.grid import WEIGHED_BESIDE
from diffbio_flows.reports.progress import Progress
from diffbio_flows.reports.summary import ShardTotals, WorkSummary
from diffbio_flows.runs.input_states import input_states
from diffbio_flows.runs.layout import StoreOrigin, index_reference, lay_out_store, writing
from diffbio_flows.runs.parameters import IngestParameters
from diffbio_flows.runs.plan import core_intervals, slippage_of
from diffbio_flows.runs.preflight import RunInputs, check_run
from diffbio_flows.runs.steps import ShardRun, Step, Work, drive
from diffbio_flows.shards.message import ShardResult, ShardTask
from diffbio_io.store.store import StoreError, WindowStore


@dataclass(frozen=True)
class IngestSummary:
    """The outcome of an ingest run.

    Attributes:
        store: The window store.
        sample: Whose reads.
        work: What it took.
    """

    store: str
    sample: str
    work: WorkSummary

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        return asdict(self)


def ingest_reads(
    parameters: IngestParameters | None = None, /, *, progress: Progress | None = None, **fields: Any
) -> IngestSummary:
    """Fills a window store; a run that was interrupted goes on where it stood, by the store's own markers.

    Args:
        parameters: What to do; or give its fields as keyword arguments.
        progress: Told how far the run is.
        **fields: Fields of `IngestParameters`.

    Raises:
        InputError: The input cannot be used, the store holds windows of other reads, or another process fills it.
        TaskFailedError: A shard could not be processed. Finished shards are kept.
        ClusterLostError: No worker could be started, or none is left. Finished shards are kept.
    """
    return drive(IngestRun(IngestParameters(**fields) if parameters is None else parameters, progress))


class IngestRun(ShardRun[IngestSummary]):
    """The steps from reads to a window store.

    Attributes:
        parameters: What to do.
    """

    def __init__(self, parameters: IngestParameters, progress: Progress | None = None) -> None:
        super().__init__(progress)
        self.parameters = parameters
        self._checked: tuple[RunInputs, WindowStore] | None = None
        self._held: list[ShardResult] = []

    @property
    def steps(self) -> tuple[Step, ...]:
        """See `ShardRun`."""
        return (
            Step("check input", self._check),
            Step("start workers", self._start_workers),
            Step("lay out work", self._lay_out),
            Step("fill store", lambda: self.process(Work(ingest_to_store))),
            Step("stop workers", self.close_workers),
        )

    @property
    def checked(self) -> tuple[RunInputs, WindowStore]:
        """Inputs and store, once they have been checked."""
        if self._checked is None:
            raise RuntimeError("the input has not been checked")
        return self._checked

    @property
    def _origin(self) -> dict[str, Any]:
        """What a shard's marker says that it was made of."""
        return self._store_origin.files()

    @property
    def _store_origin(self) -> StoreOrigin:
        inputs, parameters = self.checked[0], self.parameters
        return StoreOrigin(
            inputs.sample,
            parameters.reads,
            parameters.reference,
            inputs.contigs,
            inputs.intervals,
            inputs.without_reads,
            inputs.warnings,
        )

    def summary(self) -> IngestSummary:
        """See `ShardRun`."""
        totals = ShardTotals.of([*self._held, *self.results])
        return IngestSummary(self.parameters.store, self.checked[0].sample, self.work_summary(totals))

    def _check(self) -> None:
        self._checked = check_ingest(self.parameters)
        self.warn(self._checked[0].warnings)

    def _start_workers(self) -> None:
        inputs, store = self.checked
        with writing(store.url):
            self.held.enter_context(store.claim())
        local = self.parameters.local_store
        if local is not None:
            self.keep_log(local.with_name(f"{local.name}.log"))
        tasks = list(ingest_tasks(self.parameters, inputs, self._origin))
        # Before workers are started: it may refuse what the store holds.
        self.waiting, self._held = split_by_store(store, tasks, self._origin, force=self.parameters.force)
        done = {result.name for result in self._held}
        self.finished = [task for task in tasks if task.name in done]
        self.open_workers(self.parameters.cluster_config())

    def _lay_out(self) -> None:
        store = self.checked[1]
        local = self.parameters.local_store
        if local is not None:
            index_reference(self.parameters.reference, local)
        if self.waiting:
            slippage = slippage_of(self.parameters.reads, self.parameters.reference, local)
            self.waiting = [replace(task, slippage=slippage) for task in self.waiting]
        lay_out_store(store, self._store_origin, local)


def check_ingest(parameters: IngestParameters) -> tuple[RunInputs, WindowStore]:
    """The inputs, see `check_run`, and the store to be filled.

    Raises:
        InputError: With every problem found.
    """
    more: list[Problem] = []
    subject, remedy = "--store", "Choose another folder or URL."
    store = None
    try:
        store = WindowStore(parameters.store, parameters.grid)
        store.check_layout()
    except (ValueError, OSError, ImportError) as error:
        more.append(Problem(subject, describe_store_error(error), remedy))
    inputs = check_run(parameters, more)
    if store is None:
        raise InputError(more)
    try:
        store.check_layout(inputs.contigs)
    except StoreError as error:
        raise InputError([Problem(subject, str(error), remedy)]) from error
    return inputs, store


def describe_store_error(error: Exception) -> str:
    """Why a store cannot be opened, in one line; what its file system needs is a package that fsspec names."""
    return str(error) if isinstance(error, StoreError) else f"cannot be opened: {' '.join(str(error).split())}"


def ingest_tasks(parameters: IngestParameters, inputs: RunInputs, origin: Mapping[str, Any]) -> Iterator[ShardTask]:
    """A message per shard."""
    grid = parameters.grid
    local = parameters.local_store
    states = input_states(parameters.reads, parameters.reference, local.resolve() if local is not None else None)
    for contig, intervals in inputs.intervals.items():
        for shard in grid.shards(contig, inputs.contigs[contig], intervals, WEIGHED_BESIDE):
            yield ShardTask(
                shard=shard,
                grid=grid,
                intervals=core_intervals(grid, shard, inputs.contigs[contig], intervals),
                reads=str(parameters.reads.absolute()),
                reference=str(parameters.reference.absolute()),
                sample=inputs.sample,
                work=str(local.resolve()) if local is not None else ".",
                store=str(local.resolve()) if local is not None else parameters.store,
                inputs=states,
                made_of=origin,
            )


def split_by_store(
    store: WindowStore, tasks: Sequence[ShardTask], origin: Mapping[str, Any], *, force: bool
) -> tuple[list[ShardTask], list[ShardResult]]:
    """Shards still to fill, and those that the store holds already.

    What is damaged is filled again. Where the store holds other windows of a shard, of the same reads, both are filled,
    with what lies between: a shard has one marker, and tells of one run of windows.

    Raises:
        InputError: It holds some that were made of other files, which only ``force`` replaces.
    """
    waiting: list[ShardTask] = []
    finished: list[ShardResult] = []
    markers = {contig: store.markers(contig) for contig in {task.shard.contig for task in tasks}}
    held_here = [] if force else [task.shard for task in tasks if task.shard.index in markers[task.shard.contig]]
    faulty = store.faults(held_here)
    for task in tasks:
        held = markers[task.shard.contig].get(task.shard.index)
        if held is None:
            waiting.append(task)
        elif held["made_of"] != origin:
            if not force:
                raise InputError([_other_origin(task, held["made_of"])])
            waiting.append(task)
        elif not force and task.shard not in faulty:
            finished.append(_result(task, held["read_counts"]))
        else:
            first = min(task.shard.first_window, held["first_window"])
            last = max(task.shard.last_window, held["last_window"])
            waiting.append(replace(task, shard=replace(task.shard, first_window=first, last_window=last)))
    return waiting, finished


def _other_origin(task: ShardTask, made_of: Mapping[str, Any]) -> Problem:
    reads = made_of.get("reads", "?")
    path = reads.get("path") if isinstance(reads, dict) else reads
    what = f"its shard {task.name} was made of other files, or of an older state of them ({path})"
    return Problem(f"window store {task.store}", what, "Choose another --store, or replace its windows with --force.")


def ingest_to_store(task: ShardTask) -> ShardResult:
    """Decodes one shard into the store; what a worker runs."""
    from diffbio_flows.shards.process import ingest_shard
    from diffbio_flows.shards.session import session

    started = time.perf_counter()
    planes = ingest_shard(task)
    decoded = time.perf_counter()
    with naming(task.store or ""):
        session().store(task).write(planes, **task.made_of)
    seconds = {"ingest": decoded - started, "store": time.perf_counter() - decoded}
    return _result(task, planes.read_counts, seconds, peak_memory_mb())


def _result(
    task: ShardTask, counts: Mapping[str, int], seconds: Mapping[str, float] | None = None, peak: float = 0.0
) -> ShardResult:
    counters = {f"reads_{name}": number for name, number in counts.items()} | {"windows": task.shard.num_windows}
    core_bp = sum(stop - start for start, stop in task.intervals)
    return ShardResult(task.name, core_bp, counters, seconds or {}, peak)
