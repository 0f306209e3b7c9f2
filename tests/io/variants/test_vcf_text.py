"""VCF as it comes from editors, spreadsheets, other compressors and other tools."""

import bz2
import contextlib
import gzip
import tempfile
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.problems import InputError
from diffbio_io.variants.truth import GenotypedVcf
from diffbio_io.variants.vcf_text import VcfText

HEADER = (
    '##fileformat=VCFv4.2\n##FORMAT=<ID=GT,Number=1,Type=String,Description="a, b">\n##contig=<ID=c,length=38>\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS\n"
)
ROW = "c\t5\t.\tA\tC,G\t.\tPASS\t.\tGT\t0/2\n"
TEXT = HEADER + ROW


def records(tmp_path, data, sample="S"):
    path = tmp_path / "a.vcf"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    text = VcfText(path)
    return [
        (record.line, record.contig, record.position, record.alleles, record.genotype, record.passed)
        for record in text.records(sample)
    ]


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        TEXT.rstrip("\n"),
        TEXT.replace("\n", "\r\n"),
        TEXT + "\n\n",
        "\ufeff" + TEXT,
        TEXT.encode("utf-16"),
        gzip.compress(TEXT.encode(), mtime=0),
        gzip.compress(HEADER.encode(), mtime=0) + gzip.compress(ROW.encode(), mtime=0),
        TEXT.replace("##fileformat=VCFv4.2\n", "##x\n"),
        TEXT.replace("##contig=<ID=c,length=38>", '##contig=<ID=c,length="38",x="a,length=9">'),
        TEXT.replace("a, b", "Müller").encode("latin-1"),
        TEXT.replace("##fileformat=VCFv4.2", "##fileformat=VCFv4.2\t\t\t\t"),
        TEXT.replace(
            '##FORMAT=<ID=GT,Number=1,Type=String,Description="a, b">', '"##FORMAT=<ID=GT,Description=""a, b"">"\t\t'
        ),
        TEXT.replace("C,G", '"C,G"'),
        TEXT.replace("\tS\n", "\tS\t\t\n").replace("0/2\n", "0/2\t\t\n"),
        TEXT.replace("GT\t0/2", "DP:GT:AD\t3:0/2"),
        TEXT.replace("0/2", "/0/2"),
    ],
)
def test_one_file_in_many_dresses(tmp_path, data):
    assert records(tmp_path, data) == [(5, "c", 4, ("A", "C", "G"), (0, 2), True)]


def test_bcf_and_bgzipped_vcf_are_read(tmp_path):
    (tmp_path / "a.vcf").write_text(TEXT)
    pysam.tabix_compress(str(tmp_path / "a.vcf"), str(tmp_path / "a.vcf.gz"))
    with (
        pysam.VariantFile(str(tmp_path / "a.vcf")) as source,
        pysam.VariantFile(str(tmp_path / "a.bcf"), "wb", header=source.header) as sink,
    ):
        for record in source:
            sink.write(record)
    for name in ("a.vcf.gz", "a.bcf"):
        (record,) = VcfText(tmp_path / name).records("S")
        assert (record.position, record.alleles, record.genotype) == (4, ("A", "C", "G"), (0, 2))
        assert VcfText(tmp_path / name).lengths == {"c": 38}


