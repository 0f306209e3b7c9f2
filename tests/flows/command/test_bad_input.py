"""What `diffbio call` says of bad input: everything at once, exit status 2, and nothing is written."""

import json
import os
import random
import shutil
from pathlib import Path

import pysam
import pytest

from diffbio_core.models import default_model_path

SEQUENCE = "".join(random.Random(3).choices("ACGT", k=20_000))
CONTIGS = {"c1": SEQUENCE, "c2": SEQUENCE[:500]}
STARTS = (("c1", 100), ("c1", 140), ("c1", 9_000))


def write_reads(path, *, samples=("S",), starts=STARTS, order="coordinate", reference=None, index=True):
    header = {
        "HD": {"VN": "1.6", "SO": order},
        "SQ": [{"SN": name, "LN": len(sequence)} for name, sequence in CONTIGS.items()],
        "RG": [{"ID": f"g{number}", "SM": name} for number, name in enumerate(samples)],
    }
    mode = "wc" if path.suffix == ".cram" else "wb"
    with pysam.AlignmentFile(str(path), mode, header=header, reference_filename=reference) as file:
        for number, (contig, start) in enumerate(starts):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.mapping_quality, read.cigarstring = f"r{number}", 60, "50M"
            read.reference_id, read.reference_start = file.get_tid(contig), start
            read.query_sequence = SEQUENCE[start : start + 50]
            read.query_qualities = pysam.qualitystring_to_array("I" * 50)
            file.write(read)
    if index:
        pysam.index(str(path))
    return path


def write_reference(path, contigs):
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in contigs.items()))
    pysam.faidx(str(path))
    return path


@pytest.fixture
def folder(tmp_path):
    """Good inputs: ``reads.bam`` and ``reference.fa``."""
    write_reads(tmp_path / "reads.bam")
    write_reference(tmp_path / "reference.fa", CONTIGS)
    return tmp_path


@pytest.fixture
def refused(folder, diffbio_here):
    """Calls with some options changed, checks how the command ended, and gives the lines that tell why."""

    def call(*more, **changes):
        chosen = {"reads": "reads.bam", "reference": "reference.fa", "output": "calls.vcf.gz", "workers": 1, **changes}
        files = ("reads", "reference", "output", "regions", "model", "work_dir", "gvcf")
        before = snapshot(folder)
        options = []
        for name, value in chosen.items():
            options += [f"--{name.replace('_', '-')}", folder / value if name in files else value]
        ended = diffbio_here("call", *options, *more)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "Traceback" not in ended.stderr
        assert snapshot(folder) == before
        lines = [line.removeprefix("diffbio: ") for line in ended.stderr.splitlines()]
        return [line.replace(f"{folder}/", "") for line in lines if line != "check input"]

    return call


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_reads_that_are_missing(refused):
    assert refused(reads="none.bam") == ["none.bam: no such file. Give aligned reads as BAM or CRAM."]


def test_a_reference_that_is_missing(refused):
    assert refused(reference="none.fa") == [
        "none.fa: no such file. Give the FASTA file that the reads were aligned to."
    ]


def test_reads_that_are_neither_bam_nor_cram(refused, folder):
    shutil.copy(folder / "reference.fa", folder / "reads.bam")
    assert refused() == ["reads.bam: is neither BAM nor CRAM. Give aligned reads as BAM or CRAM."]


@pytest.mark.parametrize("kind", ["bam", "cram"])
def test_a_truncated_file(refused, folder, kind):
    path = write_reads(folder / f"reads.{kind}", reference=str(folder / "reference.fa"))
    path.write_bytes(path.read_bytes()[:-40])
    os.utime(path, (0, 0))
    assert refused(reads=path.name) == [
        f"reads.{kind}: is truncated: its end-of-file block is missing. "
        "Copy it again, or make it again from its source."
    ]


