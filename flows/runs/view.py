"""A locus of a call, looked at again with the model and the reads that it was made of."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffbio_core.problems import InputError, Problem
from diffbio_flows.reports.locus import LocusView
from diffbio_flows.runs.calls_header import made_of_header, open_calls
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.plan import CallPlan, plan_call
from diffbio_flows.runs.provenance import made_of

AROUND = 5
"""How far from a locus without a record candidates are looked for (bp)."""


def view_locus(
    calls: str | os.PathLike[str],
    locus: str,
    *,
    windows: str | None = None,
    reads: str | os.PathLike[str] | None = None,
    reference: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    summary: str | os.PathLike[str] | None = None,
) -> LocusView:
    """Looks at a locus as the run that called it did.

    Args:
        calls: VCF of `diffbio call`.
        locus: Such as ``chr20:10,000,117`` (1-based).
        windows: Window store to take; else that of the run where it was kept, else its reads.
        reads: BAM or CRAM to take instead; needs ``reference``.
        reference: FASTA.
        model: Another model than the run's, to see what it makes of the locus.
        summary: ``summary.json`` of the run; that of the work directory beside the calls if not given.

    Raises:
        InputError: The locus is none of the reference, or what is at hand is not what the calls were made of.
    """
    calls = Path(calls)
    with open_calls(calls) as file:
        sample, contigs, header = file.header.samples[0], [*map(str, file.header.contigs)], made_of_header(file.header)
        contig, position = _parsed(locus, contigs)
        record = _record(file, calls, contig, position)
    told = _parameters(calls, summary)
    source = _source(told, windows, reads, reference)
    stop = record.stop if record is not None else position
    notes: list[str] = []
    named = model or told.get("model")
    seen_by = None if named is None else Path(named)
    with tempfile.TemporaryDirectory() as folder:
        region = f"{contig}:{max(1, position - 2 * AROUND)}-{stop + 2 * AROUND}"
        plan = plan_call(
            CallParameters(
                **source, model=seen_by, region=(region,), sample=told.get("sample"),
                output=Path(folder, "view.vcf.gz"), keep_windows=False,
            )
        )  # fmt: skip
        notes += _checked(plan, header, calls, any_model=model is not None)
        if plan.sample != sample:
            notes.append(f"the reads are of sample {plan.sample}, the calls of {sample}")
        candidates = _explained(
            plan, range(position - 1, stop) if record else range(position - 1 - AROUND, stop + AROUND)
        )
    if not candidates:
        notes.append("no read proposes an allele here" if record is None else "no allele of the record is proposed now")
    return LocusView(contig, position, "" if record is None else str(record).rstrip("\n"), candidates, tuple(notes))


def _explained(plan: CallPlan, wanted: range) -> tuple[Any, ...]:
    from diffbio_core.calling.calibration import Calibration
    from diffbio_core.calling.call_stage import CallStage
    from diffbio_core.calling.explanation import candidate_positions, explain
    from diffbio_core.models import load_card, load_model
    from diffbio_flows.shards.process import ingest_shard
    from diffbio_flows.shards.session import session

    pipeline = load_model(plan.model)
    stage = CallStage(pipeline, calibration=Calibration.from_card(load_card(plan.model)))
    found = []
    for task in plan.tasks(plan.slippage()):
        if task.windows is not None:
            planes = session().windows(task).read(task.shard, session().buffers, task.made_of)
        else:
            planes = ingest_shard(task)
        positions = candidate_positions(planes)
        which = np.flatnonzero((positions >= wanted.start) & (positions < wanted.stop))
        found += explain(pipeline, stage, planes, which)
    return tuple(found)


def _parsed(locus: str, contigs: list[str]) -> tuple[str, int]:
    contig, _, place = locus.rpartition(":")
    digits = place.replace(",", "")
    if not contig or not digits.isdecimal() or int(digits) < 1:
        raise InputError([Problem(locus, "is no locus", "Write it as chr20:10,000,117, counted from 1.")])
    if contig not in contigs:
        known = ", ".join(contigs[:5])
        raise InputError([Problem(locus, f"the calls have no contig {contig!r}", f"They have {known}.")])
    return contig, int(digits)


def _record(file: Any, calls: Path, contig: str, position: int) -> Any:
    """The record at a position, or the one that spans it."""
    if file.index is None:
        raise InputError([Problem(str(calls), "has no index", f"Run: bcftools index -t {calls}")])
    try:
        records = list(file.fetch(contig, position - 1, position))
    except (OSError, ValueError) as error:
        raise InputError([Problem(str(calls), f"cannot be read ({error})", "Make it and its index again.")]) from error
    exact = [record for record in records if record.pos == position]
    return (exact or records or [None])[0]


def _parameters(calls: Path, summary: str | os.PathLike[str] | None) -> Mapping[str, Any]:
    """Fields of the run's `CallParameters`, and its kept window store, as far as they are at hand."""
    path = Path(summary) if summary is not None else calls.with_name(f"{calls.name}.work") / "summary.json"
    if summary is None and not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        return {**found["worked_off"]["parameters"], "store": found["store"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = Problem(str(path), f"is not the summary of a call ({error})", "Give the summary.json of its run.")
        raise InputError([problem]) from error


def _source(
    told: Mapping[str, Any],
    windows: str | None,
    reads: str | os.PathLike[str] | None,
    reference: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    if windows is not None and (reads is not None or reference is not None):
        raise InputError([Problem("--windows", "goes with neither --reads nor --reference", "Leave them out.")])
    kept = windows or (told.get("store") if reads is None and reference is None else None)
    if kept is not None and ("://" in str(kept) or Path(kept).exists()):
        return {"windows": str(kept)}
    if windows is not None:
        raise InputError([Problem("--windows", f"there is no {windows}", "Give a window store.")])
    files = {"reads": reads or told.get("reads"), "reference": reference or told.get("reference")}
    if missing := [f"--{name}" for name, value in files.items() if value is None]:
        what = f"{' and '.join(missing)} cannot be told from a summary of the run"
        raise InputError([Problem("the calls", what, "Give them, --windows, or the run's --summary.")])
    return files


def _checked(
    plan: CallPlan, header: Mapping[str, Mapping[str, str | int]], calls: Path, *, any_model: bool
) -> list[str]:
    """Notes on what could not be checked.

    Raises:
        InputError: Reads or model are not those that the calls were made of.
    """
    if not header:
        return ["the calls do not tell what they were made of: whether these are their reads and model is not known"]
    now, problems = made_of(plan), []
    if str(now["reads"]["Fingerprint"]) != str(header.get("reads", {}).get("Fingerprint")):
        what = f"was made of other reads ({header.get('reads', {}).get('Name')}) than {now['reads']['Name']}"
        problems.append(Problem(str(calls), what, "Give the reads or windows that the calls were made of."))
    same = str(now["model"]["Identity"]) == str(header.get("model", {}).get("Identity"))
    if not same and not any_model:
        what = f"was made by another model ({header.get('model', {}).get('Name')}) than {now['model']['Name']}"
        problems.append(Problem(str(calls), what, "Name a model by --model, its own or the one to compare with."))
    if problems:
        raise InputError(problems)
    return [] if same else [f"seen by the model {now['model']['Name']}, not by that of the calls"]
