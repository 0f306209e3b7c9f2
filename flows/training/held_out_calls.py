"""A real call of the regions kept apart, judged by the truth, and whether its QUAL and GQ mean what they say."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pysam

from diffbio_core.evaluation.comparison import Verdict, compare, holds
from diffbio_core.evaluation.summary import SummaryRow
from diffbio_core.whole_file import write_whole
from diffbio_flows.training.roles import PlannedSet
from diffbio_io.regions import Intervals, read_bed
from diffbio_io.store.store import WindowStore
from diffbio_io.variants.truth import GenotypedVcf

STEP = 5
"""Width of a band of QUAL or GQ (Phred)."""

LAST = 60
"""Where the last band begins (Phred)."""


@dataclass(frozen=True)
class JudgedCall:
    """A record inside the confident regions.

    Attributes:
        kind: ``SNP`` or ``INDEL``.
        qual: Its QUAL.
        gq: Its GQ.
        false: Whether the truth has none of its haplotypes: QUAL's error.
        wrong: Whether its genotype is not the truth's: GQ's error, and hap.py's.
    """

    kind: str
    qual: float
    gq: float
    false: bool
    wrong: bool


@dataclass(frozen=True)
class HeldOutCalls:
    """What came of a call.

    Attributes:
        rows: hap.py's summary columns, of records that pass: of SNPs, of indels, of both.
        calls: Records that pass.
    """

    rows: tuple[SummaryRow, ...]
    calls: tuple[JudgedCall, ...]


def judge_sets(called: Iterable[tuple[PlannedSet, Path]]) -> HeldOutCalls:
    """Compares calls of the regions kept apart with the truth, by haplotype.

    Args:
        called: Sets with validation regions, and the VCF that was called of them.
    """
    truths: Counter[tuple[str, Verdict]] = Counter()
    queries: Counter[tuple[str, Verdict]] = Counter()
    judged: list[JudgedCall] = []
    for planned, vcf in called:
        _judge(planned, vcf, truths, queries, judged)
    rows = tuple(SummaryRow.count(kind, "PASS", truths, queries) for kind in ("SNP", "INDEL", "ALL"))
    return HeldOutCalls(rows, tuple(judged))


def _judge(
    planned: PlannedSet,
    vcf: Path,
    truths: Counter[tuple[str, Verdict]],
    queries: Counter[tuple[str, Verdict]],
    judged: list[JudgedCall],
) -> None:
    source, store = planned.source, WindowStore(planned.source.store)
    confident = read_bed(source.confident, None)
    qualities = _qualities(vcf)
    calls = GenotypedVcf(vcf)
    for contig, intervals in planned.validation.items():
        length = store.contig_length(contig)

        def bases(start: int, stop: int, contig: str = contig, length: int = length) -> str:
            return store.bases(contig, max(0, start), min(stop, length))

        truth = GenotypedVcf(source.truth, source.truth_sample, "truth_sample", {contig})
        known = _overlap(confident.get(contig, ()), intervals)
        span = intervals[0][0], intervals[-1][1]
        expected = [v for v in truth.variants(contig, bases, length, span) if holds(intervals, v.position)]
        found = [v for v in calls.variants(contig, bases, length, span) if v.passed and holds(intervals, v.position)]
        verdicts = compare(expected, found, bases, known)
        truths.update((variant.kind, verdict) for variant, verdict in zip(expected, verdicts.truth, strict=True))
        queries.update((variant.kind, verdict) for variant, verdict in zip(found, verdicts.calls, strict=True))
        for variant, verdict in zip(found, verdicts.calls, strict=True):
            quality = qualities.get((contig, variant.position, variant.ref))
            if verdict is not Verdict.UNKNOWN and quality is not None:
                false, wrong = verdict is Verdict.FALSE, verdict is not Verdict.MATCHED
                judged.append(JudgedCall(variant.kind, *quality, false, wrong))


def calibration(calls: Iterable[JudgedCall]) -> dict[str, list[dict[str, float | int | str]]]:
    """Of QUAL and of GQ, by band: how many records, how many of them are in error, and how many are expected to be."""
    calls = list(calls)
    table: dict[str, list[dict[str, float | int | str]]] = {}
    for name, error in (("qual", "false"), ("gq", "wrong")):
        rows: list[dict[str, float | int | str]] = []
        for kind in ("SNP", "INDEL"):
            for low in range(0, LAST + 1, STEP):
                high = low + STEP if low < LAST else float("inf")
                band = [call for call in calls if call.kind == kind and low <= getattr(call, name) < high]
                if band:
                    expected = sum(10 ** (-getattr(call, name) / 10) for call in band)
                    errors = sum(getattr(call, error) for call in band)
                    counts = {"records": len(band), "errors": errors, "expected": expected}
                    rows.append({"kind": kind, "from": low, **counts})
        table[name] = rows
    return table


def write_calibration(folder: Path, table: Mapping[str, list[dict[str, Any]]]) -> list[Path]:
    """Writes the table as JSON and CSV, and, where matplotlib is installed, as a figure (SVG)."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "calibration.json", folder / "calibration.csv"]
    write_whole(written[0], json.dumps(table, indent=2) + "\n")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["of", "kind", "from", "records", "errors", "expected"])
    for name, rows in table.items():
        writer.writerows([name, *row.values()] for row in rows)
    write_whole(written[1], text.getvalue())
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return written
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, (name, rows) in zip(figure.subplots(1, 2, sharey=True), table.items(), strict=True):
        for kind, marker in (("SNP", "o"), ("INDEL", "s")):
            points = [row for row in rows if row["kind"] == kind]
            # Half an error where there is none, so that its logarithm is finite.
            shares = [max(row["errors"], 0.5) / row["records"] for row in points]
            stated = [row["expected"] / row["records"] for row in points]
            axes.loglog(stated, shares, marker, label=f"{kind} ({sum(row['records'] for row in points):,})")
        axes.plot([1e-6, 1], [1e-6, 1], color="grey", linewidth=1)
        axes.set(xlabel=f"error that {name.upper()} states", title=name.upper())
        axes.legend(frameon=False)
    figure.axes[0].set_ylabel("share in error")
    image = folder / "calibration.svg"
    figure.savefig(image, format="svg", metadata={"Date": None})
    return [*written, image]


def rows_as_dicts(found: HeldOutCalls) -> list[dict[str, Any]]:
    """The summary rows as JSON's types."""
    return [row.to_dict() for row in found.rows]


def _qualities(vcf: Path) -> dict[tuple[str, int, str], tuple[float, float]]:
    """QUAL and GQ of each record by contig, 0-based position and reference allele."""
    with pysam.VariantFile(str(vcf)) as file:
        return {
            (record.contig, record.start, str(record.ref)): (record.qual or 0.0, record.samples[0]["GQ"] or 0.0)
            for record in file
        }


def _overlap(one: Intervals, other: Intervals) -> list[tuple[int, int]]:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return sorted((start, stop) for start, stop in pairs if start < stop)