def test_reads_that_were_never_aligned(refused, folder):
    with pysam.AlignmentFile(
        str(folder / "reads.bam"), "wb", header={"RG": [{"ID": "g", "SM": "S"}]}, add_sq_text=False
    ):
        pass
    (line,) = refused()
    assert line.startswith("reads.bam: names no contigs in its header: its reads are not aligned. Align them")


def test_an_index_of_another_file(refused, folder):
    write_reads(folder / "empty.bam", starts=())
    shutil.copy(folder / "empty.bam.bai", folder / "reads.bam.bai")
    (line,) = refused()
    assert line.startswith("reads.bam.bai: is not the index of reads.bam: it knows of no reads. Make it again")


def test_reads_of_which_none_is_mapped(refused, folder):
    write_reads(folder / "reads.bam", starts=())
    (line,) = refused()
    assert line.startswith("reads.bam: has no reads that are mapped")


def test_unsorted_reads(refused, folder):
    write_reads(folder / "reads.bam", starts=STARTS[::-1], order="unsorted", index=False)
    (line,) = refused()
    assert line.startswith("reads.bam: is not sorted by position (its header says 'unsorted'). Sort it: `samtools sort")


def test_reads_without_an_index(refused, folder):
    (folder / "reads.bam.bai").unlink()
    (line,) = refused()
    assert line.startswith("reads.bam: has no index (.bai, .csi or .crai) beside it. Make one: `samtools index")


def test_an_index_that_is_older_than_its_reads(refused, folder):
    os.utime(folder / "reads.bam.bai", (0, 0))
    (line,) = refused()
    assert line.startswith("reads.bam.bai: is older than reads.bam")


def test_a_region_without_reads(refused):
    (line,) = refused("--region", "c1:5,000-6,000")
    assert line.startswith("reads.bam: has no reads in the regions asked for")


def test_a_region_on_a_contig_that_the_reads_name_otherwise(refused, folder):
    write_reference(folder / "reference.fa", {"chrc1": SEQUENCE, **CONTIGS})
    (line,) = refused("--region", "chrc1:5,000-6,000")
    assert line == (
        "reads.bam: has no reads in the regions asked for; its header has no contig 'chrc1', but 'c1'. "
        "Check the regions, or the file."
    )


def test_a_contig_with_reads_that_the_reference_lacks(refused, folder):
    write_reference(folder / "reference.fa", {"c2": CONTIGS["c2"]})
    (line,) = refused()
    assert line.startswith("reads.bam: has reads on 1 contig that the reference lacks: c1.")


def test_a_contig_of_another_length(refused, folder):
    write_reference(folder / "reference.fa", {**CONTIGS, "c1": SEQUENCE[:-1]})
    (line,) = refused()
    assert line.startswith("reads.bam: c1 is 20,000 bp long in its header, but 19,999 in the reference")


def test_cram_that_was_written_with_another_reference(refused, folder):
    write_reads(folder / "reads.cram", reference=str(folder / "reference.fa"))
    write_reference(folder / "reference.fa", {name: sequence[::-1] for name, sequence in CONTIGS.items()})
    (line,) = refused(reads="reads.cram")
    assert line.startswith("reads.cram: its reads on c1 cannot be decoded with this reference")


def test_reads_of_several_samples(refused, folder):
    write_reads(folder / "reads.bam", samples=("A", "B"))
    (line,) = refused()
    assert line.startswith("reads.bam: holds reads of 2 samples: A, B.")


@pytest.mark.parametrize(
    ("region", "told"),
    [("c1:20-10", "c1:20-10"), ("c1:a-b", "c1:a-b"), ("c9", "c9"), ("c2:400-501", "c2:400-501"), ("c1:0-5", "c1:0-5")],
    ids=["backwards", "not numbers", "unknown contig", "outside the contig", "position 0"],
)
def test_a_region_that_is_none(refused, region, told):
    (line,) = refused("--region", region)
    assert told in line


