"""What a form asks for becomes a run, or is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from diffbio_core.problems import InputError
from diffbio_flows.prefect_flows.deployed.call import call
from diffbio_flows.prefect_flows.deployed.evaluate import evaluate
from diffbio_flows.prefect_flows.deployed.ingest import ingest
from diffbio_flows.prefect_flows.deployed.train import train
from diffbio_flows.prefect_flows.forms import (
    CallInputGroup,
    CallOutputGroup,
    MachineGroup,
    ModelGroup,
    ReadsGroup,
    RegionGroup,
    RunNames,
    SetsGroup,
    TrainingGroup,
    TrainOutputGroup,
    call_parameters,
    ingest_parameters,
    train_parameters,
)
from diffbio_flows.prefect_flows.limits import VARIABLE, DeploymentLimits

NAMES = RunNames(run="bold-finch", scheduled=datetime(2026, 11, 26, 2, tzinfo=UTC))


def asked(limits, given, output, **groups):
    chosen = {"region": RegionGroup(), "model": ModelGroup(), "machine": MachineGroup()} | groups
    return call_parameters(
        CallInputGroup(**given), output=CallOutputGroup(**output), names=NAMES, limits=limits, **chosen
    )


@pytest.fixture
def limits(tmp_path) -> DeploymentLimits:
    (tmp_path / "gpu.toml").write_text('kind = "in-process"\n')
    return DeploymentLimits(roots=(tmp_path,), clusters={"gpu": tmp_path / "gpu.toml"}, most_workers=8, most_hours=30)


@pytest.fixture
def reads(tmp_path) -> dict[str, str]:
    return {"reads": f"{tmp_path}/r.bam", "reference": f"{tmp_path}/r.fa", "sample": "S1"}


def test_a_form_becomes_a_run_whose_output_has_the_days_name(limits, reads, tmp_path):
    output = {"folder": f"{tmp_path}/calls", "name": "{sample}/{date}.vcf.gz", "gvcf": True}
    machine = MachineGroup(cluster="gpu", workers=3)
    found = asked(limits, reads, output, machine=machine, region=RegionGroup(region=["chr1"]))
    assert found.output == tmp_path / "calls" / "S1" / "2026-11-26.vcf.gz"
    assert found.gvcf == tmp_path / "calls" / "S1" / "2026-11-26.g.vcf.gz"
    assert found.output.parent.is_dir()
    assert (found.region, found.workers, found.cluster) == (("chr1",), 3, tmp_path / "gpu.toml")
    assert (found.regions, found.model, found.scheduler, found.windows) == (None, None, None, None)


def test_the_sample_of_a_name_is_the_one_of_the_reads(individual, tmp_path):
    limits = DeploymentLimits(roots=(tmp_path, individual.reads.parent))
    given = {"reads": str(individual.reads), "reference": str(individual.reference)}
    assert asked(limits, given, {"folder": str(tmp_path)}).output.name == "simulated.2026-11-26.vcf.gz"


@pytest.mark.parametrize(
    ("given", "output", "groups", "told"),
    [
        ({"reads": "/etc/r.bam"}, {}, {}, "reads: /etc/r.bam lies outside"),
        ({"windows": "s3://x/y"}, {}, {}, "window store: s3://x/y is not among the allowed URLs"),
        ({}, {"folder": "/etc"}, {}, "folder: /etc lies outside"),
        ({}, {"replace": True}, {}, "replace: this worker does not let runs replace"),
        ({}, {}, {"region": RegionGroup(bed="/etc/hosts")}, "BED file: /etc/hosts lies outside"),
        ({}, {}, {"model": ModelGroup(model="/etc")}, "model: /etc lies outside"),
        ({}, {}, {"machine": MachineGroup(cluster="tcp://evil:1")}, "is not a cluster of this worker"),
        ({}, {}, {"machine": MachineGroup(workers=9)}, "9 are asked for, and 8 allowed"),
        ({}, {}, {"machine": MachineGroup(hours=31)}, "31 hours are asked for, and 30 allowed"),
        ({"reads": ""}, {}, {}, "no reads with their reference, and no window store"),
        ({"sample": "../../etc/x"}, {}, {}, "cannot be part of a file's name"),
    ],
)
def test_what_a_worker_does_not_allow_is_refused_before_anything_is_made(
    limits, reads, tmp_path, given, output, groups, told
):
    with pytest.raises(InputError) as caught:
        asked(limits, reads | given, {"folder": f"{tmp_path}/calls"} | output, **groups)
    assert told in str(caught.value)
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("link", ["S1.2026-11-26.vcf.gz", "S1.2026-11-26.vcf.gz.work", "S1.2026-11-26.g.vcf.gz"])
def test_a_link_that_waits_under_the_outputs_name_leads_nowhere(limits, reads, tmp_path, link):
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / link).symlink_to("/etc/elsewhere")
    with pytest.raises(InputError, match="lies outside the allowed folders"):
        asked(limits, reads, {"folder": f"{tmp_path}/calls", "gvcf": True})


def test_fields_that_a_form_does_not_have_are_refused(reads):
    with pytest.raises(ValidationError, match="scheduler"):
        MachineGroup(scheduler="tcp://evil:8786")  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="reads"):
        CallInputGroup(**reads | {"reads": "relative.bam"})


def test_a_store_has_a_name_of_the_day_too(limits, reads, tmp_path):
    found = ingest_parameters(
        ReadsGroup(**reads), RegionGroup(), f"{tmp_path}/w/{{sample}}.zarr", False, MachineGroup(), limits, NAMES
    )
    assert found.local_store == Path(tmp_path, "w", "S1.zarr")
    with pytest.raises(InputError, match="outside the allowed folders"):
        ingest_parameters(
            ReadsGroup(**reads), RegionGroup(), f"{tmp_path}/../{{sample}}.zarr", False, MachineGroup(), limits, NAMES
        )


def trained(limits, sets, folder, **output):
    given = SetsGroup(sets=str(sets)), TrainOutputGroup(folder=str(folder), **output)
    return train_parameters(*given, TrainingGroup(epochs=3), MachineGroup(workers=2), NAMES, limits)


SET = """[[set]]
store = "w.zarr"
truth = "t.vcf.gz"
confident = "{confident}"
"""


def test_a_training_is_of_its_day_and_all_that_its_sets_name_lies_in_the_roots(limits, tmp_path):
    sets = tmp_path / "sets.toml"
    sets.write_text(SET.format(confident="c.bed"))
    found = trained(limits, sets, tmp_path / "models")
    assert found.output == tmp_path / "models" / "model.2026-11-26"
    assert (found.epochs, found.max_steps, found.workers) == (3, None, 2)
    sets.write_text(SET.format(confident="/etc/c.bed") + 'name = "a"\n')
    with pytest.raises(InputError, match=r"sets, a: confident: /etc/c.bed lies outside the allowed folders"):
        trained(limits, sets, tmp_path / "models")
    sets.write_text(SET.format(confident="c.bed").replace("w.zarr", "s3://x/y"))
    with pytest.raises(InputError, match="store: s3://x/y is not among the allowed URLs"):
        trained(limits, sets, tmp_path / "models")
    with pytest.raises(InputError, match="lies outside"):
        trained(limits, sets, "/etc")
    with pytest.raises(InputError, match="does not let runs replace"):
        trained(limits, sets, tmp_path / "models", replace=True)


@pytest.mark.parametrize("flow", [call, ingest, evaluate, train])
def test_every_field_of_a_form_is_described_and_limited(flow):
    schema = parameter_schema(flow).model_dump()
    assert all("$ref" in group for group in schema["properties"].values()), "fields come in groups"
    for group in schema["definitions"].values():
        for name, field in group["properties"].items():
            assert field.get("title"), name
            assert field.get("description"), name
            bounds = {"maxLength", "maximum", "maxItems", "enum"} & field.keys()
            assert bounds or field["type"] == "boolean", name


def test_a_form_offers_the_clusters_of_the_machine_that_registers_it(tmp_path, monkeypatch):
    path = tmp_path / "limits.toml"
    path.write_text(f'roots = ["{tmp_path}"]\n[clusters]\nmany-gpus = "/etc/diffbio/gpus.toml"\n')
    monkeypatch.setenv(VARIABLE, str(path))
    schema = MachineGroup.model_json_schema()
    assert schema["properties"]["cluster"]["enum"] == ["local", "many-gpus"]
