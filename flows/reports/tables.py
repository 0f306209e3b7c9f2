"""A run's summary as tables: text for the terminal and logs, Markdown for Prefect's page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from diffbio_flows.reports.progress import duration
from diffbio_flows.reports.summary import CallSummary, VariantCounts, WorkSummary

Table = tuple[str, list[tuple[str, str]]]

READS_PREFIX = "reads_"


def tables(summary: CallSummary) -> list[Table]:
    """Titles, each with rows of a label and a value."""
    return [
        ("Warnings", [(str(number), text) for number, text in enumerate(summary.warnings, start=1)]),
        ("Variants", variant_rows(summary.variants)),
        *work_tables(summary.work),
        ("Files", _files(summary)),
    ]


def variant_rows(variants: VariantCounts) -> list[tuple[str, str]]:
    """Counts of variants by kind."""
    return [
        ("records", f"{variants.records:,} ({variants.passed:,} PASS)"),
        ("SNPs", f"{variants.snps:,}"),
        ("insertions", f"{variants.insertions:,}"),
        ("deletions", f"{variants.deletions:,}"),
        *([("other alleles", f"{variants.others:,}")] if variants.others else []),
        ("multi-allelic records", f"{variants.multiallelic:,}"),
        ("Ti/Tv", ratio(variants.ti_tv)),
        ("het/hom", ratio(variants.het_hom)),
    ]


def provenance_tables(summary: CallSummary) -> list[Table]:
    """How to make the calls again."""
    return [
        (
            "Made of",
            [
                (f"{name}: {label}", f"{value:,}" if isinstance(value, int) else value)
                for name, fields in summary.made_of.items()
                for label, value in fields.items()
            ],
        ),
        (
            "Worked off",
            [(label, _listed(value)) for label, value in summary.worked_off.items()],
        ),
    ]


def work_tables(work: WorkSummary) -> list[Table]:
    """The tables that every run over shards has."""
    totals = work.totals
    reads = {name: count for name, count in totals.counters.items() if name.startswith(READS_PREFIX) and count}
    others = {name: count for name, count in totals.counters.items() if not name.startswith(READS_PREFIX)}
    wall = sum(work.wall_seconds.values())
    return [
        # A read is counted in the shard that it starts in, so those that start before a region are not.
        ("Reads", [(_words(name.removeprefix(READS_PREFIX)), f"{count:,}") for name, count in reads.items()]),
        (
            "Work",
            [
                ("genome", f"{totals.core_bp / 1e6:,.3f} Mb in {totals.shards:,} shards"),
                *([("finished by an earlier run", f"{work.resumed_shards:,} shards")] if work.resumed_shards else []),
                *((_words(name), f"{count:,}") for name, count in others.items()),
            ],
        ),
        (
            "Time and memory",
            [
                *((f"workers: {_words(stage)}", f"{seconds:,.2f} s") for stage, seconds in totals.seconds.items()),
                *((f"run: {_words(stage)}", f"{seconds:,.2f} s") for stage, seconds in work.wall_seconds.items()),
                ("run: whole", f"{duration(wall)} with {work.workers} worker{'s' * (work.workers != 1)}"),
                ("peak memory of a worker", f"{totals.peak_memory_mb:,.0f} MB"),
                ("peak memory of this process", f"{work.peak_memory_mb:,.0f} MB"),
            ],
        ),
    ]


def as_text(parts: Iterable[Table]) -> str:
    """Tables in aligned columns."""
    return "\n\n".join("\n".join([title, *_aligned(rows)]) for title, rows in parts if rows)


def as_markdown(summary: CallSummary) -> str:
    """A heading and a table per part."""
    return f"# Calls of {summary.sample}\n\n" + tables_as_markdown((*tables(summary), *provenance_tables(summary)))


def tables_as_markdown(tables: Iterable[Table]) -> str:
    """Tables that have rows, each under its title."""
    parts = []
    for title, rows in tables:
        if rows:
            lines = (f"| {_cell(label)} | {_cell(value)} |" for label, value in rows)
            parts.append("\n".join([f"## {title}", "", "| | |", "|---|---|", *lines]))
    return "\n\n".join(parts)


def _files(summary: CallSummary) -> list[tuple[str, str]]:
    files = [
        ("VCF", summary.output),
        ("gVCF", summary.gvcf),
        ("window store", summary.store),
        ("report", summary.report),
    ]
    return [(label, path) for label, path in files if path]


def _aligned(rows: Iterable[tuple[str, str]]) -> Iterable[str]:
    rows = list(rows)
    width = max(len(label) for label, _ in rows)
    return [f"  {label:<{width}}  {value}" for label, value in rows]


def _listed(value: object) -> str:
    """Text, or the entries of a mapping that say something."""
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{name} {entry}" for name, entry in value.items() if entry not in (None, [], ()))


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def ratio(value: float | None) -> str:
    """To two digits, or a dash where there is none."""
    return "-" if value is None else f"{value:.2f}"


def _words(name: str) -> str:
    return name.replace("_", " ")
