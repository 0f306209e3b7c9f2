"""The reference, on real small FASTA files."""

import gzip
import os
import re
import subprocess
import sys
import time

import numpy as np
import pysam
import pytest

from diffbio_core.problems import InputError
from diffbio_io.reference import Reference

FASTA = ">c1 a comment\nACGTacgtNn\nRYKM\n>c2\nTTTT\n"


@pytest.fixture(params=["plain", "bgzipped"])
def fasta(request, tmp_path):
    path = tmp_path / "reference.fa"
    path.write_text(FASTA)
    if request.param == "bgzipped":
        pysam.tabix_compress(str(path), f"{path}.gz")
        path = tmp_path / "reference.fa.gz"
    return path


def test_contigs_and_lengths_are_in_the_files_order(fasta):
    assert list(Reference(fasta).contigs.items()) == [("c1", 14), ("c2", 4)]


def test_lower_case_is_a_base_and_iupac_is_n(fasta):
    assert Reference(fasta).codes("c1", 0, 14).tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 4, 4, 4, 4, 4]
    assert Reference(fasta).sequence("c1", 2, 12) == "GTACGTNNNN"


def test_positions_off_the_contig_are_n(fasta):
    reference = Reference(fasta)
    assert reference.codes("c2", -2, 6).tolist() == [4, 4, 3, 3, 3, 3, 4, 4]
    assert reference.codes("c2", 10, 12).tolist() == [4, 4]
    assert reference.codes("c2", 3, 3).dtype == np.uint8


def test_a_built_index_is_the_one_that_samtools_builds(fasta):
    Reference(fasta)
    assert fasta.with_name(f"{fasta.name}.fai").read_text() == "c1\t14\t14\t10\t11\nc2\t4\t34\t4\t5\n"


def test_an_index_is_built_in_the_work_directory_when_the_folder_cannot_be_written(public_folder, unprivileged):
    path = public_folder / "r.fa"
    path.write_text(FASTA)
    work = public_folder / "work"
    work.mkdir()
    work.chmod(0o777)
    public_folder.chmod(0o555)
    with unprivileged():
        with pytest.raises(InputError, match="its folder cannot be written"):
            Reference(path)
        assert Reference(path, work).contigs["c2"] == 4
        assert Reference(path, work).indexed == work / "r.fa"
    assert sorted(each.name for each in work.iterdir()) == ["r.fa", "r.fa.fai"]
    assert (work / "r.fa").resolve() == path
    assert not (public_folder / "r.fa.fai").exists()
    public_folder.chmod(0o755)


def test_a_file_of_the_same_name_in_the_work_directory_is_neither_used_nor_replaced(public_folder, unprivileged):
    path, other = public_folder / "r.fa", public_folder / "work" / "r.fa"
    path.write_text(FASTA)
    other.parent.mkdir()
    other.write_text(">other\nACGT\n")
    Reference(other)
    other.parent.chmod(0o777)
    public_folder.chmod(0o555)
    with unprivileged(), pytest.raises(InputError, match="its folder cannot be written"):
        Reference(path, other.parent)
    assert other.read_text() == ">other\nACGT\n"
    assert (other.parent / "r.fa.fai").read_text() == "other\t4\t7\t4\t5\n"
    public_folder.chmod(0o755)


def test_processes_that_want_the_index_at_once_all_get_it_and_what_a_killed_one_left_goes(fasta):
    half = fasta.with_name(f".{fasta.name}.faidx")
    hold = (
        "import pathlib, sys, time; from diffbio_io.files.locks import locked_folder\n"
        "with locked_folder(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    killed = subprocess.Popen([sys.executable, "-c", hold, str(half)], stdout=subprocess.PIPE)
    with killed:
        assert killed.stdout.readline() == b"held\n"
        read = (
            "import sys; from diffbio_io.reference import Reference; assert Reference(sys.argv[1]).contigs['c2'] == 4"
        )
        readers = [subprocess.Popen([sys.executable, "-c", read, str(fasta)]) for _ in range(3)]
        (half / "fai").write_text("c1\t")
        killed.kill()
    assert [reader.wait(timeout=120) for reader in readers] == [0] * 3
    made = {fasta.name, f"{fasta.name}.fai"} | ({f"{fasta.name}.gzi"} if fasta.suffix == ".gz" else set())
    assert {path.name for path in fasta.parent.glob("*reference.fa*")} - {"reference.fa"} == made - {"reference.fa"}


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"none\.fa: no such file"):
        Reference(tmp_path / "none.fa")


def test_plain_gzip_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "r.fa.gz"
    path.write_bytes(gzip.compress(FASTA.encode()))
    with pytest.raises(InputError, match="bgzip"):
        Reference(path)


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02 not fasta"])
def test_what_is_not_fasta_is_refused(tmp_path, content):
    path = tmp_path / "r.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"r\.fa"):
        Reference(path)


def test_an_index_older_than_the_file_is_refused(fasta):
    Reference(fasta)
    os.utime(fasta.with_name(f"{fasta.name}.fai"), (0, 0))
    with pytest.raises(InputError, match="is older than"):
        Reference(fasta)


def test_a_file_that_was_written_while_the_clock_was_ahead_is_indexed_and_read_again(fasta):
    tomorrow = time.time() + 86_400
    os.utime(fasta, (tomorrow, tomorrow))
    for _ in range(2):
        with Reference(fasta) as reference:
            assert reference.contigs == {"c1": 14, "c2": 4}
    fai = fasta.with_name(f"{fasta.name}.fai")
    os.utime(fai)
    told = f"is older than {fasta}, whose time of change lies in the future. `touch {fasta}` first"
    with pytest.raises(InputError, match=re.escape(told)):
        Reference(fasta)
