"""``diffbio report`` on real calls."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from diffbio_flows import call_variants


@pytest.fixture(scope="module")
def called(individual, tmp_path_factory):
    folder = tmp_path_factory.mktemp("called")
    cluster = folder / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    files = {"reads": individual.reads, "reference": individual.reference, "cluster": cluster}
    return call_variants(**files, output=folder / "calls.vcf.gz", region=("chr1", "chr2:1-9000"), keep_windows=False)


def test_a_run_ends_with_its_page_and_the_command_makes_the_same(called, diffbio_here, tmp_path):
    done = diffbio_here("report", called.output, "--output", tmp_path / "page.html")
    assert done.returncode == 0
    assert done.stderr == ""
    page = (tmp_path / "page.html").read_text()
    assert page == Path(called.report).read_text()
    assert "Records along contigs" in page
    assert (tmp_path / "page_mqc.json").exists()


def test_calls_are_held_against_a_truth(called, individual, diffbio_here, tmp_path):
    truth = ["--truth", individual.truth, "--confident", individual.confident]
    done = diffbio_here("report", called.output, "--output", tmp_path / "page.html", *truth)
    assert done.returncode == 0
    assert "Against the truth" in (tmp_path / "page.html").read_text()
    row = json.loads((tmp_path / "page_mqc.json").read_text())["data"]["simulated"]
    assert 0 < row["f1"] < 1  # other contigs were not called
    assert 12 < row["depth"] < 18


def test_calls_without_their_summary_are_told_of_as_far_as_they_go(called, diffbio_here, tmp_path):
    shutil.copy(called.output, tmp_path / "calls.vcf.gz")
    done = diffbio_here("report", tmp_path / "calls.vcf.gz")
    assert done.returncode == 0
    assert "summary.json is not there (see --summary)" in done.stderr
    page = (tmp_path / "calls.report.html").read_text()
    assert f"<td>{called.variants.records:,} ({called.variants.passed:,} PASS)</td>" in page
    assert "Coverage" not in page
    again = diffbio_here("report", tmp_path / "calls.vcf.gz")
    assert again.returncode == 2
    assert "calls.report.html: exists. Give --force to replace it" in again.stderr


def test_a_summary_of_other_calls_is_refused(called, diffbio_here, tmp_path):
    file = tmp_path / "summary.json"
    summary = json.loads(Path(called.report).with_name("summary.json").read_text())
    summary["made_of"]["reads"]["Fingerprint"] = "0" * 64
    file.write_text(json.dumps(summary))
    done = diffbio_here("report", called.output, "--summary", file, "--output", tmp_path / "page.html")
    assert done.returncode == 2
    assert "is of another run than the calls" in done.stderr
    file.write_text("[]")
    done = diffbio_here("report", called.output, "--summary", file, "--output", tmp_path / "page.html")
    assert done.returncode == 2
    assert "is not the summary of a call" in done.stderr


def test_what_cannot_be_reported_on_is_told_in_one_line_each(individual, diffbio_here, tmp_path):
    text = tmp_path / "calls.vcf"
    text.write_text("no VCF\n")
    done = diffbio_here("report", text, "--confident", individual.confident)
    assert done.returncode == 2
    assert "cannot be read as VCF" in done.stderr
    assert "--confident: tells where a truth is complete. Give --truth." in done.stderr
