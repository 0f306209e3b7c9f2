"""The report of calls: that of a run as it ends, and of any VCF of one sample afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pysam

from diffbio_core.models import ModelError, find_model, load_card
from diffbio_core.problems import InputError, Problem
from diffbio_core.whole_file import write_whole
from diffbio_flows.reports.distributions import Distributions, DistributionSum
from diffbio_flows.reports.page import Report, as_multiqc, as_page
from diffbio_flows.reports.summary import CallSummary, VariantCounts, count_variants
from diffbio_flows.runs.calls_header import made_of_header, open_calls
from diffbio_flows.runs.places import check_folder

MULTIQC_ENDING = "_mqc.json"
"""By which MultiQC knows custom content."""


BLOCK = 10_000
"""Records that are looked at together."""


@dataclass(frozen=True)
class ReportFiles:
    """What was written.

    Attributes:
        page: The HTML file.
        multiqc: What MultiQC reads, beside it.
        missing: What could not be told, and why.
    """

    page: str
    multiqc: str
    missing: tuple[str, ...] = ()


def report_calls(
    calls: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    summary: str | os.PathLike[str] | None = None,
    truth: str | os.PathLike[str] | None = None,
    confident: str | os.PathLike[str] | None = None,
    reference: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> ReportFiles:
    """Writes the report of calls.

    Args:
        calls: VCF of one sample, of this caller or another.
        output: HTML file to write; ``CALLS.report.html`` without the VCF's own ending if not given.
        summary: ``summary.json`` of the run that made the calls; that of the work directory beside them if not given.
        truth: VCF of the truth, to hold the calls against.
        confident: BED of where the truth is complete.
        reference: FASTA, needed with ``truth``; that of the run where its summary tells.
        force: Replace the output.

    Raises:
        InputError: The files cannot be used; holds every problem found.
    """
    calls = Path(calls)
    page = Path(output) if output is not None else calls.with_name(f"{_stem(calls.name)}.report.html")
    sample, contigs, made_of, problems = "", {}, {}, []
    try:
        with open_calls(calls) as file:
            sample, made_of = file.header.samples[0], made_of_header(file.header)
            contigs = {str(name): contig.length or 0 for name, contig in file.header.contigs.items()}
    except InputError as error:
        problems += error.problems
    told, missing, faults = _summary_of(calls, summary, made_of)
    problems += [*faults, *check_folder(page.parent, str(page))]
    if page.exists() and not force:
        problems.append(Problem(str(page), "exists", "Give --force to replace it, or another --output."))
    if reference is None and told is not None:
        named = told.worked_off.get("parameters", {}).get("reference")
        reference = named if named is not None and Path(named).is_file() else None
    if truth is not None and reference is None:
        problems.append(Problem("--truth", "needs the reference", "Give --reference, the FASTA that it was made with."))
    if truth is None and confident is not None:
        problems.append(Problem("--confident", "tells where a truth is complete", "Give --truth."))
    if problems:
        raise InputError(problems)
    evaluation = None
    if truth is not None and reference is not None:
        from diffbio_flows.runs.evaluate import evaluate_calls

        evaluation = evaluate_calls(truth, calls, reference, confident, with_reliability=True)
        missing = (*missing, *map(str, evaluation.warnings))
    variants, distributions = _count(calls)
    if told is not None and told.variants != variants:
        what = f"the summary tells of {told.variants.records:,} records, but there are {variants.records:,}"
        missing, told = (*missing, f"{what}: it is of another run, or the file has changed; it is left out."), None
    report = Report(
        calls=calls.name,
        sample=sample,
        variants=variants,
        distributions=distributions,
        contigs=contigs,
        summary=told,
        made_of=made_of,
        card=model_card(told, made_of),
        missing=missing,
        evaluation=evaluation,
    )
    multiqc = page.with_name(page.name.removesuffix(".html") + MULTIQC_ENDING)
    write_report(page, multiqc, report)
    return ReportFiles(str(page), str(multiqc), missing)


def write_report(page: Path, multiqc: Path, report: Report) -> None:
    """Writes both files; each appears whole."""
    write_whole(page, as_page(report))
    write_whole(multiqc, as_multiqc(report))


def model_card(summary: CallSummary | None, made_of: Mapping[str, Mapping[str, str | int]]) -> Mapping[str, Any]:
    """The card of the model that made the calls; empty where it is not at hand or is no longer the same."""
    named = summary.worked_off.get("parameters", {}).get("model") if summary is not None else None
    try:
        card = load_card(find_model(named))
    except (ModelError, OSError):
        return {}
    return card if card["parameters_sha256"] == made_of.get("model", {}).get("SHA256") else {}


def _summary_of(
    calls: Path, summary: str | os.PathLike[str] | None, made_of: Mapping[str, Any]
) -> tuple[CallSummary | None, tuple[str, ...], list[Problem]]:
    """What the run told, what is missing for want of it, and what is wrong."""
    path = Path(summary) if summary is not None else calls.with_name(f"{calls.name}.work") / "summary.json"
    if summary is None and not path.exists():
        return None, (f"Reads, times and coverage are not told: {path} is not there (see --summary).",), []
    try:
        found = CallSummary.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = Problem(str(path), f"is not the summary of a call ({error})", "Give the summary.json of its run.")
        return None, (), [problem]
    told = {name: {key: str(v) for key, v in part.items()} for name, part in found.made_of.items()}
    if told != {name: {key: str(v) for key, v in part.items()} for name, part in made_of.items()}:
        what = "is of another run than the calls: their header names other inputs"
        return None, (), [Problem(str(path), what, "Give the summary.json of their run.")]
    return found, (), []


def _count(calls: Path) -> tuple[VariantCounts, Distributions]:
    """Counts in one pass; the file is never held."""
    counts: list[Mapping[str, int]] = []
    distributions = DistributionSum()
    with pysam.VariantFile(str(calls)) as file:
        while lines := list(map(str, islice(file, BLOCK))):
            counts = [asdict(VariantCounts.sum([*counts, asdict(count_variants(lines))]))]
            distributions.add(Distributions.of(lines))
    return VariantCounts.sum(counts), distributions.total()


def _stem(name: str) -> str:
    for ending in (".vcf.gz", ".vcf.bgz", ".vcf", ".bcf"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name
