"""A work directory belongs to one run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from diffbio_core.problems import InputError
from diffbio_flows.runs.work_directory import WorkDirectory, differences, file_identity

IDENTITY = {"reads": {"path": "a.bam", "size": 3}, "region": ["chr1"], "gvcf": None}


def test_a_new_folder_has_no_problem_and_stays_unmade_until_it_is_claimed(tmp_path):
    work = WorkDirectory(tmp_path / "work")
    assert work.problems(IDENTITY) == []
    assert not work.path.exists()


def test_the_same_run_may_claim_the_folder_again_and_finds_its_files(tmp_path):
    work = WorkDirectory(tmp_path / "work")
    with work.claim(IDENTITY):
        (work.calls / "chr1.000000.vcf").touch()
    with work.claim(IDENTITY):
        assert [path.name for path in work.calls.iterdir()] == ["chr1.000000.vcf"]


def test_another_run_is_refused_with_every_difference(tmp_path):
    work = WorkDirectory(tmp_path / "work")
    with work.claim(IDENTITY):
        pass
    other = {"reads": {"path": "a.bam", "size": 4}, "region": ["chr1", "chr2"], "gvcf": "x.g.vcf.gz"}
    with pytest.raises(InputError) as caught, work.claim(other):
        pass
    assert [problem.what for problem in caught.value.problems] == [
        "belongs to another run: reads.size was 3, now 4",
        'belongs to another run: region was ["chr1"], now ["chr1", "chr2"]',
        "belongs to another run: gvcf was not given, now x.g.vcf.gz",
    ]


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with (
        pytest.raises(InputError, match=r"holds 'thesis\.tex' but no run\.json"),
        WorkDirectory(tmp_path).claim(IDENTITY),
    ):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_file_in_place_of_the_folder_is_a_problem(tmp_path):
    (tmp_path / "work").touch()
    assert [problem.what for problem in WorkDirectory(tmp_path / "work").problems(IDENTITY)] == ["is not a folder"]


def test_an_unreadable_record_is_a_problem_not_a_crash(tmp_path):
    (tmp_path / "run.json").write_text("{")
    (problem,) = WorkDirectory(tmp_path).problems(IDENTITY)
    assert problem.what.startswith("its run.json cannot be read")


def test_two_runs_do_not_work_in_one_folder_at_once(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from diffbio_flows.runs.work_directory import WorkDirectory\n"
            "with WorkDirectory(sys.argv[1]).claim({}): print('held', flush=True); sys.stdin.read()",
            str(tmp_path / "work"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(InputError, match=rf"process {holder.pid} on .+, since .+, is working in it"),
            WorkDirectory(tmp_path / "work").claim({}),
        ):
            pass
        holder.kill()
    with WorkDirectory(tmp_path / "work").claim({}) as work:
        assert work.calls.is_dir()


def test_equal_runs_do_not_differ_after_a_round_trip_through_json():
    assert differences({"region": ["chr1"]}, {"region": ("chr1",)}) == []


def test_a_file_that_changed_has_another_identity(tmp_path):
    path = tmp_path / "reads.bam"
    path.write_bytes(b"one")
    before = file_identity(path)
    assert before == file_identity(path)
    path.write_bytes(b"three")
    assert file_identity(path)["size"] == 5 != before["size"]
