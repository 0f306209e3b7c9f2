"""Whether an index is its file's, whatever the clock says."""

import gzip
import os
import shutil

import pysam
import pytest

from diffbio_core.problems import InputError
from diffbio_io.alignments.header import read_header
from diffbio_io.alignments.index_file import check_index
from diffbio_io.alignments.preflight import check_alignment
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, write_bam

CONTIGS = {"c1": 3000, "c2": 3000, "empty": 500}
READS = [Sam(start, "100M", contig=contig, name=f"{contig}{start}") for contig in ("c1", "c2") for start in (10, 700)]


def checked(path):
    header = read_header(path)
    return check_index(path, list(header.contigs), header.first_contig, is_cram=header.is_cram)


def fault(path):
    with pytest.raises(InputError) as error:
        checked(path)
    (problem,) = error.value.problems
    assert f"`samtools index {path}`" in problem.remedy
    return problem.what.replace(str(path), "FILE")


@pytest.fixture(params=["bai", "csi"])
def kind(request):
    return request.param


@pytest.fixture
def bam(tmp_path, kind):
    return write_bam(tmp_path / "a.bam", READS, CONTIGS, index=kind)


def other_index(tmp_path, kind, reads=READS, contigs=CONTIGS):
    """The index of another file, in the place of ``a.bam``'s."""
    (tmp_path / "other").mkdir()
    write_bam(tmp_path / "other" / "a.bam", reads, contigs, index=kind)
    shutil.copy(tmp_path / "other" / f"a.bam.{kind}", tmp_path / f"a.bam.{kind}")


def test_a_files_own_index_tells_of_its_reads(bam):
    found = checked(bam)
    assert (found.reads, found.counts, found.warnings) == ({"c1": 2, "c2": 2}, True, ())


def test_reads_that_are_not_mapped_may_follow(tmp_path, kind):
    bam = write_bam(tmp_path / "a.bam", READS, CONTIGS, index=kind)
    with_tail = tmp_path / "tail.bam"
    with (
        pysam.AlignmentFile(str(bam), check_sq=False) as source,
        pysam.AlignmentFile(str(with_tail), "wb", template=source) as sink,
    ):
        for record in source:
            sink.write(record)
        record = pysam.AlignedSegment(sink.header)
        record.query_name, record.is_unmapped, record.query_sequence = "u", True, "ACGT"
        sink.write(record)
    pysam.index(*(["-c"] if kind == "csi" else []), str(with_tail))
    assert checked(with_tail).reads == {"c1": 2, "c2": 2}


@pytest.mark.parametrize(
    ("reads", "what"),
    [
        (READS[:2], "is not the index of FILE: where it has the end of the mapped reads, there is "),
        (READS[2:], "is not the index of FILE: it begins with another contig's reads"),
        ([], "is not the index of FILE: it knows of no reads"),
        ([*READS, Sam(5, "50M", contig="empty")], "is not the index of FILE: where it has "),
        ([Sam(5, "50M"), *READS], "is not the index of FILE: where it has "),
    ],
)
def test_a_younger_index_of_other_reads_is_refused(tmp_path, kind, bam, reads, what):
    other_index(tmp_path, kind, reads)
    assert fault(bam).startswith(what)


def test_a_file_that_is_cut_off_between_two_blocks_is_refused(tmp_path, kind):
    reads = [Sam(start, "100M", contig="c1", name=f"read{start}") for start in range(2000)]
    whole = write_bam(tmp_path / "whole.bam", reads, {"c1": 3000}, index=kind)
    data, starts = whole.read_bytes(), [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + int.from_bytes(data[starts[-1] + 16 : starts[-1] + 18], "little") + 1)
    assert len(starts) > 4
    cut = tmp_path / "cut.bam"
    cut.write_bytes(data[: starts[2]] + data[starts[-2] :])  # the last block is empty: what ends a file
    shutil.copy(f"{whole}.{kind}", f"{cut}.{kind}")
    told = "it has reads behind the end of the file, which is cut off if it was not written anew"
    assert fault(cut) == f"is not the index of FILE: {told}"