@pytest.mark.parametrize(
    ("genotype", "read"),
    [
        (".", (None,)), ("", (None,)), ("./.", (None, None)), ("./1", (None, 1)), ("1|.", (1, None)), ("1", (1,)),
        ("0/1/2", (0, 1, 2)), ("|1|2", (1, 2)), ("2", (2,)),
    ],
)  # fmt: skip
def test_genotypes_of_all_kinds(tmp_path, genotype, read):
    ((*_, found, _),) = records(tmp_path, TEXT.replace("0/2", genotype))
    assert found == read


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (ROW.replace("\t", " "), "is not separated by tabs"),
        (ROW.replace("\t0/2", ""), "has 9 columns, but the #CHROM line names 10"),
        (ROW.replace("0/2", "0/2\t0/1"), "has 11 columns, but the #CHROM line names 10"),
        (ROW.replace("\t5\t", "\t-5\t"), "its POS, '-5', is not a whole number of 0 or more"),
        (ROW.replace("\t5\t", "\t5e6\t"), "its POS, '5e6', is not a whole number of 0 or more"),
        (ROW.replace("\t5\t", "\t" + "9" * 5000 + "\t"), f"its POS, '{'9' * 30}', is not a whole number of 0 or more"),
        (ROW.replace("0/2", "0/3"), "its GT, '0/3', names an allele that ALT lacks"),
        (ROW.replace("0/2", "a/b"), "its GT, 'a/b', is no genotype"),
        (ROW.replace("0/2", "9" * 5000), f"its GT, '{'9' * 30}', is no genotype"),
        (ROW.replace("\tA\t", "\t\t"), "has an empty CHROM, REF or ALT"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_its_number(tmp_path, row, fault):
    with pytest.raises(InputError) as error:
        records(tmp_path, HEADER + ROW + row)
    (problem,) = error.value.problems
    assert (problem.subject, problem.what) == (f"{tmp_path}/a.vcf, line 6", fault)


def test_many_such_lines_are_told_in_few(tmp_path):
    with pytest.raises(InputError) as error:
        records(tmp_path, HEADER + "words and words\n" * 50)
    assert [problem.what for problem in error.value.problems][-1] == "45 more lines cannot be read"
    assert len(error.value.problems) == 6


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "cannot be read as VCF (it has no line that begins with #CHROM)"),
        (HEADER.split("#CHROM")[0], "cannot be read as VCF (it has no line that begins with #CHROM)"),
        ("c\t5\t.\tA\tC\n", "cannot be read as VCF (its first lines are no header)"),
        (TEXT.replace("#CHROM\tPOS", "#CHROM POS"), "cannot be read as VCF (its #CHROM line does not name VCF's"),
        (TEXT.replace("\tS\n", "\tS\tS\n"), "names sample 'S' twice"),
        (bz2.compress(TEXT.encode()), "is compressed with bzip2"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "cannot be read to its end as VCF "),
        (bytes(range(256)), "cannot be read as VCF (its first lines are no header)"),
    ],
)  # fmt: skip
def test_what_is_not_vcf_is_told_by_its_cause(tmp_path, data, what):
    with pytest.raises(InputError) as error:
        records(tmp_path, data)
    assert error.value.problems[0].what.startswith(what)


def test_bgzip_that_lost_its_end_between_two_lines_is_told(tmp_path):
    (tmp_path / "a.vcf").write_text(TEXT)
    pysam.tabix_compress(str(tmp_path / "a.vcf"), str(tmp_path / "a.vcf.gz"))
    whole = (tmp_path / "a.vcf.gz").read_bytes()
    (tmp_path / "a.vcf.gz").write_bytes(whole[:-28])
    with pytest.raises(InputError, match=r"a\.vcf\.gz: is truncated: its end-of-file block is missing"):
        list(VcfText(tmp_path / "a.vcf.gz").records("S"))


def test_lines_of_contigs_that_are_not_wanted_are_not_looked_at(tmp_path):
    (tmp_path / "a.vcf").write_text(TEXT + "d\tx\n" + ROW.replace("c\t", "e\t"))
    text = VcfText(tmp_path / "a.vcf")
    assert [record.contig for record in text.records("S", {"c"})] == ["c"]
    assert text.contigs == ["c", "d", "e"]


LETTERS = 'c\t5.ACGTN/|012,*<>:"\n\r #'


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.text(LETTERS, max_size=80).map(str.encode), st.booleans())
def test_any_vcf_is_read_or_refused(data, follows):
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(InputError):
        path = Path(folder) / "a.vcf"
        path.write_bytes((HEADER.encode() if follows else b"") + data)
        vcf = GenotypedVcf(path)
        for contig in vcf.contigs:
            assert all(any(v.alleles) for v in vcf.variants(contig, lambda start, stop: "N" * (stop - start), 38))


CELLS = "c d 5 0 37 39 . A a R AC <DEL> * A,C C,<*> GT DP 0/1 1|. 0/1/1 1 2/1"
CELL = st.sampled_from(["", *CELLS.split()])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(*[CELL] * 10), max_size=4))
def test_any_cells_are_read_or_refused(rows):
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(InputError):
        path = Path(folder) / "a.vcf"
        path.write_text(HEADER + "".join("\t".join(row) + "\n" for row in rows))
        vcf = GenotypedVcf(path)
        for contig in vcf.contigs:
            for variant in vcf.variants(contig, lambda start, stop: "N" * (stop - start), 38):
                assert variant.edits != (None, None)
