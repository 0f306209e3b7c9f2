"""The whole preflight of a call, on real files."""

import json
import random

import pysam
import pytest

from diffbio_core.problems import InputError, Problem
from diffbio_flows.reports.progress import PlainProgress
from diffbio_flows.runs.call import call_variants
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.preflight import check_run
from tests.io.alignments.headers import write_raw_bam

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


def check_call(reads, reference, output, more=(), **options):
    return check_run(CallParameters(reads=reads, reference=reference, output=output, **options), more)


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
    inputs = check_call(*files, region=["c1:101-120", "c2"], sample="N")
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
        region=["c1:9000"],
        regions=bed,
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


def test_an_output_that_exists_may_be_of_the_run_that_goes_on(files):
    reads, reference, output = files
    output.write_text("")
    assert check_run(CallParameters(reads=reads, reference=reference, output=output), resumes=True).sample == "S"


def test_workers_here_must_fit_into_memory_and_workers_elsewhere_need_not(files, tmp_path):
    cluster = tmp_path / "cluster.toml"
    cluster.write_text("workers = 1000000\nmemory_mb = 700\n")
    (found,) = problems(*files, cluster=cluster)
    assert found.startswith("memory: 1000000 workers of 0.7 GB need 700,000.0 GB")
    assert check_call(*files, scheduler="tcp://h:1").sample == "S"
    (found,) = problems(*files, scheduler="tcp://h:1", workers=2)
    assert "a scheduler's address goes with neither a cluster file nor workers" in found


@pytest.fixture
def odd(files):
    """Reads with a header line that is passed over, and a reference with a name that no VCF can hold."""
    reads, reference, output = files
    write_raw_bam(reads.parent / "odd.bam", b"@RG\tID:g\tSM:S\n@1\tx\n", [(b"c1", 2000), (b"c2", 4)])
    reference.write_text(reference.read_text() + ">a,b\nACGT\n")
    return reads.parent / "odd.bam", reference, output


def test_what_is_odd_is_told_beside_what_was_learnt(odd):
    told = [str(warning).replace(f"{odd[0].parent}/", "") for warning in check_call(*odd).warnings]
    assert [line.split(". ")[0] for line in told] == [
        "odd.bam, header line 2: is of no known kind and was passed over",
        "r.fa: names 'a,b' with characters that no VCF can hold: the header of the output leaves them out",
    ]


def test_warnings_reach_terminal_header_summary_and_report(odd):
    reads, reference, output = odd
    (reads.parent / "cluster.toml").write_text('kind = "in-process"\n')
    lines = []
    summary = call_variants(
        reads=reads,
        reference=reference,
        output=output,
        cluster=reads.parent / "cluster.toml",
        progress=PlainProgress(lines.append),
    )
    assert len(summary.warnings) == 2
    assert [line for line in lines if "warning" in line] == [f"warning: {text}" for text in summary.warnings]
    with pysam.VariantFile(str(output)) as file:
        told = [record.value for record in file.header.records if record.key == "diffbio_warning"]
        assert list(file.header.contigs) == ["c1", "c2"]
    assert told == [text.replace(f"{reads.parent}/", "") for text in summary.warnings]
    assert json.loads((output.parent / "calls.vcf.gz.work" / "summary.json").read_text())["warnings"] == list(
        summary.warnings
    )
    assert "no VCF can hold" in (output.parent / "calls.vcf.gz.work" / "report.html").read_text()
