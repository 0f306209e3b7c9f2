"""``evaluate_calls`` on small real files and, where they are, on real sets."""

import json
from pathlib import Path

import pysam
import pytest

from diffbio_core.problems import InputError
from diffbio_flows.runs.evaluate import evaluate_calls
from tests.shared_data import SHARED

SEQUENCE = "GATTTTTTACACACACGGTCAGTC" * 20
HEADER = """##fileformat=VCFv4.2
##FILTER=<ID=LowQual,Description="x">
##FORMAT=<ID=GT,Number=1,Type=String,Description="x">
##contig=<ID=c1>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS
"""


def vcf(path, *records):
    lines = ("c1\t{}\t.\t{}\t{}\t50\t{}\t.\tGT\t{}\n".format(*record) for record in records)
    path.write_text(HEADER + "".join(lines))
    return path


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "r.fa"
    path.write_text(f">c1\n{SEQUENCE}\n>c2\nACGT\n")
    return path


@pytest.fixture
def truth(tmp_path):
    return vcf(
        tmp_path / "truth.vcf",
        (2, "AT", "A", "PASS", "0/1"),
        (40, SEQUENCE[39], "G", "PASS", "1|1"),
        (200, SEQUENCE[199], "<DEL>", "PASS", "0/1"),
        (300, SEQUENCE[299], "G,C", ".", "1/2"),
    )


@pytest.fixture
def calls(tmp_path):
    return vcf(
        tmp_path / "calls.vcf",
        (7, "TT", "T", "PASS", "0/1"),
        (40, SEQUENCE[39], "G", "LowQual", "1/1"),
        (120, SEQUENCE[119], "G,*", "PASS", "0/1"),
        (150, SEQUENCE[149], "G", "PASS", "0/0"),
        (300, SEQUENCE[299], "C,G", "PASS", "1/2"),
        (400, SEQUENCE[399], "G", "PASS", "0/1"),
    )


def test_the_table_tells_types_and_filters_apart(tmp_path, reference, truth, calls):
    bed = tmp_path / "confident.bed"
    bed.write_text("c1\t0\t350\n")
    table = evaluate_calls(truth, calls, reference, bed, json=tmp_path / "table.json")
    rows = {(row.kind, row.filter): row for row in table.rows}
    snps, passing = rows["SNP", "ALL"], rows["SNP", "PASS"]
    assert (snps.truth_tp, snps.truth_fn, snps.query_total, snps.query_fp, snps.query_unk) == (2, 0, 4, 1, 1)
    assert (passing.truth_tp, passing.truth_fn, passing.query_total) == (1, 1, 3)
    assert rows["INDEL", "PASS"].f1 == 1
    assert (table.overall.truth_tp, table.overall.truth_fn, table.overall.query_fp) == (2, 1, 1)
    written = json.loads((tmp_path / "table.json").read_text())
    assert written == json.loads(table.to_json())
    assert written["rows"][0]["Type"] == "INDEL"
    assert [line.split()[:4] for line in table.to_text().splitlines()[:2]] == [
        ["Type", "Filter", "TRUTH.TOTAL", "TRUTH.TP"],
        ["INDEL", "ALL", "1", "1"],
    ]


def test_only_the_regions_asked_for_are_judged(reference, truth, calls):
    table = evaluate_calls(truth, calls, reference, regions=["c1:1-100"])
    assert (table.overall.truth_total, table.overall.query_total) == (2, 1)


def test_an_indexed_file_gives_what_the_plain_one_gives(tmp_path, reference, truth, calls):
    plain = evaluate_calls(truth, calls, reference)
    pysam.tabix_index(str(truth), preset="vcf", keep_original=True)
    pysam.tabix_index(str(calls), preset="vcf", keep_original=True)
    indexed = evaluate_calls(f"{truth}.gz", f"{calls}.gz", reference)
    assert (indexed.rows, indexed.overall) == (plain.rows, plain.overall)


def test_every_faulty_file_is_told_at_once(tmp_path, truth):
    (tmp_path / "calls.vcf").write_text("no VCF\n")
    (tmp_path / "c.bed").write_text("c1\tx\ty\n")
    with pytest.raises(InputError) as error:
        evaluate_calls(truth, tmp_path / "calls.vcf", tmp_path / "none.fa", tmp_path / "c.bed")
    subjects = [Path(problem.subject).name for problem in error.value.problems]
    assert subjects == ["none.fa", "calls.vcf", "c.bed, line 1"]


def test_a_vcf_of_another_reference_is_told(tmp_path, truth, calls):
    other = tmp_path / "other.fa"
    other.write_text(f">c1\n{SEQUENCE[::-1]}\n")
    with pytest.raises(InputError, match=r"truth\.vcf: .*reference alleles differ.*c1:"):
        evaluate_calls(truth, calls, other)


