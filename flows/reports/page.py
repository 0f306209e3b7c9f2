"""The report of a call, as a page that needs no other file, and as what MultiQC reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffbio_flows.reports.distributions import Distributions
from diffbio_flows.reports.figures import Picture, pictures, reliability_picture
from diffbio_flows.reports.summary import CallSummary, VariantCounts
from diffbio_flows.reports.tables import Table, provenance_tables, ratio, tables, variant_rows

if TYPE_CHECKING:
    from diffbio_flows.runs.evaluate import EvaluationTable

RELIABILITY = "Reliability of QUAL and GQ; hollow where none was in error, drawn as half of one"

_WIDE = ("Records along contigs", RELIABILITY)


@dataclass(frozen=True)
class Report:
    """What there is to tell of calls.

    Attributes:
        calls: Name of the VCF.
        sample: Whose.
        variants: Counts.
        distributions: How the records are spread.
        contigs: Lengths (bp), in order.
        summary: What the run that made them told; None where that is not at hand.
        made_of: What determines the records, as the VCF's header has it.
        card: Of the model; empty where it is not at hand.
        missing: What could not be told, and why.
        evaluation: Against a truth, where there is one.
    """

    calls: str
    sample: str
    variants: VariantCounts
    distributions: Distributions
    contigs: Mapping[str, int]
    summary: CallSummary | None = None
    made_of: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    evaluation: EvaluationTable | None = None


def as_page(report: Report) -> str:
    """One HTML file that opens without a network; whatever comes from a file is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("diffbio_flows.reports", ".")
    page = Environment(autoescape=True, undefined=StrictUndefined, loader=loader).get_template("report.html.j2")
    summary = report.summary
    when = summary.worked_off.get("ended") if summary else None
    return page.render(
        title=f"Calls of {report.sample}",
        subtitle=", ".join(str(part) for part in (Path(summary.output).name if summary else None, when) if part),
        headline=list(_headline(report)),
        warnings=summary.warnings if summary else (),
        missing=report.missing,
        evaluation=_evaluation(report),
        pictures=_pictures(report),
        wide=_WIDE,
        calls=report.calls,
        doubtful=report.distributions.doubtful,
        tables=_tables(report),
    )


def as_multiqc(report: Report) -> str:
    """Custom content of MultiQC: a row of its table of general statistics."""
    variants, summary = report.variants, report.summary
    row: dict[str, float | int | None] = {
        "records": variants.passed,
        "ti_tv": variants.ti_tv,
        "het_hom": variants.het_hom,
        "indels": variants.insertions + variants.deletions,
        "depth": summary.mean_depth if summary else None,
        "f1": report.evaluation.overall.to_dict()["METRIC.F1_Score"] if report.evaluation else None,
    }  # fmt: skip
    titles = {
        "records": {"title": "Variants", "description": "Records that pass", "format": "{:,.0f}"},
        "ti_tv": {"title": "Ti/Tv", "description": "Transitions per transversion", "format": "{:,.2f}"},
        "het_hom": {"title": "het/hom", "description": "Heterozygous calls per homozygous one", "format": "{:,.2f}"},
        "indels": {"title": "Indels", "description": "Insertions and deletions", "format": "{:,.0f}"},
        "depth": {"title": "Depth", "description": "Mean number of reads over a position", "format": "{:,.1f}"},
        "f1": {"title": "F1", "description": "Against the truth, of records that pass", "format": "{:,.4f}"},
    }
    known = {name: value for name, value in row.items() if value is not None}
    content = {
        "id": "diffbio",
        "plot_type": "generalstats",
        "headers": {name: {"namespace": "diffbio"} | titles[name] for name in known},
        "data": {report.sample: known},
    }
    return json.dumps(content, indent=2) + "\n"


def _headline(report: Report) -> Iterator[tuple[str, str]]:
    variants, summary = report.variants, report.summary
    yield "records", f"{variants.records:,}"
    yield "of them pass", f"{variants.passed:,}"
    yield "Ti/Tv", ratio(variants.ti_tv)
    yield "het/hom", ratio(variants.het_hom)
    if summary is not None and summary.mean_depth:
        yield "mean depth", f"{summary.mean_depth:.1f}x"
    if summary is not None and summary.slippage:
        slips = (f"{share:.2%} {way}" for way, share in summary.slippage.items())
        yield "homopolymers of 8 to 13 bp in reads", ", ".join(slips)
    if report.evaluation is not None:
        found = report.evaluation.overall.to_dict()["METRIC.F1_Score"]
        yield "F1", "-" if found is None else f"{found:.4f}"


def _evaluation(report: Report) -> list[list[str]]:
    table = report.evaluation
    if table is None:
        return []
    rows = [row.to_dict() for row in (*table.rows, table.overall)]
    cells = [["-" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v) for v in r.values()] for r in rows]
    return [list(rows[0]), *cells]


def _pictures(report: Report) -> list[Picture]:
    totals = report.summary.work.totals if report.summary else None
    found = pictures(
        report.distributions,
        totals.depths if totals else {},
        report.contigs,
        totals.seconds if totals else {},
    )
    bands = report.evaluation.reliability if report.evaluation else {}
    if any(bands.values()):
        found.append((RELIABILITY, reliability_picture(bands)))
    return found


def _tables(report: Report) -> list[Table]:
    summary = report.summary
    filters = report.distributions.counts.get("filter", {})
    told: list[Table] = [("Filters", [(name, f"{count:,}") for name, count in sorted(filters.items())])]
    if summary is None:
        made_of = [
            (f"{name}: {key}", str(value)) for name, part in report.made_of.items() for key, value in part.items()
        ]
        told = [("Variants", variant_rows(report.variants)), *told, ("Made of", made_of)]
    else:
        told = [*(table for table in tables(summary) if table[0] != "Warnings"), *told, *provenance_tables(summary)]
    if report.card:
        told.append(("Model", list(_card_rows(report.card))))
    return told


def _card_rows(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("parameters_sha256", "num_parameters", "diffbio", "command"):
        if name in card:
            yield name.replace("_", " "), str(card[name])
    yield "trained on", f"{len(card.get('training_data', {}))} sets"
    for name, value in card.get("thresholds", {}).items():
        yield f"learned {name.replace('_', ' ')}", f"{value:.3g}" if isinstance(value, float) else str(value)
    for name, value in card.get("metrics", {}).items():
        if isinstance(value, int | float):
            yield name.replace("_", " "), f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