def test_faulty_lines_of_a_bed_file(refused, folder):
    (folder / "some.bed").write_text("c1\t10\t20\nc1\t30\nc1\t9\t5\nc2\t10\t900\n")
    lines = refused(regions="some.bed")
    assert [line.split(":")[0] for line in lines] == [f"some.bed, line {number}" for number in (2, 3, 4)]


@pytest.mark.parametrize("text", ["", "# none\n", "c1\t10\t10\n"])
def test_a_bed_file_without_a_position(refused, folder, text):
    (folder / "some.bed").write_text(text)
    assert refused(regions="some.bed") == [
        "some.bed: holds no interval. Give a BED file with at least one position."
    ]  # fmt: skip


def test_a_bed_file_that_is_missing(refused):
    assert refused(regions="none.bed") == ["none.bed: no such file. Give a BED file."]


def test_an_output_folder_that_is_missing(refused):
    (line,) = refused(output="none/calls.vcf.gz")
    assert line.startswith("none/calls.vcf.gz: its folder none does not exist")


def test_an_output_folder_that_cannot_be_written(refused):
    if not Path("/proc/self").exists():
        pytest.skip("no folder is known here in which even root cannot write")
    lines = refused(output="/proc/calls.vcf.gz")
    assert [line.split(" (")[0] for line in lines] == ["/proc/calls.vcf.gz: its folder /proc cannot be written"]


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_output_without_a_name(folder, diffbio_here, name):
    before = snapshot(folder)
    ended = diffbio_here("call", "--reads", "reads.bam", "--reference", "reference.fa", "--output", name, cwd=folder)
    assert ended.returncode == 2
    assert "is a folder. Name a file." in ended.stderr
    assert snapshot(folder) == before


def test_an_output_that_is_a_link_to_nothing(refused, folder):
    (folder / "calls.vcf.gz").symlink_to("nowhere")
    assert refused() == ["calls.vcf.gz: exists. Name another file, or replace it with --force."]


def test_a_work_directory_that_is_a_file(refused, folder):
    (folder / "work").write_text("")
    assert refused(work_dir="work") == ["work: is not a folder. Name another place."]


@pytest.mark.parametrize("name", ["", "  ", "a\tb"])
def test_a_sample_that_cannot_be_a_column_s_name(refused, name):
    assert refused(sample=name) == [f"--sample: must be a name of printable characters, got {name!r}"]


def test_an_output_that_is_no_vcf_by_name(refused):
    assert refused(output="calls.bcf") == [
        "calls.bcf: does not end in .vcf.gz. VCF is written bgzipped: name it so."
    ]  # fmt: skip


@pytest.mark.parametrize("option", ["output", "gvcf"])
def test_an_output_that_exists(refused, folder, option):
    (folder / "old.vcf.gz").write_text("old")
    assert refused(**{option: "old.vcf.gz"}) == [
        "old.vcf.gz: exists. Name another file, or replace it with --force."
    ]  # fmt: skip


def test_force_replaces_neither_an_input_nor_the_other_output(refused):
    assert refused("--force", output="reads.bam")[1:] == [
        "reads.bam: is an input or another output of this run. Name another file."
    ]
    assert refused("--force", gvcf="calls.vcf.gz") == [
        "calls.vcf.gz: is an input or another output of this run. Name another file."
    ]


@pytest.fixture
def model(folder):
    """A copy of the shipped model, and its card."""
    copy = shutil.copytree(default_model_path(), folder / "model")
    return copy, json.loads((copy / "card.json").read_text())


def test_a_model_of_other_features(refused, model):
    copy, card = model
    card["features"]["flank"] += 1
    (copy / "card.json").write_text(json.dumps(card))
    (line,) = refused(model="model")
    assert line.startswith("--model: ")
    assert "features" in line


def test_a_model_whose_parameters_are_not_those_of_its_card(refused, model):
    copy, _ = model
    with (copy / "parameters.safetensors").open("ab") as file:
        file.write(b"x")
    (line,) = refused(model="model")
    assert "sha256" in line