def test_files_that_share_no_contig_with_the_reference_are_told(tmp_path, truth, calls):
    other = tmp_path / "other.fa"
    other.write_text(f">chr1\n{SEQUENCE}\n")
    bed = tmp_path / "c.bed"
    bed.write_text("1\t0\t9\n")
    with pytest.raises(InputError) as error:
        evaluate_calls(truth, calls, other, bed)
    assert [problem.what for problem in error.value.problems] == [
        "none of its contigs (c1) is one of the reference",
        "none of its contigs (c1) is one of the reference",
        "none of its contigs (1) is one of the reference",
    ]


def test_several_samples_are_told(tmp_path, reference, truth):
    calls = tmp_path / "two.vcf"
    calls.write_text(HEADER.replace("\tS\n", "\tS\tT\n"))
    with pytest.raises(InputError, match=r"holds 2 samples\. Name one of: S, T \(--calls-sample\)\."):
        evaluate_calls(truth, calls, reference)
    with pytest.raises(InputError, match=r"holds 2 samples\. Name one of: S, T \(--truth-sample\)\."):
        evaluate_calls(calls, truth, reference)
    assert evaluate_calls(truth, calls, reference, calls_sample="T").overall.truth_fn == 3
    assert evaluate_calls(calls, truth, reference, truth_sample="S").overall.query_fp == 3


def test_what_speaks_against_the_files_is_told(tmp_path, reference):
    calls = tmp_path / "odd.vcf"
    row = f"c1\t40\t.\t{SEQUENCE[39]}\tG\t.\t.\t.\tGT\t0/1\n"
    calls.write_text(HEADER.replace("ID=c1", "ID=c1,length=77") + row + row.replace("c1", "chrUn"))
    table = evaluate_calls(calls, calls, reference)
    assert [warning.what for warning in table.warnings[:2]] == [
        "has records on 1 contigs that the reference lacks (chrUn), which were not compared",
        f"c1 is 77 bp long in its header, but {len(SEQUENCE):,} in the reference",
    ]
    assert json.loads(table.to_json())["warnings"] == list(map(str, table.warnings))


def test_a_record_beyond_the_contigs_end_is_told(tmp_path, reference):
    calls = tmp_path / "odd.vcf"
    calls.write_text(HEADER + f"c1\t{len(SEQUENCE)}\t.\t{SEQUENCE[-1]}A\tG\t.\t.\t.\tGT\t0/1\n")
    with pytest.raises(InputError, match=rf"c1:{len(SEQUENCE)} .*the contig ends at {len(SEQUENCE)}"):
        evaluate_calls(calls, calls, reference)


DELETION = (21, SEQUENCE[20:26], SEQUENCE[20], "PASS", "0/1")
SNP = "ACGT"[("ACGT".index(SEQUENCE[23]) + 1) % 4]


@pytest.mark.parametrize("absent", ["*", "<*>", "<NON_REF>"])
@pytest.mark.parametrize(
    ("plain", "written"),
    [("0/1", "1/2"), ("0/1", "2|1"), ("0/1", "0/1"), ("1/1", "1/1"), ("0/0", "2/2"), ("0/0", "0/2"), ("0/1", "./1")],
)
def test_an_allele_that_says_nothing_leaves_its_haplotype_to_other_records(tmp_path, reference, absent, plain, written):
    before, after = (24, SEQUENCE[23], SNP, "PASS", plain), (24, SEQUENCE[23], f"{SNP},{absent}", "PASS", written)
    truth, calls = vcf(tmp_path / "t.vcf", DELETION, before), vcf(tmp_path / "c.vcf", DELETION, after)
    for table in (evaluate_calls(truth, calls, reference), evaluate_calls(calls, truth, reference)):
        number = 1 + ("1" in plain)
        overall = table.overall
        assert (overall.truth_tp, overall.truth_fn, overall.query_total, overall.query_fp) == (number, 0, number, 0)
        assert table.warnings == ()


def test_one_record_and_its_split_form_are_equal(tmp_path, reference):
    base = SEQUENCE[299]
    one, two, _ = (letter for letter in "ACGT" if letter != base)
    whole = vcf(tmp_path / "t.vcf", (300, base, f"{one},{two}", "PASS", "1/2"))
    split = vcf(tmp_path / "c.vcf", (300, base, one, "PASS", "1/."), (300, base, two, "PASS", "./1"))
    for table in (evaluate_calls(whole, split, reference), evaluate_calls(split, whole, reference)):
        assert (table.overall.truth_fn, table.overall.query_fp) == (0, 0)


@pytest.mark.parametrize(
    ("folder", "reference"), [("hg002_chr20", "reference.fa.gz"), ("na12878_chr20", "reference.fasta.gz")]
)
def test_a_real_truth_set_matches_itself(folder, reference):
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    truth = SHARED / folder / "truth.vcf.gz"
    overall = evaluate_calls(truth, truth, SHARED / folder / reference).overall
    assert overall.truth_total > 100
    assert (overall.truth_fn, overall.query_fp) == (0, 0)
