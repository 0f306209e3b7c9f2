"""The look at alignments, each fault on a real file that has it."""

import gzip
import hashlib
import os
import random
import re
import shutil
import subprocess
import time

import pysam
import pytest

from diffbio_io.alignments.preflight import check_alignment

SEQUENCE = "".join(random.Random(3).choices("ACGT", k=2000))
LENGTHS = {"c1": 2000, "c2": 500}
READS = [("c1", 100), ("c1", 140), ("c1", 900)]


def write_reads(path, *, samples=("S",), order="coordinate", reads=READS, lengths=LENGTHS, index=True, reference=None):
    header = {
        "HD": {"VN": "1.6", "SO": order},
        "SQ": [{"SN": name, "LN": length} for name, length in lengths.items()],
        "RG": [{"ID": f"g{number}", "SM": name} for number, name in enumerate(samples)],
    }
    mode = "wc" if path.suffix == ".cram" else "wb"
    with pysam.AlignmentFile(str(path), mode, header=header, reference_filename=reference) as file:
        for number, (contig, start) in enumerate(reads):
            read = pysam.AlignedSegment(file.header)
            read.query_name = f"r{number}"
            read.reference_id, read.reference_start = file.get_tid(contig), start
            read.mapping_quality = 60
            read.cigarstring = "50M"
            read.query_sequence = SEQUENCE[start : start + 50]
            read.query_qualities = pysam.qualitystring_to_array("I" * 50)
            file.write(read)
    if index:
        pysam.index(str(path))
    return path


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "r.fa"
    path.write_text(f">c1\n{SEQUENCE}\n>c2\n{SEQUENCE[:500]}\n")
    pysam.faidx(str(path))
    return str(path)


def told(path, reference, **options):
    options = {"contigs": LENGTHS, **options}
    return "\n".join(map(str, check_alignment(path, reference, **options).problems))


@pytest.mark.parametrize("kind", ["bam", "cram"])
def test_a_good_file_has_no_problem_and_tells_what_it_holds(tmp_path, reference, kind):
    report = check_alignment(write_reads(tmp_path / f"a.{kind}", reference=reference), reference, LENGTHS)
    assert report.problems == ()
    assert (report.sample, report.contigs_with_reads) == ("S", ("c1",))
    assert report.mapped_reads == (3 if kind == "bam" else None)


def test_a_missing_file(tmp_path, reference):
    assert told(tmp_path / "none.bam", reference).endswith("none.bam: no such file. Give aligned reads as BAM or CRAM.")


@pytest.mark.parametrize("content", [b"", b"text\n", gzip.compress(b"text\n", mtime=0)])
def test_what_is_not_bam_or_cram(tmp_path, reference, content):
    (tmp_path / "a.bam").write_bytes(content)
    assert "a.bam: is neither BAM nor CRAM." in told(tmp_path / "a.bam", reference)


def test_sam_text_is_told_how_to_be_converted(tmp_path, reference):
    (tmp_path / "a.sam").write_text("@SQ\tSN:c1\tLN:2000\n")
    assert "a.sam: is SAM text" in told(tmp_path / "a.sam", reference)


@pytest.mark.parametrize("kind", ["bam", "cram"])
@pytest.mark.parametrize("lost", [10, 40])
def test_a_truncated_file(tmp_path, reference, kind, lost):
    path = write_reads(tmp_path / f"a.{kind}", reference=reference)
    path.write_bytes(path.read_bytes()[:-lost])
    assert "is truncated: its end-of-file block is missing" in told(path, reference)


@pytest.mark.parametrize("order", ["coordinate", "unsorted"])
def test_an_unsorted_file_is_told_to_be_sorted_not_indexed(tmp_path, reference, order):
    path = write_reads(tmp_path / "a.bam", order=order, reads=READS[::-1], index=False)
    problems = told(path, reference)
    assert f"is not sorted by position (its header says '{order}')" in problems
    assert "no index" not in problems


