"""Headers that old or careless tools write."""

import bz2
import gzip
import os
import re
import tempfile
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.problems import InputError
from diffbio_io.alignments.header import read_header
from diffbio_io.alignments.header_text import HeaderText
from diffbio_io.alignments.preflight import check_alignment
from tests.io.alignments.headers import write_raw_bam

SQ = b"@SQ\tSN:c\tLN:100\n"
RG = b"@RG\tID:r\tSM:S\n"


def header(tmp_path, text, contigs=((b"c", 100),)):
    return read_header(write_raw_bam(tmp_path / "a.bam", text, contigs))


def told(tmp_path, text, contigs=((b"c", 100),)):
    with pytest.raises(InputError) as error:
        header(tmp_path, text, contigs)
    return [problem.what for problem in error.value.problems]


@pytest.mark.parametrize(
    "line",
    [
        "@CO\tLabor Müller".encode("latin-1"),
        b"@CO",
        b"@CO\t\r",
        "@PG\tID:x\tCL:Müller".encode("latin-1"),
        "@RG\tID:s\tDS:Müller".encode("latin-1"),
        RG.strip(),
        b"@RG\tID:r\tPL:ILLUMINA",
        b"@RG\tID:t\tSM:",
        b"@PG\tID:x\n@PG\tID:x",
        b"@HD\tVN:1.6",
    ],
)
def test_lines_that_no_result_needs_are_read_without_a_word(tmp_path, line):
    found = header(tmp_path, SQ + RG + line + b"\n")
    assert (found.contigs, found.samples) == ({"c": 100}, ("S",))
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("line", "oddity"),
    [
        (b"@RG\tID:s\tillumina", "header line 3: has a field without a tag, 'illumina', which was passed over"),
        (b"@RG", None),
        (b"@1\tx", "header line 3: is of no known kind and was passed over"),
        (b"@CO\twith\0 a NUL", "header line 3: holds a NUL; what follows it was passed over"),
        ("@RG\tID:s\tSM:Müller".encode("latin-1"), "header line 3: is not UTF-8; SM was read as Latin-1"),
        (b"@SQ\tSN:c\tLN:100\tM5:abc", None),
    ],
)
def test_what_is_passed_over_or_guessed_is_told(tmp_path, line, oddity):
    warnings = header(tmp_path, (SQ if not line.startswith(b"@SQ") else b"@CO\n") + RG + line + b"\n").warnings
    assert check_alignment(tmp_path / "a.bam", None, {"c": 100}, sample="T").problems == ()
    lines = [re.sub("^.*a.bam, ", "", str(warning)).split(". Mend")[0] for warning in warnings]
    if oddity is None:
        oddity = "header line 3: has an M5 of 'c' that is no MD5 and was passed over"
        assert lines == ([oddity] if line.startswith(b"@SQ") else [])
    else:
        assert lines == [oddity]


def test_many_oddities_are_told_in_few_lines(tmp_path):
    warnings = header(tmp_path, SQ + b"@1\n" * 30).warnings
    assert [warning.what for warning in warnings][-1] == "27 more lines of its header are odd"
    assert len(warnings) == 4


@pytest.mark.parametrize("text", [b"", RG, b"\0\0", SQ + b"\0\0\0", SQ.replace(b"\n", b"\r\n"), b"@SQ\tLN:100\tSN:c\n"])
def test_the_list_of_contigs_needs_no_text(tmp_path, text):
    assert header(tmp_path, text).contigs == {"c": 100}


@pytest.mark.parametrize("length", [b"", b"\tLN:", b"\tLN:x", b"\tLN:-5", b"\tLN:" + b"9" * 5000])
def test_a_length_that_the_text_lacks_is_taken_from_the_list(tmp_path, length):
    found = header(tmp_path, b"@SQ\tSN:c" + length + b"\n")
    assert found.contigs == {"c": 100}
    assert found.warnings[0].what == "tells no length (LN) of 'c'"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (SQ.replace(b"100", b"99"), "c is 99 bp long in its header's text, but 100 in its list of contigs"),
        (SQ.replace(b"SN:c", b"SN:d"), "its contig 1 is 'd' in its header's text, but 'c' in its list of contigs"),
        (SQ + SQ.replace(b"SN:c", b"SN:d"), "names 2 contigs in its header's text, but 1 in its list of contigs"),
    ],
)
def test_text_and_list_that_contradict_each_other_are_refused(tmp_path, text, fault):
    assert told(tmp_path, text) == [fault]