def test_a_model_that_is_missing(refused):
    (line,) = refused(model="none")
    assert line.startswith("--model: ")


def test_more_workers_than_memory_holds(refused):
    (line,) = refused(workers=100_000)
    assert line.startswith("memory: 100000 workers of 1.5 GB need 150,000.0 GB, but ")


def test_more_memory_for_a_worker_than_there_is(refused, folder):
    (folder / "cluster.toml").write_text("memory_mb = 100_000_000\n")
    (line,) = refused(cluster=folder / "cluster.toml")
    assert line.startswith("memory: 1 workers of 100,000.0 GB need 100,000.0 GB, but ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workers = true", "workers must be a whole number, got True"),
        ("worker_timeout = 'x'", "worker_timeout must be a number, got 'x'"),
        ("environment = 5", "environment must be a table, got 5"),
        ("scratch = 5", "scratch must be text, got 5"),
        ("scratch = '/proc/scratch'", "/proc/scratch: its folder /proc cannot be written"),
    ],
)
def test_a_cluster_file_with_a_wrong_value(refused, folder, text, told):
    (folder / "cluster.toml").write_text(text)
    (line,) = refused(cluster=folder / "cluster.toml")
    assert told in line


@pytest.mark.mounts
def test_too_small_a_disk(refused, tiny_disk):
    (line,) = refused(work_dir=tiny_disk("4k") / "work")
    assert "a run needs about 0.0 MB, but 0.0 MB are free there" in line


def test_an_unknown_haploid_contig(refused):
    (line,) = refused(haploid_contigs="c1,cY")
    assert line.startswith("--haploid-contigs: the reference has no contig 'cY'")


def test_a_window_length_that_is_no_power_of_two(refused):
    assert refused(window_length=3_000) == ["--window-length: must be a power of two, got 3000"]


def test_a_cluster_file_with_an_unknown_key(refused, folder):
    (folder / "cluster.toml").write_text("worker = 2\n")
    (line,) = refused(cluster=folder / "cluster.toml")
    assert "unknown key 'worker'" in line


def test_a_work_directory_that_holds_something_else(refused, folder):
    (folder / "work").mkdir()
    (folder / "work" / "thesis.txt").write_text("precious")
    (line,) = refused(work_dir="work")
    assert line.startswith("work: is not a work directory: it holds 'thesis.txt' but no run.json")


def test_unknown_options_are_bad_usage(diffbio_here):
    ended = diffbio_here("call", "--quickly")
    assert ended.returncode == 2
    assert "No such option" in ended.stderr


def test_the_real_command_ends_with_the_same_line(folder, diffbio):
    files = ("--reads", folder / "none.bam", "--reference", folder / "reference.fa")
    ended = diffbio("call", *files, "--output", folder / "calls.vcf.gz", "--workers", 1)
    assert (ended.returncode, ended.stdout) == (2, "")
    told = f"diffbio: {folder}/none.bam: no such file. Give aligned reads as BAM or CRAM."
    assert ended.stderr.splitlines()[-1] == told


def test_all_faults_are_told_at_once(refused, folder, model):
    copy, card = model
    card["features"]["version"] += 1
    (copy / "card.json").write_text(json.dumps(card))
    write_reads(folder / "reads.bam", samples=("A", "B"), index=False)
    (folder / "reads.bam.bai").unlink()
    (folder / "calls.vcf.gz").write_text("old")
    (folder / "some.bed").write_text("c9\t1\t2\n")
    lines = refused("--region", "c1:5-1", regions="some.bed", model="model", workers=100_000, haploid_contigs="cY")
    subjects = [line.split(": ")[0] for line in lines]
    assert sorted(subjects) == sorted(
        [
            "region 'c1:5-1'",
            "some.bed, line 1",
            "--haploid-contigs",
            "reads.bam",
            "reads.bam",
            "calls.vcf.gz",
            "memory",
            "--model",
        ]
    )
