"""What a call run leaves: VCF and gVCF merged from its shards' files, summary and report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from diffbio_core import __version__
from diffbio_core.whole_file import write_whole
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.runs.layout import writing
from diffbio_flows.runs.plan import CallPlan
from diffbio_flows.runs.provenance import made_of, md5_of_reference
from diffbio_flows.shards.commit import shard_path

Join = Callable[[Iterator[bytes]], Iterable[bytes]]


def merge_calls(plan: CallPlan) -> None:
    """Writes the output from the shards' files; it appears under its name when it is whole, index included.

    Raises:
        TaskFailedError: The output cannot be written.
    """
    from diffbio_io.variants.gvcf import GVCF_FIELDS, without_seams

    _merge(plan, plan.parameters.output, ".vcf.gz")
    if plan.parameters.gvcf is not None:
        with _bases(plan) as bases:

            def join(shards: Iterable[bytes]) -> Iterator[bytes]:
                return without_seams(shards, lambda contig, start: bases(contig, start, start + 1))

            _merge(plan, plan.parameters.gvcf, ".g.vcf", GVCF_FIELDS, join)


@contextmanager
def _bases(plan: CallPlan) -> Iterator[Callable[[str, int, int], str]]:
    """Reference bases, from the FASTA file or from the window store."""
    if plan.parameters.windows is not None:
        from diffbio_io.store.store import WindowStore

        yield WindowStore(plan.parameters.windows, plan.grid).bases
        return
    from diffbio_io.reference import Reference

    with Reference(plan.parameters.files[1], plan.work.path) as reference:
        yield reference.sequence


def _merge(plan: CallPlan, output: Path, ending: str, fields: Sequence[str] = (), join: Join | None = None) -> None:
    """Writes one output from the shards' files of an ending."""
    from diffbio_io.variants.names import nameable_contigs
    from diffbio_io.variants.vcf import concatenate_shards, merge_shards, structured, vcf_header

    determining = made_of(plan)
    meta = [("source", f"diffbio {__version__}"), ("reference", str(determining["reference"]["Name"]))]
    meta += [("diffbio", structured(name, fields)) for name, fields in determining.items()]
    # By name alone: what lies elsewhere gives the same bytes.
    meta += [("diffbio_warning", str(replace(w, subject=Path(w.subject).name))) for w in plan.warnings]
    with writing(output):
        md5 = md5_of_reference(plan)
    header = vcf_header(nameable_contigs(plan.contigs), plan.sample, fields=fields, meta=meta, md5=md5)
    shards = [shard_path(plan.work.calls, shard.name, ending) for shard in plan.shards()]
    with writing(output):
        aside = plan.work.aside(output)
        if join is None:
            concatenate_shards(output, shards, plan.contigs, header, aside=aside)
        else:
            merge_shards(output, shards, plan.contigs, header, join, aside=aside)


def write_summary(plan: CallPlan, summary: CallSummary) -> None:
    """Writes summary and report, and frees what only an unfinished run needs.

    Raises:
        TaskFailedError: They cannot be written.
    """
    from diffbio_flows.reports.page import Report
    from diffbio_flows.runs.report import MULTIQC_ENDING, model_card, write_report

    work = plan.work
    report = Report(
        calls=Path(summary.output).name,
        sample=summary.sample,
        variants=summary.variants,
        distributions=summary.work.totals.distributions,
        contigs=plan.contigs,
        summary=summary,
        made_of=summary.made_of,
        card=model_card(summary, summary.made_of),
    )
    with writing(work.path):
        write_report(work.report, work.report.with_name(f"{work.report.stem}{MULTIQC_ENDING}"), report)
        write_whole(work.summary, json.dumps(summary.to_json(), indent=2).encode())
        work.free()
