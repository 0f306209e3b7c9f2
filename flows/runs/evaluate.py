"""Calls against a truth set: hap.py's summary table."""

from __future__ import annotations

import json as json_module
import os
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from diffbio_core.evaluation.comparison import compare, holds
from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.evaluation.summary import COLUMNS, SummaryRow
from diffbio_core.problems import InputError, Problem
from diffbio_core.whole_file import write_whole
from diffbio_flows.reports.reliability import Band, JudgedCall, judge, reliability, stated_qualities
from diffbio_flows.runs.places import check_folder
from diffbio_io.reference import Reference
from diffbio_io.regions import Intervals, read_bed, resolve_regions
from diffbio_io.variants.truth import GenotypedVcf


@dataclass(frozen=True)
class EvaluationTable:
    """hap.py's summary table.

    Attributes:
        rows: INDEL and SNP, each for all calls and for those that pass.
        overall: Both types together, calls that pass.
        warnings: What was left out of the comparison, or speaks against the files.
        reliability: Of QUAL and GQ of calls that pass, by band, as `reliability` gives it; empty if not asked for.
    """

    rows: tuple[SummaryRow, ...]
    overall: SummaryRow
    warnings: tuple[Problem, ...] = ()
    reliability: Mapping[str, Sequence[Band]] = field(default_factory=dict)

    def to_json(self) -> str:
        """As JSON: ``rows`` and ``overall`` by hap.py's column names, undefined rates as null, and ``warnings``."""
        table = {"rows": [row.to_dict() for row in self.rows], "overall": self.overall.to_dict()}
        return json_module.dumps(table | {"warnings": list(map(str, self.warnings))}, indent=2)

    def to_text(self) -> str:
        """The table in aligned columns."""
        cells = [list(COLUMNS)] + [
            [_cell(value) for value in row.to_dict().values()] for row in (*self.rows, self.overall)
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def evaluate_calls(
    truth: str | os.PathLike[str],
    calls: str | os.PathLike[str],
    reference: str | os.PathLike[str],
    confident: str | os.PathLike[str] | None = None,
    regions: Sequence[str] = (),
    json: str | os.PathLike[str] | None = None,
    truth_sample: str | None = None,
    calls_sample: str | None = None,
    *,
    with_reliability: bool = False,
) -> EvaluationTable:
    """Compare the genotypes of calls with those of a truth set by the haplotypes that they spell.

    Args:
        truth: VCF with every variant of the confident regions.
        calls: VCF.
        reference: FASTA that both were made with.
        confident: BED of the regions where a variant that the truth lacks is false; calls elsewhere are
            counted as unknown. None for everywhere.
        regions: Regions to look at, such as ``chr20:1-2,000``; none for all.
        json: File to write the table to.
        truth_sample: Sample of the truth; None for the only one.
        calls_sample: Sample of the calls; None for the only one.
        with_reliability: Hold QUAL and GQ against the errors, too; of calls of one sample.

    Raises:
        InputError: With the faults of all the files.
    """
    problems: list[Problem] = []
    fasta = _tried(partial(Reference, reference), problems)
    wanted = _tried(partial(resolve_regions, fasta.contigs, regions), problems) if fasta else None
    true_calls = _tried(partial(GenotypedVcf, truth, truth_sample, "--truth-sample", wanted), problems)
    our_calls = _tried(partial(GenotypedVcf, calls, calls_sample, "--calls-sample", wanted), problems)
    lengths = fasta.contigs if fasta else None
    known = _tried(partial(read_bed, confident, lengths), problems) if confident is not None else None
    if json is not None:
        problems += check_folder(Path(json).parent, str(json))
    if fasta is not None:
        problems += _named_otherwise(truth, true_calls.contigs if true_calls else (), fasta)
        problems += _named_otherwise(calls, our_calls.contigs if our_calls else (), fasta)
        problems += _named_otherwise(confident, known or (), fasta)
    if problems or fasta is None or wanted is None or true_calls is None or our_calls is None:
        raise InputError(problems)
    warnings = [*_doubts(true_calls, fasta, wanted), *_doubts(our_calls, fasta, wanted)]
    judged: list[JudgedCall] | None = [] if with_reliability else None
    table = _table(fasta, true_calls, our_calls, wanted, known, warnings, judged)
    if judged is not None:
        table = replace(table, reliability=reliability(judged))
    if json is not None:
        write_whole(json, table.to_json() + "\n")
    return table


T = TypeVar("T")


def _tried(opening: Callable[[], T], problems: list[Problem]) -> T | None:
    """What opening gives, or None and its problems added to the others."""
    try:
        return opening()
    except InputError as error:
        problems += error.problems
        return None


def _named_otherwise(path: object, contigs: Iterable[str], fasta: Reference) -> list[Problem]:
    """A problem where a file shares no contig with the reference: nothing in it could be compared."""
    contigs = list(contigs)
    if not contigs or set(contigs) & set(fasta.contigs):
        return []
    what = f"none of its contigs ({', '.join(contigs[:5])}) is one of the reference"
    return [Problem(str(path), what, f"The reference has {', '.join(list(fasta.contigs)[:5])}.")]


def _doubts(vcf: GenotypedVcf, fasta: Reference, wanted: Container[str]) -> Iterator[Problem]:
    """What speaks against a file though its alleles may be those of the reference."""
    yield from vcf.warnings
    absent = [contig for contig in vcf.contigs if contig not in fasta.contigs]
    if absent:
        told = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        what = f"has records on {len(absent)} contigs that the reference lacks ({told}), which were not compared"
        yield Problem(str(vcf.path), what, "Give the whole reference if they matter.")
    for contig, length in vcf.lengths.items():
        if contig in wanted and length != fasta.contigs[contig]:
            what = f"{contig} is {length:,} bp long in its header, but {fasta.contigs[contig]:,} in the reference"
            yield Problem(
                str(vcf.path), what, "Its reference alleles are those of the reference; see that it is meant."
            )


def _table(
    reference: Reference,
    truth: GenotypedVcf,
    calls: GenotypedVcf,
    wanted: dict[str, Intervals],
    known: dict[str, Intervals] | None,
    warnings: Iterable[Problem],
    judged: list[JudgedCall] | None,
) -> EvaluationTable:
    counts = {name: (Counter(), Counter()) for name in ("ALL", "PASS")}
    for contig, intervals in wanted.items():
        bases = partial(reference.sequence, contig)
        confident = None if known is None else known.get(contig, ())
        length = reference.contigs[contig]
        expected = _within(truth.variants(contig, bases, length), intervals)
        called = _within(calls.variants(contig, bases, length), intervals)
        for name, taken in (("ALL", called), ("PASS", [variant for variant in called if variant.passed])):
            verdicts = compare(expected, taken, bases, confident)
            for count, variants, found in zip(
                counts[name], (expected, taken), (verdicts.truth, verdicts.calls), strict=True
            ):
                count.update((variant.kind, verdict) for variant, verdict in zip(variants, found, strict=True))
        if judged is not None:
            # Those that pass are the last.
            judged += judge(taken, verdicts.calls, stated_qualities(calls.path, contig))
    rows = tuple(SummaryRow.count(kind, name, *counts[name]) for kind in ("INDEL", "SNP") for name in counts)
    return EvaluationTable(rows, SummaryRow.count("ALL", "PASS", *counts["PASS"]), tuple(warnings))


def _within(variants: list[GenotypedVariant], intervals: Intervals) -> list[GenotypedVariant]:
    return [v for v in variants if holds(intervals, v.position)]


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