def test_an_index_of_more_contigs_is_refused(tmp_path, kind, bam):
    other_index(tmp_path, kind, contigs={**CONTIGS, "more": 10})
    assert fault(bam).startswith("is not the index of FILE: it is of 4 contigs, of which the header names 3")


@pytest.mark.parametrize("left", [0, 3, 4, 20, 60])
def test_a_cut_off_index_is_refused(bam, kind, left):
    index = bam.with_name(f"a.bam.{kind}")
    index.write_bytes(index.read_bytes()[:left])
    assert fault(bam).startswith("cannot be read as an index (")


def test_the_reader_takes_the_index_that_was_checked(tmp_path):
    bam = write_bam(tmp_path / "a.bam", READS[:2], CONTIGS)
    shutil.copy(bam, tmp_path / "old.bam")
    shutil.copy(f"{bam}.bai", tmp_path / "old.bai")
    write_bam(bam, READS, CONTIGS, index="csi")
    shutil.copy(tmp_path / "old.bai", f"{bam}.bai")
    os.utime(f"{bam}.bai", (0, 0))
    found = checked(bam)
    assert (found.path.name, [warning.what for warning in found.warnings]) == (
        "a.bam.csi",
        ["is older than a.bam and was not used (a.bam.csi was)"],
    )
    assert check_alignment(bam, None, CONTIGS).warnings == found.warnings
    with AlignmentReader(bam) as reader:
        assert reader._index is not None
        assert reader._index.mapped == [2, 2, 0]


@pytest.fixture
def cram(tmp_path):
    """Several containers: one read each."""
    (tmp_path / "r.fa").write_text(
        "".join(f">{name}\n{'ACGTTGCA' * (length // 8)}\n" for name, length in CONTIGS.items())
    )
    return write_cram(tmp_path, "a", READS)


def write_cram(tmp_path, name, reads):
    bam = write_bam(tmp_path / f"{name}.bam", reads, CONTIGS)
    cram = tmp_path / f"{name}.cram"
    options = ["--output-fmt-option", "seqs_per_slice=1"]
    pysam.view("-C", *options, "-T", str(tmp_path / "r.fa"), "-o", str(cram), str(bam), catch_stdout=False)
    pysam.index(str(cram))
    return cram


def test_a_cram_index_tells_which_contigs_have_reads(cram):
    assert set(checked(cram).reads) == {"c1", "c2"}
    assert not checked(cram).counts


def test_a_cram_index_may_be_plain_text(cram):
    index = cram.with_name("a.cram.crai")
    index.write_bytes(gzip.decompress(index.read_bytes()))
    assert set(checked(cram).reads) == {"c1", "c2"}


@pytest.mark.parametrize("reads", [READS[1:], []])
def test_a_cram_index_of_other_reads_is_refused(tmp_path, cram, reads):
    shutil.copy(f"{write_cram(tmp_path, 'b', reads)}.crai", f"{cram}.crai")
    # Where its reads begin follows from how well the header, which holds the reference's path, can be compressed.
    told = ("it begins at other reads", "it ends before the file's reads do")
    assert fault(cram) in [f"is not the index of FILE: {why}" for why in told]


def test_a_cram_index_of_a_shorter_state_is_refused(tmp_path, cram):
    index = tmp_path / "a.cram.crai"
    entries = gzip.decompress(index.read_bytes()).splitlines(keepends=True)
    assert len(entries) > 2
    index.write_bytes(b"".join(entries[:-1]))
    assert fault(cram) == "is not the index of FILE: it ends before the file's reads do"
    index.write_bytes(b"".join([*entries[:-1], entries[-1].replace(b"\t", b"\t1", 3)]))
    assert fault(cram) == "is not the index of FILE: where it has reads, there are none"


@pytest.mark.parametrize(
    "content", [b"x", b"0\t1\t2\t3\n", b"0\t1\t1\tx\t4\t5\n", gzip.compress(b"0\t1", mtime=0)[:-3], b"\x1f\x8b"]
)
def test_a_damaged_cram_index_is_refused(cram, content):
    cram.with_name("a.cram.crai").write_bytes(content)
    assert fault(cram).startswith("cannot be read as an index (")
