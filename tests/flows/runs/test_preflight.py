"""The whole preflight of a call, on real files."""

import random

import pysam
import pytest

from diffbio_core.problems import InputError, Problem
from diffbio_flows.runs.preflight import (
    check_call,
    check_disk,
    check_folder,
    check_memory,
    check_outputs,
    estimate_disk,
)
from diffbio_io.alignments.preflight import AlignmentReport

SEQUENCE = "".join(random.Random(3).choices("ACGT", k=2000))


@pytest.fixture
def files(tmp_path):
    """Reads on contig c1, and a reference that also has c2."""
    reference = tmp_path / "r.fa"
    reference.write_text(f">c1\n{SEQUENCE}\n>c2\nACGT\n")
    reads = tmp_path / "a.bam"
    header = {
        "HD": {"VN": "1.6", "SO": "coordinate"},
        "SQ": [{"SN": "c1", "LN": 2000}, {"SN": "c2", "LN": 4}],
        "RG": [{"ID": "g", "SM": "S"}],
    }
    with pysam.AlignmentFile(str(reads), "wb", header=header) as file:
        read = pysam.AlignedSegment(file.header)
        read.query_name, read.reference_id, read.reference_start, read.cigarstring = "r", 0, 100, "50M"
        read.query_sequence = SEQUENCE[100:150]
        file.write(read)
    pysam.index(str(reads))
    return reads, reference, tmp_path / "calls.vcf.gz"


def problems(*arguments, **options):
    with pytest.raises(InputError) as error:
        check_call(*arguments, **options)
    return [str(problem) for problem in error.value.problems]


def test_good_inputs_tell_sample_contigs_and_what_to_call(files):
    inputs = check_call(*files)
    assert inputs.sample == "S"
    assert inputs.contigs == {"c1": 2000, "c2": 4}
    assert inputs.intervals == {"c1": ((0, 2000),)}


def test_regions_and_sample_are_taken_over(files):
    inputs = check_call(*files, regions=["c1:101-120", "c2"], sample="N")
    assert inputs.intervals == {"c1": ((100, 120),)}
    assert inputs.sample == "N"


def test_the_preflight_writes_nothing_but_the_references_index(files):
    folder = files[0].parent
    before = {path.name for path in folder.iterdir()}
    check_call(*files, work_dir=folder / "work" / "of" / "run")
    assert {path.name for path in folder.iterdir()} - before == {"r.fa.fai"}


def test_all_problems_are_told_in_one_go(files):
    reads, reference, output = files
    (reads.parent / "a.bam.bai").unlink()
    bed = reads.parent / "r.bed"
    bed.write_text("c1\t1\t2\t\nc9\t1\t2\n")
    found = problems(
        reads,
        reference,
        output.parent / "none" / "calls.vcf",
        regions=["c1:9000"],
        bed=bed,
        haploid_contigs=["cY"],
        workers=10**6,
        more=[Problem("model", "is of other features", "Train it again.")],
    )
    wanted = ["c1:9000", "line 2", "--haploid-contigs", "no index", "does not end in .vcf.gz", "does not exist"]
    wanted += ["memory", "model"]
    assert len(found) == len(wanted)
    assert all(text in line for text, line in zip(wanted, found, strict=True))


def test_a_missing_reference_does_not_hide_faults_of_the_reads(files):
    reads, _, output = files
    found = problems(reads.parent / "none.bam", reads.parent / "none.fa", output)
    assert ["none.fa" in found[0], "none.bam" in found[1], len(found)] == [True, True, 2]


def test_an_output_that_exists_needs_force(files):
    files[2].write_text("")
    assert problems(*files) == [f"{files[2]}: exists. Name another file, or replace it with --force."]
    assert check_call(*files, force=True).sample == "S"


def test_outputs_must_be_new_files(tmp_path):
    taken = tmp_path / "a.vcf.gz"
    taken.write_text("")
    (tmp_path / "b.vcf.gz").mkdir()
    found = check_outputs(
        [taken, tmp_path / "b.vcf.gz", tmp_path / "c.vcf.gz", tmp_path / "c.vcf.gz"], [taken], force=True
    )
    assert [problem.what for problem in found] == [
        "is an input or another output of this run",
        "is a folder",
        "is an input or another output of this run",
    ]


def test_a_folder_that_cannot_be_written(public_folder, unprivileged):
    public_folder.chmod(0o555)
    with unprivileged():
        (problem,) = check_folder(public_folder, "calls.vcf.gz")
    assert problem.what == f"its folder {public_folder} cannot be written (Permission denied)"
    assert check_folder(public_folder / "file" / "x", "calls.vcf.gz")[0].what.endswith("does not exist")
    (public_folder / "file").touch()
    assert check_folder(public_folder / "file", "calls.vcf.gz")[0].what.endswith("is not a folder")


def test_memory_tells_both_numbers_and_how_many_workers_fit():
    (problem,) = check_memory(4, 3_500_000_000)
    assert str(problem) == "memory: 4 workers of 1.5 GB need 6.0 GB, but 3.5 GB are free. Run with --workers 2."
    assert check_memory(2, 3_500_000_000) == []
    assert check_memory(1, 10)[0].remedy == "Free memory first."


def test_disk_tells_both_numbers(tmp_path):
    (problem,) = check_disk(tmp_path, 10**18)
    assert problem.what.startswith("a run needs about 1,000,000,000.0 GB, but ")
    assert check_disk(tmp_path, 1) == []


def test_the_disk_that_windows_take_follows_the_reads_and_the_regions(tmp_path):
    report = AlignmentReport((), "S", ("c1",), mapped_reads=1_000_000)
    whole = estimate_disk(tmp_path, report, {"c1": ((0, 10**6),)}, {"c1": 10**6}, keep_windows=True)
    half = estimate_disk(tmp_path, report, {"c1": ((0, 5 * 10**5),)}, {"c1": 10**6}, keep_windows=True)
    assert whole == 2 * half == 100_400_000
    assert estimate_disk(tmp_path, report, {"c1": ((0, 10**6),)}, {"c1": 10**6}, keep_windows=False) == 400_000
    only_gvcf = {"keep_windows": False, "gvcf": True}
    assert estimate_disk(tmp_path, report, {"c1": ((0, 10**6),)}, {"c1": 10**6}, **only_gvcf) == 3_400_000
