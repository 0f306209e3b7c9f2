"""A checkpoint gives back the bits that were saved; one that is broken is named, and the one before it used."""

import numpy as np
import pytest

from diffbio_flows.training.checkpoints import KEPT, Checkpoints
from diffbio_flows.training.optimisation import Optimisation, OptimisationConfig


@pytest.fixture(scope="module")
def states():
    optimisation = Optimisation.of(OptimisationConfig(), 20)
    states = [optimisation.start(np.linspace(-1, 1, 5, dtype=np.float32))]
    for step in range(8):
        total = np.random.default_rng(step).normal(size=7).astype(np.float32) + 2
        states.append(optimisation.advance(states[-1], total)[0])
    return states


def saved(folder, states):
    with Checkpoints(folder) as checkpoints:
        for state in states[1:]:
            checkpoints.save(state, {"course": state.step}, {2: 0.9, 5: 0.8}.get(state.step))


def restored(folder, states):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(states[0])


def test_the_newest_gives_its_bits_back(states, tmp_path):
    saved(tmp_path, states)
    found = restored(tmp_path, states)
    assert (found.state.step, found.told, found.broken) == (8, {"course": 8}, ())
    for one, other in (
        (found.state.parameters, states[8].parameters),
        (found.state.average, states[8].average),
        (found.state.optimizer[1][0].nu, states[8].optimizer[1][0].nu),
    ):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_the_last_few_and_the_best_are_kept(states, tmp_path):
    saved(tmp_path, states)
    kept = sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit())
    assert kept == [2, *range(9 - KEPT, 9)]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:-20] + bytes(20)])
def test_a_broken_one_is_named_and_the_one_before_it_used(damage, states, tmp_path):
    saved(tmp_path, states)
    for path in (tmp_path / "8" / "state").rglob("d/*"):
        path.write_bytes(damage(path.read_bytes()))
    found = restored(tmp_path, states)
    assert found.state.step == 7
    assert len(found.broken) == 1
    assert str(tmp_path / "8") in found.broken[0]


def test_without_any_there_is_nothing_to_restore(states, tmp_path):
    assert restored(tmp_path, states) is None
