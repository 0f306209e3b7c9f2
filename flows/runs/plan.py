"""What a run will do: its contigs, intervals, sample and shards, worked out before anything is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffbio_core import __version__
from diffbio_core.calling.copy_numbers import CopyNumbers, HumanBuild
from diffbio_core.models import ModelError, find_model, load_card, model_identity
from diffbio_core.problems import InputError, Problem
from diffbio_core.reads.slippage import Slippage
from diffbio_core.windows.grid import WEIGHED_BESIDE, Shard, WindowGrid
from diffbio_flows.runs.input_states import input_states, model_states
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.preflight import check_run
from diffbio_flows.runs.windows import StoredWindows, check_windows
from diffbio_flows.runs.work_directory import WorkDirectory, file_identity
from diffbio_flows.shards.message import ShardTask
from diffbio_io.regions import Intervals


@dataclass(frozen=True)
class CallPlan:
    """A call run whose input has been checked.

    Attributes:
        parameters: As asked for.
        contigs: Length of every contig of the reference (bp), in its order.
        intervals: What to call, 0-based half-open, by contig in the same order.
        sample: Name in the VCF.
        model: Model directory.
        grid: Of the windows.
        made_of: Identity of the reads and of the reference.
        warnings: What is odd about the input but can be worked with.
        without_reads: Contigs of which the index knows that there are no reads.
        copies: Where there are other than two copies.
    """

    parameters: CallParameters
    contigs: Mapping[str, int]
    intervals: Mapping[str, Intervals]
    sample: str
    model: Path
    grid: WindowGrid
    made_of: Mapping[str, Any]
    warnings: tuple[Problem, ...] = ()
    without_reads: tuple[str, ...] = ()
    copies: CopyNumbers = field(default_factory=lambda: CopyNumbers({}))

    @property
    def work(self) -> WorkDirectory:
        """Where the run keeps its state."""
        return WorkDirectory(self.parameters.work_path)

    def shards(self) -> Iterator[Shard]:
        """Every shard, in the order of the reference."""
        for contig, intervals in self.intervals.items():
            yield from self.grid.shards(contig, self.contigs[contig], intervals, WEIGHED_BESIDE)

    def tasks(self, slippage: Slippage) -> Iterator[ShardTask]:
        """A message per shard.

        Args:
            slippage: Of the sample, see `slippage`.
        """
        parameters, work = self.parameters, self.work
        reads = reference = ""
        if parameters.windows is None:
            inputs = input_states(*parameters.files, work.path.resolve(), self.model.resolve())
            # Not resolved: a link may have its index beside itself alone.
            reads, reference = (str(path.absolute()) for path in parameters.files)
        else:
            inputs = model_states(self.model.resolve())
        identity = model_identity(load_card(self.model))
        run = work.run_id
        for shard in self.shards():
            asked = core_intervals(self.grid, shard, self.contigs[shard.contig], self.intervals[shard.contig])
            yield ShardTask(
                shard=shard,
                grid=self.grid,
                intervals=asked,
                reads=reads,
                reference=reference,
                model=str(self.model.resolve()),
                sample=self.sample,
                haploid=self.copies.haploid_parts(shard.contig, asked),
                work=str(work.path.resolve()),
                slippage=slippage,
                calls=str(work.calls.resolve()),
                store=str(work.store.resolve()) if parameters.keeps_windows else None,
                windows=parameters.whole_windows,
                made_of=self.made_of,
                gvcf=parameters.gvcf is not None,
                inputs=inputs,
                model_identity=identity,
                run=run,
            )

    def slippage(self) -> Slippage:
        """The slippage of the sample: measured on its reads, or as the window store tells it."""
        if self.parameters.windows is None:
            return slippage_of(*self.parameters.files, self.work.path)
        from diffbio_io.store.store import WindowStore

        store, first = WindowStore(self.parameters.windows, self.grid), next(self.shards(), None)
        marker = None if first is None else store.grid_marker(first)
        return Slippage() if marker is None else Slippage(**marker["slippage"])

    def identity(self) -> dict[str, Any]:
        """What makes this run another than one before; what merely says how it is worked off is left out."""
        return call_identity(self.parameters, self.model)


def plan_call(parameters: CallParameters, *, anew: bool = False) -> CallPlan:
    """Checks the input of a call run and works out what it will do; writes nothing.

    Args:
        parameters: What is asked for.
        anew: See `WorkDirectory.problems`.

    Raises:
        InputError: With every problem found.
    """
    model = find_model(parameters.model)
    more: list[Problem] = []
    try:
        load_card(model)
    except ModelError as error:
        more.append(Problem("--model", str(error), "Give the folder of a model that this version can use."))
    resumes = False
    try:
        identity = call_identity(parameters, model)
    except (OSError, ValueError, ImportError):
        pass  # The check below tells which file is missing.
    else:
        work = WorkDirectory(parameters.work_path)
        more += work.problems(identity, anew=anew)
        resumes = work.is_unfinished and not more
    if parameters.windows is None:
        checked, grid = check_run(parameters, more, resumes=resumes), parameters.grid
    else:
        checked, grid = check_windows(parameters, more, resumes=resumes)
    made_of = source_identity(parameters)
    copies = copies_of(parameters, checked.contigs)
    return CallPlan(
        parameters,
        checked.contigs,
        {contig: spans for contig, spans in checked.intervals.items() if contig not in copies.absent},
        checked.sample,
        model,
        grid,
        made_of,
        checked.warnings,
        checked.without_reads,
        copies,
    )


def copies_of(parameters: CallParameters, contigs: Mapping[str, int]) -> CopyNumbers:
    """Where there are other than two copies.

    Raises:
        InputError: A sex was given, and the reference is none of the human ones that are known.
    """
    build = HumanBuild.of(contigs)
    if parameters.sex in ("male", "female") and build is None:
        what = "X and Y are known of GRCh37 and GRCh38 alone, and the reference's X has the length of neither"
        remedy = "Leave it out, and name contigs with one copy by --haploid-contigs."
        raise InputError([Problem("--sex", what, remedy)])
    return CopyNumbers.of(contigs, build, parameters.sex, parameters.haploid_contigs)


def source_identity(parameters: CallParameters) -> dict[str, Any]:
    """Identity of reads and reference: of the files, or of those that the window store was made of.

    Raises:
        OSError: A file cannot be looked at.
        ValueError: There is no such store.
    """
    if parameters.windows is not None:
        return StoredWindows.of(parameters.windows).files
    reads, reference = parameters.files
    return {"reads": file_identity(reads), "reference": file_identity(reference)}


def call_identity(parameters: CallParameters, model: Path) -> dict[str, Any]:
    """See `CallPlan.identity`.

    Raises:
        OSError: An input file cannot be looked at.
        ValueError: There is no such window store.
    """
    return {
        "diffbio": __version__,
        **source_identity(parameters),
        "windows": parameters.whole_windows,
        "model": file_identity(model / "parameters.safetensors"),
        "regions": file_identity(parameters.regions) if parameters.regions else None,
        "region": list(parameters.region),
        "output": str(parameters.output.resolve()),
        "gvcf": str(parameters.gvcf.resolve()) if parameters.gvcf else None,
        "sample": parameters.sample,
        "haploid_contigs": list(parameters.haploid_contigs),
        "sex": parameters.sex,
        "window_length": parameters.window_length,
        "keep_windows": parameters.keeps_windows,
    }


def slippage_of(reads: Path, reference: Path, folder: Path | None) -> Slippage:
    """The slippage of a sample.

    Args:
        reads: BAM or CRAM file.
        reference: FASTA file.
        folder: Where an index of the reference may have been made.
    """
    from diffbio_flows.shards.kernels import LEADER_GROUPS, compile_kernels
    from diffbio_io.alignments.reader import AlignmentReader
    from diffbio_io.alignments.slippage import measure_slippage
    from diffbio_io.reference import Reference

    compile_kernels(LEADER_GROUPS)
    with Reference(reference, folder) as fasta, AlignmentReader(reads, fasta.indexed) as alignments:
        return measure_slippage(alignments, fasta)


def core_intervals(grid: WindowGrid, shard: Shard, contig_length: int, intervals: Intervals) -> Intervals:
    """What was asked for of a shard's core."""
    start, stop = grid.core(shard, contig_length)
    cut = ((max(start, low), min(stop, high)) for low, high in intervals)
    return tuple((low, high) for low, high in cut if low < high)


def bp_per_task(tasks: list[ShardTask]) -> int:
    """Reference positions asked for in some shards (bp)."""
    return sum(stop - start for task in tasks for start, stop in task.intervals)


def shard_groups(tasks: list[ShardTask], largest_number: int = 50, smallest_size: int = 64) -> list[list[ShardTask]]:
    """Consecutive shards in at most ``largest_number`` groups, for a scheduler that cannot hold every shard."""
    size = max(smallest_size, math.ceil(len(tasks) / largest_number))
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]