def test_a_file_sorted_by_name(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam", order="queryname", index=False)
    assert "is not sorted by position (its header says 'queryname')" in told(path, reference)


@pytest.mark.parametrize("kind", ["bam", "cram"])
def test_no_index(tmp_path, reference, kind):
    path = write_reads(tmp_path / f"a.{kind}", index=False, reference=reference)
    assert f"has no index (.bai, .csi or .crai) beside it. Make one: `samtools index {path}`." in told(path, reference)


@pytest.mark.parametrize("kind", ["bam", "cram"])
def test_an_index_older_than_its_file(tmp_path, reference, kind):
    path = write_reads(tmp_path / f"a.{kind}", reference=reference)
    index = f"{path}.{'bai' if kind == 'bam' else 'crai'}"
    os.utime(index, (0, 0))
    assert f"{index}: is older than {path}" in told(path, reference)


def test_an_index_of_now_whose_file_has_a_time_in_the_future(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam", reference=reference)
    os.utime(path, (time.time() + 86_400,) * 2)
    what = f"{path}.bai: is older than {path}, whose time of change lies in the future"
    assert f"{what}. `touch {path}` first. Make it again" in told(path, reference)


def test_an_index_that_is_none(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam", index=False)
    (tmp_path / "a.bam.bai").write_bytes(b"not an index at all")
    assert "a.bam.bai: cannot be read as an index" in told(path, reference)


def test_no_reads_where_calls_are_wanted(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam")
    assert "has no reads in the regions asked for" in told(path, reference, regions={"c1": ((0, 90),)})
    assert "has no reads in the regions asked for" in told(path, reference, regions={"c2": ((0, 500),)})
    assert told(path, reference, regions={"c1": ((0, 90), (160, 200))}) == ""


def test_a_file_without_mapped_reads(tmp_path, reference):
    assert "has no reads that are mapped" in told(write_reads(tmp_path / "a.bam", reads=[]), reference)


def test_a_contig_with_reads_that_the_reference_lacks(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam")
    assert "has reads on 1 contig that the reference lacks: c1." in told(path, reference, contigs={"c2": 500})


def test_names_that_differ_by_chr_are_hinted_at(tmp_path, reference):
    assert "'chr'" in told(write_reads(tmp_path / "a.bam"), reference, contigs={"chrc1": 2000})


def test_a_contig_without_reads_or_not_asked_for_may_be_missing(tmp_path, reference):
    assert told(write_reads(tmp_path / "a.bam"), reference, contigs={"c1": 2000}) == ""
    path = write_reads(tmp_path / "b.bam", reads=[*READS, ("c2", 5)])
    assert told(path, reference, contigs={"c1": 2000}, regions={"c1": ((0, 2000),)}) == ""


def test_a_contig_of_another_length(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam")
    assert "c1 is 2,000 bp long in its header, but 1,999 in the reference" in told(
        path, reference, contigs={"c1": 1999, "c2": 500}
    )


def test_cram_that_its_reference_does_not_decode(tmp_path, reference):
    path = write_reads(tmp_path / "a.cram", reference=reference)
    other = tmp_path / "other.fa"
    other.write_text(f">c1\n{SEQUENCE[::-1]}\n")
    pysam.faidx(str(other))
    assert "a.cram: its reads on c1 cannot be decoded with this reference" in told(path, str(other))


def test_cram_of_version_2_has_another_end(tmp_path, reference):
    path = write_reads(tmp_path / "a.cram", reference=reference)
    old = tmp_path / "old.cram"
    pysam.view(
        "-C", "--output-fmt-option", "version=2.1", "-T", reference, "-o", str(old), str(path), catch_stdout=False
    )
    pysam.index(str(old))
    assert old.read_bytes()[:6] == b"CRAM\x02\x01"
    assert told(old, reference) == ""
    old.write_bytes(old.read_bytes()[:-1])
    assert "is truncated" in told(old, reference)


def test_damage_inside_a_bam_file(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam", reads=[("c1", start) for start in range(1500)])
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(bytes(data))
    os.utime(f"{path}.bai")
    assert "is damaged" in told(path, reference)


def test_no_sample(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam", samples=())
    found = check_alignment(path, reference, LENGTHS)
    assert (found.sample, found.problems) == ("a", ())
    (warning,) = found.warnings
    assert "names no sample (no SM in any @RG line of its header). It is called a, as the file is" in str(warning)
    named = check_alignment(path, reference, LENGTHS, sample="N")
    assert (named.sample, named.warnings) == ("N", ())


def test_no_sample_and_a_file_whose_name_cannot_be_a_columns(tmp_path, reference):
    path = write_reads(tmp_path / "a\tb.bam", samples=())
    assert "names no sample (no SM in any @RG line of its header). Name it with --sample." in told(path, reference)


def test_several_samples(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam", samples=("A", "B", "A"))
    assert "holds reads of 2 samples: A, B." in told(path, reference)
    assert "of which one cannot be called alone" in told(path, reference, sample="A")
    assert check_alignment(path, reference, LENGTHS, sample="N").sample == "N"


def test_all_problems_are_told_at_once(tmp_path, reference):
    path = write_reads(tmp_path / "a.bam", samples=("A", "B"), index=False)
    problems = told(path, reference, contigs={"c1": 5}, regions={"c1": ((0, 5),)}).splitlines()
    assert [("2 samples" in p, "no index" in p, "bp long" in p).index(True) for p in problems] == [0, 1, 2]


def with_md5(path, value):
    """The file with M5 in its header's lines of contigs."""
    header = path.with_name("h.sam")
    header.write_text(pysam.view("-H", "--no-PG", str(path)).replace("\tLN:", f"\tM5:{value}\tLN:"))
    other = path.with_name("md5.bam")
    pysam.reheader("--no-PG", str(header), str(path), save_stdout=str(other))
    pysam.index(str(other))
    return other


def test_a_reference_of_other_bases_than_the_headers_md5_is_refused_with_both(tmp_path, reference):
    right = hashlib.md5(SEQUENCE.encode()).hexdigest()
    reads = write_reads(tmp_path / "a.bam")
    assert told(with_md5(reads, right.upper()), reference) == ""
    path = with_md5(reads, "0" * 32)
    assert f"its header gives c1 the MD5 {'0' * 32} (M5 of @SQ), but in {reference} it is {right}" in told(
        path, reference
    )


def test_bases_in_lower_case_have_the_same_md5(tmp_path):
    lower = tmp_path / "lower.fa"
    lower.write_text(f">c1\n{SEQUENCE.lower()}\n>c2\n{SEQUENCE[:500]}\n")
    pysam.faidx(str(lower))
    md5 = hashlib.md5(SEQUENCE.encode()).hexdigest()
    assert told(with_md5(write_reads(tmp_path / "a.bam"), md5), str(lower)) == ""


def test_md5_of_contigs_that_are_not_called_does_not_matter(tmp_path, reference):
    path = with_md5(
        write_reads(tmp_path / "a.bam", reads=[*READS, ("c2", 5)]), hashlib.md5(SEQUENCE.encode()).hexdigest()
    )
    assert told(path, reference, regions={"c1": ((0, 2000),)}) == ""
    assert "its header gives c2 the MD5" in told(path, reference)


def test_what_is_advised_about_md5_works(tmp_path, reference):
    if shutil.which("samtools") is None:
        pytest.skip("samtools is not installed")
    path = with_md5(write_reads(tmp_path / "a.bam"), "0" * 32)
    command = re.search("drop the claim: `(.*)`", told(path, reference))
    subprocess.run(command[1], shell=True, check=True, cwd=tmp_path)
    pysam.index(str(tmp_path / "other.bam"))
    assert told(tmp_path / "other.bam", reference) == ""
