"""Regions and BED files as intervals."""

import bz2
import contextlib
import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.problems import InputError
from diffbio_io.regions import merge_intervals, parse_region, read_bed, resolve_regions

CONTIGS = {"chr20": 5000, "chr21": 300, "HLA-A*01:01": 200}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr20", ("chr20", 0, 5000)),
        ("chr20:1-2,000", ("chr20", 0, 2000)),
        ("chr20:100", ("chr20", 99, 5000)),
        ("chr20:100-", ("chr20", 99, 5000)),
        ("chr20:7-7", ("chr20", 6, 7)),
        ("HLA-A*01:01", ("HLA-A*01:01", 0, 200)),
        ("HLA-A*01:01:5-9", ("HLA-A*01:01", 4, 9)),
    ],
)
def test_a_region_becomes_a_half_open_interval(text, expected):
    assert parse_region(text, CONTIGS) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20:1-5", "The reference calls it 'chr20'"),
        ("chrX", r"no contig 'chrX'.*Its contigs are: chr20, chr21, HLA-A\*01:01\."),
        ("chr20:0-5", "positions count from 1"),
        ("chr20:9-5", "ends before it starts"),
        ("chr20:1-5001", r"reaches to 5,001, but chr20 is 5,000 bp long"),
        ("chr20:6000", r"reaches to 6,000"),
        ("chr20:a-b", "is not a region"),
        ("", "is not a region"),
    ],
)
def test_a_bad_region_tells_what_is_wrong(text, message):
    with pytest.raises(InputError, match=message):
        parse_region(text, CONTIGS)


def test_regions_and_bed_are_joined_in_the_contigs_order(tmp_path):
    bed = tmp_path / "r.bed"
    bed.write_text("track name=x\n# comment\nchr21 5 9\nchr20\t10\t20\tname\n\nchr20\t20\t30\nchr20\t40\t40\n")
    resolved = resolve_regions(CONTIGS, ["chr20:26-50"], bed)
    assert list(resolved.items()) == [("chr20", ((10, 50),)), ("chr21", ((5, 9),))]


def test_without_regions_every_contig_is_taken_whole():
    assert resolve_regions(CONTIGS)["chr21"] == ((0, 300),)
    assert list(resolve_regions(CONTIGS)) == list(CONTIGS)


def test_a_gzipped_bed_reads_as_the_plain_one(tmp_path):
    bed = tmp_path / "r.bed.gz"
    bed.write_bytes(gzip.compress(b"chr20\t10\t20\r\n"))
    assert read_bed(bed) == {"chr20": ((10, 20),)}


def test_every_problem_is_told_at_once(tmp_path):
    bed = tmp_path / "r.bed"
    bed.write_text("chr20\t10\t20\nchr9\t1\t2\nchr21\t0\t301\n")
    with pytest.raises(InputError) as error:
        resolve_regions(CONTIGS, ["chr20:x", "chr20"], bed)
    assert [problem.subject for problem in error.value.problems] == [
        "region 'chr20:x'",
        f"{bed}, line 2",
        f"{bed}, line 3",
    ]


def bed(tmp_path, data):
    path = tmp_path / "r.bed"
    path.write_bytes(data)
    return read_bed(path)


