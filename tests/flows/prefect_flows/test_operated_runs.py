"""Deployments on a real server with a real worker."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import httpx
import pytest

from tests.flows.prefect_flows.conftest import all_gone, finished, go_on, wait_for

pytestmark = pytest.mark.slow


def records(vcf: bytes) -> list[bytes]:
    return [line for line in gzip.decompress(vcf).splitlines() if not line.startswith(b"##")]


def test_a_run_of_the_form_gives_the_bytes_of_the_plain_run_and_shows_what_it_did(site, called, undisturbed):
    called.trigger()
    assert called.completes() == undisturbed
    assert f"records in {called.output}" in site.flow_run(called.id)["state"]["message"]
    shown = site.artifacts(called.id)
    assert shown["call-progress"]["data"] == 100
    assert shown["call-progress"]["description"].startswith("4/4 shards, ")
    assert shown["call-summary"]["data"].startswith("# Calls of simulated")


def test_bad_input_is_told_with_its_file_and_not_tried_again(site, inputs):
    given = {"input": inputs | {"reads": "/etc/passwd"}, "output": {"folder": str(site.data), "name": "../x.vcf.gz"}}
    run = site.trigger("call/on-demand", given)
    state = site.state(run)
    assert state["type"] == "FAILED"
    assert "InputError: reads: /etc/passwd lies outside the allowed folders" in state["message"]
    assert site.flow_run(run)["run_count"] == 1
    assert "| reads | /etc/passwd lies outside the allowed folders. " in site.artifacts(run)["failure"]["data"]
    # Errors are kept for other processes: as text.
    kept = list((site.folder / "home" / "storage").iterdir())
    assert kept
    assert all({"__exc_type__", "message"} == json.loads(path.read_text()).keys() for path in kept)


def test_a_cohort_calls_what_can_be_called_and_names_what_cannot(site, inputs, undisturbed):
    reads = Path(inputs["reads"])
    (site.data / "broken.bam").write_bytes(reads.read_bytes()[:100_000])
    rows = [f"simulated,{reads.name},{{sample}}.{{run}}.vcf.gz", "broken,broken.bam,broken.{run}.vcf.gz"]
    sheet = site.data / "sheet.csv"
    sheet.write_text("\n".join(["sample,reads,output", *rows]))
    given = {"sheet": str(sheet), "reference": inputs["reference"]}
    run = site.trigger("cohort/nightly", {"input": given, "machine": {"workers": 1}})
    state = site.state(run)
    assert (state["type"], state["message"]) == ("FAILED", "1 of 2 samples called; failed: broken")
    name = site.flow_run(run)["name"]
    # Only the header differs: it tells that the sample was named.
    assert records((site.data / f"simulated.{name}.vcf.gz").read_bytes()) == records(undisturbed)
    assert "broken: " in site.artifacts(run)["cohort-summary"]["data"]


@pytest.mark.parametrize("own", [{"env": {"DIFFBIO_DEPLOYMENT": "/tmp/mine.toml"}}, {"command": "false"}])
def test_a_run_cannot_bring_variables_or_a_command_of_its_own(site, inputs, own):
    given = {"input": inputs, "output": {"folder": str(site.data)}}
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        site.trigger("call/on-demand", given, job_variables=own)


def test_a_run_that_takes_too_long_is_stopped_and_not_tried_again(site, called):
    called.trigger(machine={"hours": 1e-4})
    state = site.state(called.id)
    assert state["type"] == "FAILED"
    assert "the run took more than its 0.0001 hours" in state["message"]
    assert site.flow_run(called.id)["run_count"] == 1
    assert not called.output.exists()


def test_a_cancelled_run_stops_its_workers_and_goes_on_when_retried(site, called, undisturbed):
    called.trigger()
    family = called.pause()
    site.set_state(called.id, type="CANCELLING")
    go_on(family)
    assert site.state(called.id)["type"] == "CANCELLED"
    assert all_gone(family)
    # Workers may do what they have been given while the leader stands still: that can be all shards, but no VCF.
    assert finished(called.work)
    assert not called.output.exists()
    site.set_state(called.id, type="SCHEDULED", name="AwaitingRetry")
    assert called.completes() == undisturbed
    assert called.resumed > 0


def test_a_model_is_trained_from_the_form_and_the_page_shows_how_it_went(site):
    from diffbio_core.simulation.variants import VariantModel
    from diffbio_flows import ingest_reads
    from diffbio_io.simulation.dataset import simulate_dataset

    folder = site.data / "known"
    made = simulate_dataset(folder, length=20_000, depth=15.0, seed=5, variants=VariantModel().scaled(4), threads=1)
    (folder / "cluster.toml").write_text('kind = "in-process"\n')
    files = {"reads": made.reads, "reference": made.reference, "cluster": folder / "cluster.toml"}
    ingest_reads(**files, store=str(folder / "w.zarr"))
    sets = folder / "sets.toml"
    sets.write_text(
        f'[[set]]\nname = "known"\nstore = "w.zarr"\ntruth = "{made.truth.name}"\nconfident = "{made.confident.name}"\n'
        'validation = ["chr1:15001-20000"]\n'
    )
    output = {"folder": str(site.data / "models"), "name": "tiny"}
    training = {"epochs": 1, "max_steps": 1}
    parameters = {"input": {"sets": str(sets)}, "output": output, "training": training, "machine": {"workers": 1}}
    run = site.trigger("train/weekly", parameters)
    state = site.state(run)
    assert state["type"] == "COMPLETED", state["message"]
    assert state["message"] == f"1 steps, model {site.data}/models/tiny"
    assert (site.data / "models" / "tiny" / "card.json").exists()
    assert (site.data / "models" / "tiny.work" / "loss.svg").read_text().startswith("<?xml")
    shown = site.artifacts(run)
    assert "sha256" in shown["train-summary"]["data"]
    assert "Candidates kept apart" in shown["train-summary"]["data"]
    assert shown["train-progress"]["data"] == 100.0


def test_the_server_plans_the_runs_of_a_schedule(site, inputs):
    given = {"input": inputs, "output": {"folder": str(site.data), "name": "scheduled.{run}.vcf.gz"}}
    schedule = {"active": True, "schedule": {"cron": "0 2 1 1 *", "timezone": "UTC"}, "parameters": given}
    deployment = site.ask("GET", "deployments/name/call/on-demand")["id"]
    (made,) = site.ask("POST", f"deployments/{deployment}/schedules", json=[schedule])
    wanted = {
        "flow_runs": {"deployment_id": {"any_": [deployment]}, "state": {"name": {"any_": ["Scheduled"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    try:
        planned = wait_for(lambda: site.ask("POST", "flow_runs/filter", json=wanted))
    finally:
        site.ask("DELETE", f"deployments/{deployment}/schedules/{made['id']}")
    assert planned[0]["parameters"]["input"] == inputs
    assert planned[0]["expected_start_time"][5:13] == "01-01T02"
