"""A call run from start to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from diffbio_core.calling.copy_numbers import HumanBuild
from diffbio_core.reads.slippage import Slippage
from diffbio_flows.reports.progress import Progress
from diffbio_flows.reports.sex import observed_sex
from diffbio_flows.reports.summary import CallSummary, ShardTotals, VariantCounts
from diffbio_flows.runs.layout import StoreOrigin, index_reference, lay_out_store
from diffbio_flows.runs.outputs import merge_calls, write_summary
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.plan import CallPlan, plan_call
from diffbio_flows.runs.provenance import made_of, worked_off
from diffbio_flows.runs.steps import ShardRun, Step, Work, drive
from diffbio_flows.shards.commit import forget_shard, load_marker, load_shard
from diffbio_flows.shards.message import ShardResult
from diffbio_flows.shards.worker import run_shard, store_shard


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
    return drive(CallRun(CallParameters(**fields) if parameters is None else parameters, progress))


class CallRun(ShardRun[CallSummary]):
    """The steps from reads to VCF.

    Attributes:
        parameters: What to do.

    Args:
        parameters: See above.
        progress: Told how far the run is.
        anew: Whether what an unfinished run of other inputs left in the work directory goes, instead of being refused.
    """

    def __init__(
        self,
        parameters: CallParameters,
        progress: Progress | None = None,
        *,
        anew: bool = False,
    ) -> None:
        super().__init__(progress)
        self.parameters = parameters
        self._anew = anew
        self._plan: CallPlan | None = None
        self._summary: CallSummary | None = None
        self._slippage = Slippage()

    @property
    def steps(self) -> tuple[Step, ...]:
        """See `ShardRun`."""
        return (
            Step("check input", self.check),
            Step("start workers", self._start_workers),
            Step("lay out work", self._lay_out),
            Step("call shards", lambda: self.process(self._work)),
            Step("stop workers", self.close_workers),
            Step("write VCF", lambda: merge_calls(self.plan)),
            Step("summarise", self._summarise),
        )

    @property
    def plan(self) -> CallPlan:
        """What the run will do, once its input has been checked."""
        if self._plan is None:
            raise RuntimeError("the input has not been checked")
        return self._plan

    def summary(self) -> CallSummary:
        """See `ShardRun`."""
        if self._summary is None:
            raise RuntimeError("the run has not ended")
        return self._summary

    def check(self) -> None:
        """Looks at the input, and nothing else; taken once, by whoever comes first."""
        self._plan = plan_call(self.parameters, anew=self._anew)
        self.warn(self._plan.warnings)

    def _start_workers(self) -> None:
        work = self.held.enter_context(self.plan.work.claim(self.plan.identity(), anew=self._anew))
        self.keep_log(work.log)
        config = self.parameters.cluster_config().with_scratch(work.scratch.resolve())
        self.open_workers(config, self.plan.model.resolve())

    def _lay_out(self) -> None:
        plan = self.plan
        from_reads = self.parameters.windows is None
        if from_reads:
            index_reference(self.parameters.files[1], plan.work.path)
        self._slippage = plan.slippage()
        tasks = list(plan.tasks(self._slippage))
        done = {task.name for task in tasks if load_shard(task.calls, task.name)}
        if from_reads and (self.parameters.keeps_windows or self._in_two_stages):
            from diffbio_io.store.store import WindowStore

            store = WindowStore(plan.work.store, plan.grid)
            origin = StoreOrigin(
                plan.sample, *self.parameters.files, plan.contigs, plan.intervals, plan.without_reads, plan.warnings
            )
            lay_out_store(store, origin, plan.work.path)
            for shard in store.faults(task.shard for task in tasks if task.name in done):
                forget_shard(plan.work.calls, shard.name)
                done.remove(shard.name)
        if self._in_two_stages:
            frees = not self.parameters.keeps_windows
            tasks = [replace(task, store=str(plan.work.store.resolve()), frees_windows=frees) for task in tasks]
        for task in tasks:
            (self.finished if task.name in done else self.waiting).append(task)

    @property
    def _in_two_stages(self) -> bool:
        """Whether some workers decode into the run's store and others, which have a GPU, call from it."""
        return self.has_gpu and self.parameters.windows is None

    @property
    def _work(self) -> Work:
        return Work(run_shard, before=store_shard if self._in_two_stages else None, on_gpu=self.has_gpu)

    def _summarise(self) -> None:
        plan, work = self.plan, self.plan.work
        counts: list[Mapping[str, int]] = []

        def told_once() -> Iterator[ShardResult]:
            for shard in plan.shards():
                result = load_marker(work.calls, shard.name)
                counts.append(result.variants)
                yield result

        totals = ShardTotals.of(told_once())
        self._summary = CallSummary(
            output=str(self.parameters.output),
            gvcf=str(self.parameters.gvcf) if self.parameters.gvcf else None,
            store=str(work.store) if self.parameters.keeps_windows else self.parameters.whole_windows,
            report=str(work.report),
            sample=plan.sample,
            variants=VariantCounts.sum(counts),
            work=self.work_summary(totals),
            made_of=made_of(plan),
            worked_off=worked_off(self.parameters, self.started),
            warnings=tuple(map(str, plan.warnings)),
            slippage=asdict(self._slippage),
            sex=observed_sex(totals.mean_depths(), HumanBuild.of(plan.contigs)),
        )
        write_summary(plan, self._summary)
