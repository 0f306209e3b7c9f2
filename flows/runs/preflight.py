"""Everything that can be known to be wrong with a run before it starts, told at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from diffbio_cluster import ClusterConfigError
from diffbio_core.problems import InputError, Problem
from diffbio_flows.runs.capacity import check_disk, check_memory, estimate_disk
from diffbio_flows.runs.parameters import CallParameters, RunParameters
from diffbio_flows.runs.places import check_new_folder, check_outputs, nearest_folder
from diffbio_io.alignments.preflight import check_alignment
from diffbio_io.reference import Reference
from diffbio_io.regions import Intervals, resolve_regions
from diffbio_io.variants.names import unnameable_contigs


@dataclass(frozen=True)
class RunInputs:
    """What the preflight learnt of inputs that are good.

    Attributes:
        sample: Name of the sample.
        contigs: Length (bp) of every contig of the reference, in its order.
        intervals: What to work on: intervals by contig, only of contigs that have reads.
        warnings: What is odd but can be worked with, to be told.
        without_reads: Contigs asked for of which the index knows that there are no reads.
    """

    sample: str
    contigs: dict[str, int]
    intervals: dict[str, Intervals]
    warnings: tuple[Problem, ...] = ()
    without_reads: tuple[str, ...] = ()


def check_run(parameters: RunParameters, more: Iterable[Problem] = (), *, resumes: bool = False) -> RunInputs:
    """Look at all that a run needs; nothing is written but, where it is absent, the reference's index.

    Args:
        parameters: What is asked for.
        more: Problems found elsewhere (of the model, say), told with the others.
        resumes: Whether an output that exists may be this run's own.

    Raises:
        InputError: With all problems.
    """
    problems: list[Problem] = []
    contigs: dict[str, int] | None = None
    wanted: dict[str, Intervals] | None = None
    reads, reference, folder = parameters.reads, parameters.reference, parameters.folder
    named = bool(parameters.region) or parameters.regions is not None
    regions_are_good = True
    with tempfile.TemporaryDirectory() as aside:
        indexed = reference
        # An index that cannot stand beside the file is built in the work directory only when that is the run's.
        made = folder is not None and (folder / indexed.name).is_symlink()
        try:
            with Reference(reference, folder if made else aside) as fasta:
                contigs, indexed = fasta.contigs, fasta.indexed
        except InputError as error:
            problems += error.problems
        if contigs is not None:
            try:
                wanted = resolve_regions(contigs, parameters.region, parameters.regions)
            except InputError as error:
                problems += error.problems
                regions_are_good = False
            remedy = "Name contigs of the reference."
            problems += [
                Problem("--haploid-contigs", f"the reference has no contig {contig!r}", remedy)
                for contig in parameters.haploid
                if contig not in contigs
            ]
        # With regions that cannot be read, every contig would be looked at, and faults told of those not asked for.
        known = contigs if regions_are_good else None
        report = check_alignment(reads, indexed, known, wanted if named else None, parameters.sample)
    problems += report.problems
    problems += unnameable_contigs(report.contigs_with_reads, reference, called=True)
    problems += check_places(parameters, (reads, reference), resumes=resumes)
    if not problems and folder is not None and wanted is not None and contigs is not None:
        option = "--work-dir" if isinstance(parameters, CallParameters) else "--store"
        problems += check_disk(nearest_folder(folder), estimate_disk(parameters, report, wanted, contigs), option)
    problems += more
    if problems or contigs is None or wanted is None or report.sample is None:
        raise InputError(list(dict.fromkeys(problems)))
    intervals = {contig: spans for contig, spans in wanted.items() if contig in set(report.contigs_with_reads)}
    warnings = report.warnings + unnameable_contigs(contigs, reference)
    without_reads = tuple(contig for contig in wanted if contig not in intervals)
    return RunInputs(report.sample, contigs, intervals, warnings, without_reads)


def check_places(parameters: RunParameters, inputs: tuple[Path, ...], *, resumes: bool) -> list[Problem]:
    """Whether outputs and state can be written, and workers find room.

    Args:
        parameters: What is asked for.
        inputs: Files that no output may replace.
        resumes: Whether an output that exists may be this run's own: it may have stopped before its report.
    """
    outputs, folder = parameters.outputs, parameters.folder
    problems = check_outputs(outputs, inputs, force=parameters.force or resumes)
    # Where it would be made beside an output, that folder's faults are told already.
    if folder is not None and nearest_folder(folder) not in {nearest_folder(path.parent) for path in outputs}:
        problems += check_new_folder(folder)
    return problems + _check_machine(parameters)


def _check_machine(parameters: RunParameters) -> list[Problem]:
    """Faults of the cluster's fields, and of what the workers that this machine would hold need of it."""
    try:
        config = parameters.cluster_config()
    except ClusterConfigError as error:
        return [Problem("cluster", str(error), "Correct --cluster, --scheduler or --workers.")]
    if not config.local_workers:
        return []
    available = psutil.virtual_memory().available
    problems = check_memory(config.local_workers, available, config.memory_mb * 1_000_000)
    return problems + (check_new_folder(Path(config.scratch)) if config.scratch else [])
