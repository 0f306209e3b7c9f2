"""Whether a FASTA file's index is its own, and the MD5 of contigs."""

import os
import random
import shutil

import pysam
import pytest

from diffbio_core.problems import InputError
from diffbio_io.fasta import FastaFile, md5_of_contigs
from diffbio_io.reference import Reference

DRAW = random.Random(4)
FIRST, SECOND = ("".join(DRAW.choices("ACGTacgtN", k=length)) for length in (150_000, 333))


def write(path, *contigs, width=60, end="\n", compress=False):
    text = "".join(
        f">{name} title{end}" + "".join(s[at : at + width] + end for at in range(0, len(s), width))
        for name, s in contigs
    )
    path.write_bytes(text.encode())
    if compress:
        pysam.tabix_compress(str(path), f"{path}.gz")
        path.unlink()
        path = path.with_name(f"{path.name}.gz")
    pysam.faidx(str(path))
    return path


def refused(path):
    for ending in (".fai", ".gzi"):
        if os.path.exists(f"{path}{ending}"):
            os.utime(f"{path}{ending}")
    with pytest.raises(InputError) as error:
        Reference(path)
    (problem,) = error.value.problems
    assert "run `samtools faidx` on the file again" in problem.remedy
    return problem.what.replace(str(path), "FILE")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("width", [60, 1_000_000])
def test_a_files_own_index_fits(tmp_path, compress, end, width):
    path = write(tmp_path / "r.fa", ("a", FIRST), ("b", SECOND), ("c", "ACGT"), width=width, end=end, compress=compress)
    assert FastaFile(path).index_fault() is None
    assert Reference(path).sequence("b", 0, 333) == "".join(c if c in "ACGT" else "N" for c in SECOND.upper())


@pytest.mark.parametrize("text", [">a\n\n>b\nACGT\n", "\n\n>b\nACGT\n\n\n", ">b\nACGT", ">a\nAC\n\n\n>b\nACGT\n"])
def test_empty_lines_and_sequences_do_no_harm(tmp_path, text):
    path = tmp_path / "r.fa"
    path.write_text(text)
    assert Reference(path).sequence("b", 0, 4) == "ACGT"


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("others", "width", "what"),
    [
        ((("a", FIRST[:-10]), ("b", SECOND)), 60, "lets the sequence before 'b' end within a line"),
        ((("a", FIRST),), 60, "lists fewer sequences than the file holds"),
        ((("b", FIRST), ("a", SECOND)), 60, "has 'b' at another place"),
        ((("a", FIRST), ("b", SECOND)), 70, "has lines of another length in 'a'"),
        ((("a", FIRST), ("b", SECOND[:-1])), 60, "lists fewer sequences than the file holds"),
        ((("a", FIRST), ("b", SECOND), ("c", "ACGT")), 60, "has 'c' at another place"),
    ],
)
def test_an_index_of_another_file_is_refused(tmp_path, compress, others, width, what):
    path = write(tmp_path / "r.fa", ("a", FIRST), ("b", SECOND), compress=compress)
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other" / "r.fa", *others, width=width, compress=compress)
    shutil.copy(f"{other}.fai", f"{path}.fai")
    assert refused(path) == f"is not the index of FILE: it {what}"


def test_a_name_that_two_sequences_have_is_refused(tmp_path):
    path = tmp_path / "r.fa"
    path.write_text(">a\nACGT\n>a\nGGGG\n>b\nAC\n")
    assert refused(path) == (
        "is not the index of FILE: it leaves out a sequence before 'b' (a name that two have, perhaps)"
    )


@pytest.mark.parametrize("text", ["", "a\t1\n", "a\tx\t3\t4\t5\n", "a\t5\t3\t0\t0\n", "a\t5\t-3\t4\t5\n"])
def test_a_damaged_index_is_refused(tmp_path, text):
    path = write(tmp_path / "r.fa", ("a", SECOND))
    (tmp_path / "r.fa.fai").write_text(text)
    with pytest.raises(InputError, match=r"r\.fa"):
        Reference(path)


def test_a_cut_off_block_index_is_refused(tmp_path):
    path = write(tmp_path / "r.fa", ("a", FIRST), compress=True)
    index = tmp_path / "r.fa.gz.gzi"
    index.write_bytes(index.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"r\.fa\.gz"):
        Reference(path)


@pytest.mark.parametrize("compress", [False, True])
def test_md5_is_that_of_samtools(tmp_path, compress):
    path = write(tmp_path / "r.fa", ("a", FIRST), ("b", SECOND), end="\r\n", compress=compress)
    pysam.dict("-o", str(tmp_path / "r.dict"), str(path), catch_stdout=False)
    _, *lines = (tmp_path / "r.dict").read_text().splitlines()
    fields = [dict(field.split(":", 1) for field in line.split("\t")[1:]) for line in lines]
    assert md5_of_contigs(path, ["a", "b"]) == {entry["SN"]: entry["M5"] for entry in fields}
