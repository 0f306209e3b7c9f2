"""Counts over records and over shards."""

from __future__ import annotations

import json

from diffbio_flows.reports.summary import ShardTotals, VariantCounts, count_variants
from tests.flows.call_summaries import RESULTS, SUMMARY


def line(ref: str, alt: str, genotype: str, filters: str = "PASS") -> str:
    return f"chr1\t7\t.\t{ref}\t{alt}\t50\t{filters}\tDP=9\tGT:GQ\t{genotype}:40\n"


def test_each_record_counts_by_type_ring_and_zygosity():
    lines = [
        "##fileformat=VCFv4.2\n",
        line("A", "G", "0/1"),
        line("C", "T", "1/1"),
        line("C", "A", "0|1", "LowQual"),
        line("C", "CA", "0/1"),
        line("CAT", "C", "1"),
        line("CA", "C,CAA", "1/2"),
        line("AC", "GT", "0/1"),
    ]
    assert count_variants(lines) == VariantCounts(
        records=7,
        passed=6,
        snps=3,
        insertions=2,
        deletions=2,
        others=1,
        multiallelic=1,
        transitions=2,
        transversions=1,
        heterozygous=5,
        homozygous=2,
    )


def test_a_genotype_without_alternative_allele_is_no_variant():
    assert count_variants([line("A", "G", "0/0"), line("A", "G", "./.")]) == VariantCounts()


def test_ratios_are_undefined_without_a_denominator():
    counts = VariantCounts(transitions=3, heterozygous=2)
    assert (counts.ti_tv, counts.het_hom) == (None, None)
    assert VariantCounts(transitions=3, transversions=2).ti_tv == 1.5


def test_totals_add_counts_and_times_and_keep_the_peak():
    assert ShardTotals.of(RESULTS) == ShardTotals(
        shards=2,
        core_bp=150,
        counters={"reads_used": 6, "candidates": 2, "reads_duplicate": 4},
        seconds={"ingest": 0.75, "call": 1.0},
        peak_memory_mb=300.0,
    )


def test_the_json_holds_plain_values_and_the_ratios():
    entries = json.loads(json.dumps(SUMMARY.to_json()))
    assert entries["variants"]["ti_tv"] == 2.0
    assert entries["work"]["totals"]["counters"]["reads_used"] == 6
