"""The tables of a run's summary, as text and as Markdown."""

from __future__ import annotations

from dataclasses import replace

from diffbio_flows.reports.summary import ShardTotals, VariantCounts
from diffbio_flows.reports.tables import as_markdown, as_text, tables, work_tables
from tests.flows.call_summaries import SUMMARY


def test_the_text_tells_variants_reads_time_and_files():
    text = as_text(tables(SUMMARY))
    for row in (
        "  records                3 (2 PASS)",
        "  Ti/Tv                  2.00",
        "  het/hom                2.00",
        "  duplicate  4",
        "  workers: call                1.00 s",
        "  run: whole                   1 min 2 s with 2 workers",
        "  peak memory of a worker      300 MB",
        "  window store  calls.vcf.gz.work/windows.zarr",
    ):
        assert row in text.splitlines()


def test_the_markdown_has_a_table_per_part():
    assert "## Reads\n\n| | |\n|---|---|\n| used | 6 |\n| duplicate | 4 |" in as_markdown(SUMMARY)


def rows(summary, title):
    return dict(dict(tables(summary))[title])


def test_a_row_for_what_is_none_is_left_out():
    plain = replace(SUMMARY, work=replace(SUMMARY.work, resumed_shards=0))
    assert "finished by an earlier run" in rows(SUMMARY, "Work")
    assert "finished by an earlier run" not in rows(plain, "Work")
    assert "other alleles" not in rows(SUMMARY, "Variants")
    others = replace(SUMMARY, variants=VariantCounts(records=1, others=1))
    assert rows(others, "Variants")["other alleles"] == "1"


def test_ratios_without_a_denominator_are_a_dash():
    none = rows(replace(SUMMARY, variants=VariantCounts()), "Variants")
    assert (none["Ti/Tv"], none["het/hom"], none["records"]) == ("-", "-", "0 (0 PASS)")


def test_reads_are_told_apart_from_what_else_was_counted():
    assert rows(SUMMARY, "Reads") == {"used": "6", "duplicate": "4"}
    assert rows(SUMMARY, "Work") == {
        "genome": "0.000 Mb in 2 shards",
        "finished by an earlier run": "1 shards",
        "candidates": "2",
    }


def test_reasons_that_no_read_was_set_aside_for_are_left_out():
    counters = {"reads_used": 0, "reads_qc_fail": 3, "windows": 0}
    work = replace(SUMMARY.work, totals=ShardTotals(counters=counters), workers=1)
    found = dict(work_tables(work))
    assert found["Reads"] == [("qc fail", "3")]
    assert ("windows", "0") in found["Work"]
    assert ("run: whole", "1 min 2 s with 1 worker") in found["Time and memory"]


def test_a_table_without_rows_has_no_title():
    empty = replace(SUMMARY, work=replace(SUMMARY.work, totals=ShardTotals()))
    for page in (as_text(tables(empty)), as_markdown(empty)):
        assert "Reads" not in page
        assert "Variants" in page


def test_the_files_that_were_written_are_named_in_order():
    assert list(rows(SUMMARY, "Files")) == ["VCF", "window store", "report"]
    assert list(rows(replace(SUMMARY, gvcf="g", store=None), "Files")) == ["VCF", "gVCF", "report"]


def test_the_columns_of_the_text_are_aligned_in_each_table():
    for part in as_text(tables(SUMMARY)).split("\n\n"):
        _, *lines = part.splitlines()
        labels = [line[2:].split("  ")[0] for line in lines]
        starts = {len(line) - len(line[2 + len(label) :].lstrip()) for line, label in zip(lines, labels, strict=True)}
        assert len(starts) == 1


def test_a_name_cannot_break_the_markdown_table():
    summary = replace(SUMMARY, output="a|b.vcf.gz")
    assert "| VCF | a\\|b.vcf.gz |" in as_markdown(summary).splitlines()
