"""``diffbio view`` on real calls."""

from __future__ import annotations

import re

import numpy as np
import pysam
import pytest

from diffbio_core.calling.repeat_lengths import FITTED
from diffbio_flows import call_variants
from diffbio_flows.runs.view import view_locus


@pytest.fixture(scope="module")
def called(individual, tmp_path_factory):
    folder = tmp_path_factory.mktemp("called")
    cluster = folder / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    files = {"reads": individual.reads, "reference": individual.reference, "cluster": cluster}
    summary = call_variants(**files, output=folder / "calls.vcf.gz", region=("chr1:1-9000",))
    with pysam.VariantFile(summary.output) as file:
        records = [record for record in file if "PASS" in record.filter]
    return summary, records


def test_probabilities_are_those_of_the_call_and_come_from_the_reads_as_from_the_store(called, individual):
    summary, records = called
    # Of alleles near an indel reads tell together.
    lone = [
        record
        for record in records
        if len(record.alts) == 1 and sum(abs(other.pos - record.pos) < 40 for other in records) == 1
    ][:6]
    assert len(lone) > 3
    for record in lone:
        locus = f"{record.contig}:{record.pos}"
        (found,) = view_locus(summary.output, locus).candidates
        again = view_locus(summary.output, locus, reads=individual.reads, reference=individual.reference)
        assert np.array_equal(again.candidates[0].probabilities, found.probabilities)
        assert record.samples[0]["GT"].count(1) == found.copies
        assert -10 * np.log10(_weighed(found)[0]) == pytest.approx(record.qual, abs=0.06)
        assert found.view.group.shape[1] == record.samples[0]["DP"]


def _weighed(found):
    """Probabilities of 0, 1 and 2 copies of an allele that stands alone, its repeat's lengths weighed with them."""
    logs = np.log(found.probabilities)
    if (repeat := found.repeat) is not None:
        (change,) = repeat.change
        logs = FITTED.classifier * logs + repeat.log_weights(np.array([[0, 0], [0, change], [change, change]]))
    return np.exp(logs - np.logaddexp.reduce(logs))


def test_an_indel_in_a_repeat_tells_the_lengths_that_reads_show(called, diffbio_here):
    summary, records = called
    for record in records:
        (found, *_) = view_locus(summary.output, f"{record.contig}:{record.pos}").candidates
        if len(record.alts) == 1 and found.repeat is not None:
            break
    else:
        pytest.fail("no indel in a repeat is called")
    done = diffbio_here("view", summary.output, f"{record.contig}:{record.pos}")
    (change,) = found.repeat.change
    shown = dict(zip(found.repeat.shown.tolist(), found.repeat.reads.tolist(), strict=True))
    assert f"repeat of {found.repeat.tract} bp, reads past its ends" in done.stdout
    assert f"{change:+d}: {shown[change]:.3g}" in done.stdout
    assert shown[change] > 0


def test_text_holds_a_row_for_each_read_the_most_decisive_first(called, diffbio_here):
    summary, records = called
    (record, *_) = [r for r in records if r.samples[0]["GT"] == (0, 1) and len(r.ref) == len(r.alts[0]) == 1]
    done = diffbio_here("view", summary.output, f"{record.contig}:{record.pos:,}")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[1] == str(record).rstrip("\n")
    rows = [line for line in lines if re.match(r"(allele|other|either) +\d+ ", line)]
    assert len(rows) == record.samples[0]["DP"]
    allele = [line for line in rows if line.startswith("allele")]
    assert len(allele) == record.samples[0]["AD"][1]
    assert all(line[39 + 16].upper() == record.alts[0] for line in allele)
    placed = diffbio_here("view", summary.output, f"{record.contig}:{record.pos}", "--sort", "position")
    assert placed.stdout != done.stdout
    assert sorted(placed.stdout.splitlines()) == sorted(lines)
    assert "\x1b[" not in done.stdout
    coloured = diffbio_here("view", summary.output, f"{record.contig}:{record.pos}", "--colour", "always")
    assert re.sub(r"\x1b\[\d*m", "", coloured.stdout) == done.stdout


def test_a_page_and_a_picture_are_written(called, diffbio_here, tmp_path):
    summary, records = called
    locus = f"chr1:{records[0].pos}"
    assert diffbio_here("view", summary.output, locus, "--output", tmp_path / "l.html").returncode == 0
    assert diffbio_here("view", summary.output, locus, "--output", tmp_path / "l.png").returncode == 0
    page = (tmp_path / "l.html").read_text()
    assert "<script" not in page
    assert page.count("<tr>") == records[0].samples[0]["DP"] + 3
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")


def test_a_locus_without_a_call_says_why(called, diffbio_here):
    summary, records = called
    taken = {record.pos + step for record in records for step in range(-200, 200)}
    quiet = next(place for place in range(1000, 9000) if place not in taken)
    done = diffbio_here("view", summary.output, f"chr1:{quiet}")
    assert done.returncode == 0
    assert "no record" in done.stdout
    assert "no read proposes an allele here" in done.stdout or "copies 0: " in done.stdout


def test_what_the_calls_were_not_made_of_is_refused(called, individual, diffbio_here, tmp_path):
    summary, records = called
    locus = f"chr1:{records[0].pos}"
    other = tmp_path / "reads.bam"
    pysam.view("-b", "-s", "1.5", "-o", str(other), str(individual.reads), catch_stdout=False)
    pysam.index(str(other))
    done = diffbio_here("view", summary.output, locus, "--reads", other, "--reference", individual.reference)
    assert done.returncode == 2
    assert "was made of other reads (reads.bam) than reads.bam" in done.stderr
    for wrong, told in (("chr1", "is no locus"), ("chr1:0", "is no locus"), ("chr9:5", "have no contig 'chr9'")):
        done = diffbio_here("view", summary.output, wrong)
        assert done.returncode == 2
        assert told in done.stderr
    done = diffbio_here("view", summary.output, locus, "--windows", tmp_path / "none.zarr")
    assert done.returncode == 2
    assert "none.zarr. Give a window store." in done.stderr
