"""Cohorts: a simulated trio and a fourth sample whose reads are broken at first."""

import json
import shutil

import pysam
import pysam.bcftools
import pytest

from diffbio_core.problems import InputError
from diffbio_flows.runs.cohort import call_cohort
from diffbio_flows.runs.cohort_plan import sex_of
from diffbio_io.simulation.dataset import simulate_trio

NAMES = ("father", "mother", "child")


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    people = simulate_trio(folder, length=40_000, depth=30.0, seed=2, threads=1)
    (folder / "cluster.toml").write_text('kind = "in-process"\n')
    return folder, people


@pytest.fixture(scope="module")
def arguments(family):
    folder, people = family
    reference = people["child"].reference
    return ["cohort", folder / "sheet.csv", "--reference", reference, "--cluster", folder / "cluster.toml"]


def write_sheet(folder, *names):
    lines = ["sample;reads;output", *(f"{name};{name}/reads.bam;{name}.vcf.gz" for name in names)]
    (folder / "sheet.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")


def test_a_night_with_a_broken_sample_and_the_morning_after(family, arguments, diffbio_here):
    folder, _ = family
    write_sheet(folder, "father", "broken", "mother", "child")
    (folder / "broken").mkdir()
    broken = folder / "broken" / "reads.bam"
    shutil.copy(folder / "child" / "reads.bam", broken)
    shutil.copy(folder / "child" / "reads.bam.bai", f"{broken}.bai")
    # Whole at its end, but with a block that cannot be inflated.
    content = bytearray(broken.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    broken.write_bytes(content)

    joint = folder / "joint.vcf.gz"
    night = diffbio_here(*arguments, "--joint", joint, "--json")
    assert night.returncode == 1
    told = json.loads(night.stdout)
    assert [(s["sample"], s["state"]) for s in told["samples"]] == [
        ("father", "done"), ("broken", "failed"), ("mother", "done"), ("child", "done"),
    ]  # fmt: skip
    assert all(24 < s["mean_depth"] < 33 for s in told["samples"] if s["state"] == "done")
    (why,) = told["samples"][1]["problems"]
    assert why.startswith(f"{folder}/sheet.csv, line 3, {broken}: is damaged")
    assert all((folder / f"{name}.vcf.gz").exists() for name in NAMES)
    assert not (folder / "broken.vcf.gz").exists()
    assert not joint.exists()

    again = diffbio_here(*arguments, "--joint", joint)
    assert again.returncode == 2
    assert "3 of its 4 samples are done already" in again.stderr

    shutil.copy(folder / "child" / "reads.bam", broken)
    shutil.copy(folder / "child" / "reads.bam.bai", f"{broken}.bai")  # An index is no older than its reads.
    before = {name: (folder / f"{name}.vcf.gz").stat().st_mtime_ns for name in NAMES}
    morning = diffbio_here(*arguments, "--joint", joint, "--only-failed", "--json")
    assert morning.returncode == 0
    states = [sample["state"] for sample in json.loads(morning.stdout)["samples"]]
    assert states == ["done before", "done", "done before", "done before"]
    assert before == {name: (folder / f"{name}.vcf.gz").stat().st_mtime_ns for name in NAMES}
    records = passing(joint)
    assert list(records[0].samples) == ["father", "broken", "mother", "child"]
    # The fourth has the child's reads.
    assert all(record.samples["broken"]["GT"] == record.samples["child"]["GT"] for record in records)
    assert all("<*>" not in record.alleles for record in records)
    # Beside those of the samples called alone, where no record means the reference's genotype.
    alone = folder / "alone.vcf.gz"
    calls = [str(folder / f"{name}.vcf.gz") for name in NAMES]
    pysam.bcftools.merge("-0", "-m", "both", "-Oz", "-o", str(alone), *calls, catch_stdout=False)
    (known, errors), (known_alone, errors_alone) = mendelian_errors(records), mendelian_errors(passing(alone))
    assert 60 < known <= known_alone
    assert errors <= errors_alone < 0.1 * known_alone


def passing(vcf):
    with pysam.VariantFile(str(vcf)) as file:
        return [record for record in file if "PASS" in record.filter]


def mendelian_errors(records):
    """Records with three known genotypes, and those of them that no child of such parents can have."""
    genotypes = [[record.samples[name]["GT"] for name in NAMES] for record in records]
    known = [trio for trio in genotypes if not any(None in genotype for genotype in trio)]
    return len(known), sum(not is_mendelian(*trio) for trio in known)


def is_mendelian(father, mother, child):
    return any(one in father and other in mother for one, other in (child, child[::-1]))


def test_all_that_is_wrong_with_a_sheet_is_told_with_its_line(family):
    folder, people = family
    sheet = folder / "wrong.csv"
    sheet.write_text("sample,reads,sex,output\nA,a.bam,m,a.vcf.gz\nB,b.bam,who,b.vcf.gz\nA,c.bam,,./a.vcf.gz\n")
    with pytest.raises(InputError) as error:
        call_cohort(sheet=sheet, reference=people["child"].reference)
    told = [(problem.subject.removeprefix(f"{sheet}, "), problem.what) for problem in error.value.problems]
    assert told[0] == ("line 3", "its sex, 'who', is none of male, female and unknown")
    assert [line for line, _ in told[1:]] == ["line 2", "line 2", "line 4", "line 4"]
    assert told[1][1] == "names sample 'A', as another line does"


def test_where_no_sample_can_be_called_all_problems_are_told(family, tmp_path):
    _, people = family
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("sample,reads,output\nA,a.bam,a.vcf.gz\nB,b.bam,no/b.vcf.gz\n")
    with pytest.raises(InputError) as error:
        call_cohort(sheet=sheet, reference=people["child"].reference)
    subjects = [problem.subject for problem in error.value.problems]
    assert subjects == [
        f"{sheet}, line 2, {tmp_path}/a.bam",
        f"{sheet}, line 3, {tmp_path}/b.bam",
        f"{sheet}, line 3, {tmp_path}/no/b.vcf.gz",
    ]


def test_what_is_wrong_with_all_samples_alike_is_told_once(family, tmp_path):
    folder, _ = family
    write_sheet(folder, *NAMES)
    with pytest.raises(InputError) as error:
        call_cohort(sheet=folder / "sheet.csv", reference=tmp_path / "none.fa", force=True)
    assert [problem.subject for problem in error.value.problems] == [str(tmp_path / "none.fa")]


@pytest.mark.parametrize(("text", "sex"), [("Male", "male"), ("f", "female"), ("2", "female"), ("", "unknown")])
def test_a_sex_may_be_written_in_several_ways(text, sex):
    assert sex_of(text) == sex
