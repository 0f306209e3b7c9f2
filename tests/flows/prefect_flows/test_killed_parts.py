"""Runs of deployments under which server, worker or the run itself die, and such as meet one another."""

from __future__ import annotations

import pytest

from tests.flows.prefect_flows.conftest import all_gone, finished, go_on, wait_for

pytestmark = pytest.mark.slow


def test_a_run_outlives_the_server_that_is_killed_and_started_again(site, called, undisturbed):
    called.trigger()
    family = called.pause()
    site.kill(site.server)
    go_on(family)
    site.start_server()
    assert called.completes() == undisturbed
    assert called.resumed == 0


def test_a_run_outlives_the_worker_that_started_it(site, called, undisturbed):
    called.trigger()
    family = called.pause()
    site.kill(site.worker)
    go_on(family)
    try:
        assert called.completes() == undisturbed
    finally:
        site.start_worker()
    assert all_gone(family)


def test_a_run_that_is_killed_is_told_and_goes_on_when_retried(site, called, undisturbed):
    called.trigger()
    family = called.pause()
    family[0].kill()
    state = site.state(called.id)
    assert (state["type"], "SIGKILL" in state["message"]) == ("CRASHED", True)
    # The worker tells the same once more, a few seconds later, whatever has become of the run.
    told = "prefect.flow_runs.worker - Check whether the flow run exceeded its memory"
    wait_for(lambda: told in (site.folder / "worker.log").read_text())
    assert all_gone(family)
    # Workers may have done what they had been given, which can be all shards, but no VCF.
    assert finished(called.work)
    assert not called.output.exists()
    site.set_state(called.id, type="SCHEDULED", name="AwaitingRetry")
    assert called.completes() == undisturbed
    assert called.resumed > 0


def test_a_run_that_was_triggered_waits_for_server_and_worker_to_come_back(site, called, undisturbed):
    site.kill(site.worker)
    called.trigger()
    site.kill(site.server)
    site.start_server()
    assert site.flow_run(called.id)["state"]["type"] == "SCHEDULED"
    site.start_worker()
    assert called.completes() == undisturbed


def test_two_runs_that_overlap_take_turns_and_neither_writes_over_the_other(site, inputs, undisturbed):
    names = ("overlap.{run}.vcf.gz", "overlap.{run}.vcf.gz", "overlap.same.vcf.gz", "overlap.same.vcf.gz")
    forms = [{"input": inputs, "output": {"folder": str(site.data), "name": name}} for name in names]
    runs = [site.trigger("call/on-demand", form | {"machine": {"workers": 1}}) for form in forms]
    states = [site.state(run) for run in runs]
    for run, state in zip(runs[:2], states[:2], strict=True):
        assert state["type"] == "COMPLETED", state["message"]
        name = site.flow_run(run)["name"]
        assert (site.data / f"overlap.{name}.vcf.gz").read_bytes() == undisturbed
    assert sorted(state["type"] for state in states[2:]) == ["COMPLETED", "FAILED"]
    (failed,) = (state for state in states[2:] if state["type"] == "FAILED")
    assert "overlap.same.vcf.gz" in failed["message"]
    assert (site.data / "overlap.same.vcf.gz").read_bytes() == undisturbed
