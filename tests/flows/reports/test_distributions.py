"""Counts of records by what a report shows."""

from __future__ import annotations

import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from diffbio_flows.reports.distributions import DOUBTFUL, Distributions, DistributionSum


def line(
    position=7, ref="A", alt="G", genotype="0/1", gq="40", depth="20", support="9,11", filters="PASS", qual="50.5"
):
    sample = f"{genotype}:{gq}:{depth}:{support}"
    return f"chr1\t{position}\t.\t{ref}\t{alt}\t{qual}\t{filters}\tDP=9\tGT:GQ:DP:AD\t{sample}\n"


def test_a_record_that_passes_counts_once_in_each():
    found = Distributions.of(["##fileformat=VCFv4.2\n", line(2_000_001)])
    assert found.counts == {
        "filter": {"PASS": 1},
        "qual_snv": {"50": 1},
        "gq_het": {"40": 1},
        "depth_het": {"20": 1},
        "fraction_het": {"55": 1},
        "substitution": {"A>G": 1},
        "density": {"chr1:2": 1},
    }
    assert found.density() == {"chr1": [0, 0, 1]}


def test_a_record_that_does_not_pass_counts_by_its_filters_alone():
    assert Distributions.of([line(filters="LowQual;LowGQ")]).counts == {"filter": {"LowQual": 1, "LowGQ": 1}}


def test_genotypes_of_the_reference_and_unknown_ones_do_not_count():
    assert Distributions.of([line(genotype="0/0"), line(genotype="./.")]) == Distributions()


def test_each_allele_of_a_genotype_counts_by_its_length():
    found = Distributions.of([line(ref="CA", alt="C,CAAA", genotype="1/2", support="0,5,6")])
    assert found.numbers("indel_length") == [(-1, 1), (2, 1)]
    assert found.numbers("qual_indel") == [(50, 1)]


def test_what_a_record_does_not_tell_is_left_out():
    bare = "chr1\t7\t.\tA\tG\t.\t.\t.\tGT\t1|1\n"
    found = Distributions.of([bare])
    assert set(found.counts) == {"filter", "qual_snv", "gq_hom", "substitution", "density"}
    assert found.doubtful == ()


def test_the_lowest_gq_is_the_most_doubtful():
    found = Distributions.of([line(place, gq=str(99 - place % 90)) for place in range(1, 3_000)])
    assert len(found.doubtful) == DOUBTFUL
    assert {call.gq for call in found.doubtful} == {10.0}
    assert found.doubtful[0].position == 89


@given(st.lists(st.lists(st.integers(6, 99), max_size=5), max_size=4))
def test_parts_add_up_to_the_whole_also_by_way_of_json(parts):
    total, lines = DistributionSum(), []
    for part in parts:
        new = [line(len(lines) + place, gq=str(gq)) for place, gq in enumerate(part, start=1)]
        lines += new
        total.add(Distributions.from_json(json.loads(json.dumps(asdict(Distributions.of(new))))))
    assert total.total() == Distributions.of(lines)