@pytest.mark.parametrize(
    "data",
    [
        b"chr20\t10\t20",
        b"\xef\xbb\xbfchr20\t10\t20\r\n\r\n",
        "chr20\t10\t20\r\n".encode("utf-16"),
        b'"chr20"\t"10"\t"20"\t\t\n\t\t\n\n',
        b"chr20 10 20  \n   \n",
        b"browser position chr20\ntrack\tname=x\nchr20\t10\t20\tM\xfcller\n",
        gzip.compress(b"chr20\t10\t15\n", mtime=0) + gzip.compress(b"chr20\t15\t20\n", mtime=0),
        b"@HD\tVN:1.6\n@SQ\tSN:chr20\tLN:5000\nchr20\t11\t20\t+\tname\n",
    ],
)
def test_files_of_editors_spreadsheets_and_picard_are_read(tmp_path, data):
    assert bed(tmp_path, data) == {"chr20": ((10, 20),)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bz2.compress(b"chr20\t1\t2\n"), "is compressed with bzip2"),
        (gzip.compress(b"chr20\t1\t2\n" * 99, mtime=0)[:-9], "cannot be read to its end as BED"),
        (b"chr20,1,2\n", r"has 1 field \(they are separated by commas\)"),
        (b"\t1\t2\n", "names no contig"),
        (b"chr20\t1\t" + b"9" * 5000 + b"\n", "its end, '9{40}', is not a whole number"),
        (b"chr20\t1.5\t2\n", r"its start, '1\.5', is not"),
        (b"@SQ\tSN:chr20\nchr20\t0\t2\n", "starts at 0, but positions count from 1 here"),
        (b"@SQ\tSN:chr20\nchr20\tx\t2\n", r"An interval_list line is contig, start \(counted from 1\)"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_cause(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        bed(tmp_path, data)


def test_a_bed_of_another_build_is_told_and_other_contigs_are_left_out(tmp_path):
    path = tmp_path / "r.bed"
    path.write_text("chr20\t10\t20\nchr9\t1\t9000\n")
    assert read_bed(path, CONTIGS) == {"chr20": ((10, 20),)}
    path.write_text("chr9\t1\t9000\n")
    assert read_bed(path, CONTIGS) == {"chr9": ((1, 9000),)}
    path.write_text("chr20\t10\t5001\nchr9\t1\t9000\n")
    with pytest.raises(InputError, match="line 1: reaches to 5,001, but chr20 is 5,000 bp long"):
        read_bed(path, CONTIGS)


@given(st.binary(max_size=60) | st.text('chr20\t -1.@#,\n\r"', max_size=60).map(str.encode))
def test_any_bed_is_read_or_refused(data):
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(InputError):
        assert bed(Path(folder), data)
    for text in data.decode("latin-1").split("\n"):
        with contextlib.suppress(InputError):
            contig, start, stop = parse_region(text, CONTIGS)
            assert 0 <= start < stop <= CONTIGS[contig]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr20\t5", "has 2 fields, but three are needed"),
        ("chr20\tfive\t9", "its start, 'five', is not a whole number"),
        ("chr20\t-1\t9", "its start, '-1'"),
        ("chr20\t9\t5", r"ends \(5\) before it starts \(9\)"),
    ],
)
def test_a_malformed_bed_line_is_told_with_its_number(tmp_path, line, message):
    bed = tmp_path / "r.bed"
    bed.write_text(f"chr20\t1\t2\n{line}\n")
    with pytest.raises(InputError, match=rf"line 2: .*{message}"):
        read_bed(bed)


def test_a_file_of_another_kind_is_told_in_few_lines(tmp_path):
    bed = tmp_path / "r.bed"
    bed.write_text("\n".join("some words" for _ in range(500)))
    with pytest.raises(InputError, match="490 more lines are wrong"):
        read_bed(bed)


def test_an_empty_or_missing_bed_is_told(tmp_path):
    (tmp_path / "empty.bed").write_text("")
    with pytest.raises(InputError, match="holds no interval"):
        resolve_regions(CONTIGS, bed=tmp_path / "empty.bed")
    with pytest.raises(InputError, match="no such file"):
        read_bed(tmp_path / "none.bed")


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))))
def test_merging_keeps_exactly_the_covered_positions(intervals):
    merged = merge_intervals(intervals)
    covered = {position for start, stop in intervals for position in range(start, stop)}
    assert {position for start, stop in merged for position in range(start, stop)} == covered
    assert all(merged[i][1] < merged[i + 1][0] for i in range(len(merged) - 1))
