"""Checks of a call run's input: all problems at once, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pysam

from diffbio_cluster import ClusterConfigError
from diffbio_core.problems import InputError, Problem
from diffbio_flows.parameters import CallParameters
from diffbio_io.reference import Reference
from diffbio_io.regions import Intervals, resolve_regions


@dataclass(frozen=True)
class CallInput:
    """What a call run needs to know of its input.

    Attributes:
        contigs: Length of every contig of the reference (bp), in its order.
        intervals: What to call, 0-based half-open, by contig in the same order; contigs without reads left out.
        sample: Name in the VCF.
    """

    contigs: Mapping[str, int]
    intervals: Mapping[str, Intervals]
    sample: str


def check_call(parameters: CallParameters, model: Path) -> CallInput:
    """Looks at every file and option of a call run.

    Raises:
        InputError: With every problem found.
    """
    problems: list[Problem] = []
    contigs: Mapping[str, int] = {}
    intervals: Mapping[str, Intervals] = {}
    sample = ""
    try:
        parameters.cluster_config()
    except ClusterConfigError as error:
        problems.append(Problem("cluster", str(error), "Correct --cluster, --scheduler or --workers."))
    try:
        with Reference(parameters.reference, parameters.work_path) as reference:
            contigs = reference.contigs
        intervals = resolve_regions(contigs, parameters.region, parameters.regions)
    except InputError as error:
        problems += error.problems
    for contig in parameters.haploid_contigs:
        if contigs and contig not in contigs:
            what = f"the reference has no contig {contig!r}"
            problems.append(Problem("--haploid-contigs", what, "Name contigs as the reference does."))
    if problems:
        raise InputError(problems)
    with pysam.AlignmentFile(str(parameters.reads), reference_filename=str(parameters.reference)) as file:
        names = {group["SM"] for group in file.header.to_dict().get("RG", []) if "SM" in group}
        held = set(file.references)
    sample = parameters.sample or names.pop()
    return CallInput(contigs, {name: parts for name, parts in intervals.items() if name in held}, sample)
