"""A result tells how to make it again: what determines it in the header, how it was worked off beside it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from importlib.metadata import version

import pysam
import pytest

from diffbio_core.models import default_model_path, load_card, model_identity
from diffbio_flows import call_variants
from diffbio_flows.runs.provenance import regions

REGIONS = ("chr2:1-9000", "chr1:1001-4000", "chr3")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "cluster.toml"
    path.write_text('kind = "in-process"\n')
    return path


@pytest.fixture(scope="module")
def call(individual, cluster, tmp_path_factory):
    """Calls regions of the individual with some parameters changed; gives the outputs and the work directory."""

    def run(**more):
        folder = tmp_path_factory.mktemp("calls")
        outputs = {"output": folder / "c.vcf.gz", "gvcf": folder / "c.g.vcf.gz"}
        files = {"reads": individual.reads, "reference": individual.reference}
        call_variants(
            **files | outputs | {"region": REGIONS, "haploid_contigs": ("chr4", "chr2"), **more}, cluster=cluster
        )
        return [*outputs.values()], folder / "c.vcf.gz.work"

    return run


@pytest.fixture(scope="module")
def called(call):
    return call(keep_windows=False)


def told(path):
    """The header's lines on what the records were made of, and its contigs."""
    with pysam.VariantFile(str(path)) as file:
        lines = {r["ID"]: {k: v.strip('"') for k, v in r.items()} for r in file.header.records if r.key == "diffbio"}
        md5 = {r["ID"]: r.get("md5", "").strip('"') for r in file.header.records if r.key == "contig"}
    return lines, md5


def test_the_header_tells_what_determines_the_records(called, individual):
    lines, _ = told(called[0][0])
    reads, card = individual.reads, load_card(default_model_path())
    content = reads.read_bytes()
    assert len(content) < 1 << 22
    sha256 = hashlib.sha256(content).hexdigest()
    assert lines["reads"] == {"ID": "reads", "Name": reads.name, "Size": str(len(content)), "Fingerprint": sha256}
    assert lines["reference"]["Name"] == individual.reference.name
    bed = b"chr1\t1000\t4000\nchr2\t0\t9000\nchr3\t0\t30000\n"
    assert lines["regions"] == {
        "ID": "regions",
        "Intervals": "3",
        "Positions": "42000",
        "SHA256": hashlib.sha256(bed).hexdigest(),
        "Spans": "chr1:1001-4000,chr2:1-9000,chr3",
    }
    assert lines["model"]["Identity"] == model_identity(card)
    parameters = (default_model_path() / "parameters.safetensors").read_bytes()
    assert lines["model"]["SHA256"] == hashlib.sha256(parameters).hexdigest()
    assert lines["options"]["HaploidContigs"] == "chr2"
    assert lines["versions"]["jax"] == version("jax")
    assert told(called[0][1])[0] == lines


def test_a_called_contigs_line_has_the_md5_of_its_sequence(called, individual):
    _, md5 = told(called[0][0])
    with pysam.FastaFile(str(individual.reference)) as fasta:
        expected = {c: hashlib.md5(fasta.fetch(c).upper().encode()).hexdigest() for c in ("chr1", "chr2", "chr3")}
    assert md5 == {**expected, "chr4": ""}


def test_copies_of_the_files_in_another_folder_give_the_same_bytes(call, called, individual, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for file in (individual.reads, individual.reference):
        for path in file.parent.glob(f"{file.name}*"):
            shutil.copyfile(path, folder / path.name)
    os.utime(folder / individual.reads.name)
    outputs, _ = call(reads=folder / individual.reads.name, reference=folder / individual.reference.name)
    assert [path.read_bytes() for path in outputs] == [path.read_bytes() for path in called[0]]


def test_the_summary_tells_both_what_determines_the_records_and_how_they_were_worked_off(called, individual):
    outputs, work = called
    summary = json.loads((work / "summary.json").read_text())
    lines, _ = told(outputs[0])
    assert {
        name: {"ID": name} | {key: str(value) for key, value in fields.items()}
        for name, fields in summary["made_of"].items()
    } == lines
    how = summary["worked_off"]
    assert how["command"].startswith(sys.argv[0])
    assert how["parameters"]["reads"] == str(individual.reads)
    assert how["parameters"]["region"] == list(REGIONS)
    assert how["cluster"] == "in-process"
    assert how["packages"]["zarr"] == version("zarr")
    assert how["started"] <= how["ended"]
    page = (work / "report.html").read_text()
    assert summary["made_of"]["reads"]["Fingerprint"] in page
    assert how["started"] in page


def test_regions_too_many_to_list_are_told_by_their_number_and_digest():
    spans = tuple((start, start + 10) for start in range(0, 2020, 20))
    found = regions({"chr1": spans}, {"chr1": 5000})
    assert (found["Intervals"], found["Positions"]) == (101, 1010)
    assert "Spans" not in found
    assert found["SHA256"] != regions({"chr1": spans[:-1]}, {"chr1": 5000})["SHA256"]
