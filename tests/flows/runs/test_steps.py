"""The steps of a run: each once, timed by its name, whatever drives them."""

from __future__ import annotations

import pytest

from diffbio_flows.runs.steps import ShardRun, Step, drive


class Counting(ShardRun[list[str]]):
    """Three steps that note when they were taken; the second one fails where asked to."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__(None)
        self.taken: list[str] = []
        self.let_go = False
        self._fails = fails

    @property
    def steps(self):
        return (
            Step("first", lambda: self.take("first")),
            Step("second", self.second),
            Step("third", lambda: self.take("third")),
        )

    def take(self, name):
        self.taken.append(name)

    def second(self):
        self.held.callback(setattr, self, "let_go", True)
        if self._fails:
            raise RuntimeError("no")
        self.take("second")

    def summary(self):
        return self.taken


def test_steps_are_taken_in_order_and_timed_by_their_names():
    run = Counting()
    assert drive(run) == ["first", "second", "third"]
    assert list(run.wall_seconds) == ["first", "second", "third"]
    assert run.let_go


def test_a_step_that_was_taken_before_is_not_taken_again():
    run = Counting()
    run.time(run.steps[0])
    assert drive(run) == ["first", "second", "third"]


def test_a_step_that_fails_is_the_last_and_what_was_held_is_let_go():
    run = Counting(fails=True)
    with pytest.raises(RuntimeError, match="no"):
        drive(run)
    assert run.taken == ["first"]
    assert list(run.wall_seconds) == ["first"]
    assert run.let_go


def test_whoever_drives_chooses_how_a_step_is_carried_out():
    run, carried = Counting(), []

    def carry_out(step):
        carried.append(step.name)
        step.take()

    drive(run, carry_out)
    assert carried == run.taken == list(run.wall_seconds)