@pytest.mark.parametrize("line", [b"words", b"", "@CO\tLabor".encode("utf-16")])
def test_lines_that_stop_samtools_are_told_with_their_number(tmp_path, line):
    path = write_raw_bam(tmp_path / "a.bam", SQ + line + b"\n" + RG, [(b"c", 100)])
    with pytest.raises(InputError, match=r"a\.bam, header line 2: does not begin with @: .*make the file again"):
        read_header(path)
    verbosity = pysam.set_verbosity(0)
    with pytest.raises(ValueError, match="valid header"):
        pysam.AlignmentFile(str(path))
    pysam.set_verbosity(verbosity)


def test_a_contig_named_twice_is_refused(tmp_path):
    assert told(tmp_path, b"", [(b"c", 100), (b"d", 5), (b"c", 100)]) == ["names contig 'c' twice in its header"]


def test_md5_is_taken_whatever_its_case(tmp_path):
    text = SQ.replace(b"\n", b"\tM5:" + b"ABCDEF0123456789" * 2 + b"\n")
    assert header(tmp_path, text).md5 == {"c": "abcdef0123456789" * 2}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is neither BAM nor CRAM"),
        (b"@HD\tVN:1.6\n", "is SAM text, which cannot be read by position"),
        (b"r\t0\tc\t6\t60\t10M\t*\t0\t0\tAAAAAAAAAA\t*\n", "is SAM text, which cannot be read by position"),
        (b"@read 1\nACGT\n+\nIIII\n", "is FASTQ: its reads are not aligned"),
        (bz2.compress(b"x"), "is compressed with bzip2"),
        (b"\x28\xb5\x2f\xfd0000", "is compressed with zstd"),
        (gzip.compress(b"x", mtime=0), "is neither BAM nor CRAM"),
        (b"CRAM\3\0", "is damaged: its header cannot be read (it is cut off)"),
        (b"CRAM\3\0" + bytes(500), "is damaged: its header cannot be read (no container starts at byte 26)"),
    ],
)
def test_files_of_other_kinds_are_told_by_name(tmp_path, content, what):
    path = tmp_path / "a.bam"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_header(path)
    assert [problem.what for problem in error.value.problems] == [what]


def test_what_is_no_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for name, what in [
        ("", "is a folder"),
        ("pipe", "is a pipe or a device, which cannot be read more than once"),
        ("link", "is a link to a file that is not there"),
        ("none", "no such file"),
    ]:
        with pytest.raises(InputError) as error:
            read_header(tmp_path / name)
        assert [problem.what for problem in error.value.problems] == [what]


def test_a_sample_that_no_column_can_be_named_is_refused(tmp_path):
    path = write_raw_bam(tmp_path / "a.bam", SQ + b"@RG\tID:r\tSM:a\1b\n", [(b"c", 100)])
    (problem,) = check_alignment(path, None, {"c": 100}).problems
    assert str(problem).endswith(
        r"names its sample 'a\x01b', which cannot be the name of a VCF's column. Name it with --sample."
    )
    assert check_alignment(path, None, {"c": 100}, sample="S").problems == ()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([b"@RG\t", b"@SQ\tSN:", b"\tSM:", b":", b"LN:", b"@HD"]))
    )
)
def test_any_text_is_read(parts):
    for parsed in (HeaderText.parse(b"\n".join(parts)), HeaderText.parse(b"".join(parts))):
        assert all(isinstance(number, int) and what for number, what in parsed.oddities)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_any_header_is_read_or_refused(text, follows):
    with tempfile.TemporaryDirectory() as folder:
        path = write_raw_bam(Path(folder) / "a.bam", (SQ + RG if follows else b"") + text, [(b"c", 100)])
        report = check_alignment(path, None, {"c": 100}, sample="S")
    assert report.sample == "S" or report.problems


def test_htslib_reads_what_we_read(tmp_path):
    path = write_raw_bam(tmp_path / "a.bam", SQ + RG + b"@CO\tM\xfcller\n", [(b"c", 100)])
    with pysam.AlignmentFile(str(path)) as file:
        assert file.count("c") == 1
