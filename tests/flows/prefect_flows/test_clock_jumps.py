"""Runs of deployments in whose midst the time of day of their machine is set: of server, worker and run alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flows.prefect_flows.conftest import Called, Site, go_on
from tests.wall_clock import DAY, WallClock

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clock(tmp_path_factory) -> WallClock:
    return WallClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def machine(clock, new_site) -> Iterator[Site]:
    """A site whose processes all have the clock."""
    with new_site(**clock.environment) as found:
        yield found


@pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["forward", "back"])
def test_a_jump_in_the_midst_of_a_run_changes_nothing(machine, clock, individual, undisturbed, seconds):
    for path in individual.reads.parent.glob("re*"):
        if not (machine.data / path.name).exists():
            (machine.data / path.name).hardlink_to(path)
    inputs = {name: str(machine.data / getattr(individual, name).name) for name in ("reads", "reference")}
    called = Called(machine, inputs, f"jump{seconds}")
    called.trigger()
    family = called.pause()
    clock.jump(seconds)
    go_on(family)
    assert called.completes() == undisturbed
    assert called.resumed == 0
    assert machine.flow_run(called.id)["run_count"] == 1
