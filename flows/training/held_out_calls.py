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

from diffbio_core.evaluation.comparison import Verdict, compare, holds
from diffbio_core.evaluation.summary import SummaryRow
from diffbio_core.whole_file import write_whole
from diffbio_flows.reports.figures import reliability_picture
from diffbio_flows.reports.reliability import JudgedCall, judge, stated_qualities
from diffbio_flows.training.roles import PlannedSet
from diffbio_io.regions import Intervals, read_bed
from diffbio_io.store.store import WindowStore
from diffbio_io.variants.truth import GenotypedVcf


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
        judged += judge(found, verdicts.calls, stated_qualities(vcf, contig))


def write_calibration(folder: Path, table: Mapping[str, list[dict[str, Any]]]) -> list[Path]:
    """Writes the table as JSON, as CSV and as a figure (SVG)."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "calibration.json", folder / "calibration.csv"]
    write_whole(written[0], json.dumps(table, indent=2) + "\n")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["of", "kind", "from", "records", "errors", "expected"])
    for name, rows in table.items():
        writer.writerows([name, *row.values()] for row in rows)
    write_whole(written[1], text.getvalue())
    image = folder / "calibration.svg"
    write_whole(image, reliability_picture(table))
    return [*written, image]


def rows_as_dicts(found: HeldOutCalls) -> list[dict[str, Any]]:
    """The summary rows as JSON's types."""
    return [row.to_dict() for row in found.rows]


def _overlap(one: Intervals, other: Intervals) -> list[tuple[int, int]]:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return sorted((start, stop) for start, stop in pairs if start < stop)
