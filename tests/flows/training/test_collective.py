"""Training as one program over several processes: the curve of the other mode, also where a process is killed."""

import json

import jax
import numpy as np
import psutil
import pytest

from diffbio_flows import train_model
from diffbio_flows.training.member import may_be_of_another

TINY = {"validation": ("chr2",), "batch": 8, "channels": 8, "epochs": 12, "checkpoint_every": 2}


def steps_of(output):
    lines = (output.parent / f"{output.name}.work" / "steps.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def group_processes():
    """Processes of a group, below this one."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.is_running() and "diffbio_flows.training.member" in child.cmdline()
    ]


@pytest.fixture(scope="module")
def together(known_sample, tmp_path_factory):
    output = tmp_path_factory.mktemp("together") / "model"
    return train_model(**known_sample.fields, **TINY, output=output, workers=2, collective=True), output


@pytest.fixture(scope="module")
def alone(known_sample, in_process, tmp_path_factory):
    """The other mode, in this process."""
    output = tmp_path_factory.mktemp("alone") / "model"
    return train_model(**known_sample.fields, **TINY, output=output, cluster=in_process), output


def test_two_processes_take_the_steps_that_workers_and_leader_take(together, alone):
    (summary, output), (other, others_output) = together, alone
    found, expected = steps_of(output), steps_of(others_output)
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    check_curve(found, expected, processes=2)
    assert summary.best_step == other.best_step
    assert not group_processes()


@pytest.mark.slow
def test_so_do_four(alone, known_sample, tmp_path):
    output = tmp_path / "model"
    train_model(**known_sample.fields, **TINY | {"max_steps": 4}, output=output, workers=4, collective=True)
    check_curve(steps_of(output)[:2], steps_of(alone[1])[:2], processes=4)


def check_curve(found, expected, processes):
    assert {line["workers"] for line in found} == {processes}
    for name in ("candidates", "loss", "gradient_norm"):
        np.testing.assert_allclose([line[name] for line in found], [line[name] for line in expected], rtol=2e-3)


def test_a_group_of_which_a_process_is_killed_starts_anew_and_ends_in_the_same_bits(together, known_sample, tmp_path):
    killed = []

    def told(stage, done, steps, loss):
        if stage == "training" and done == 3 and not killed:
            victim = group_processes()[-1]
            killed.append(victim.pid)
            victim.kill()

    summary = train_model(
        **known_sample.fields, **TINY, output=tmp_path / "model", workers=2, collective=True, told=told
    )
    assert killed
    assert summary.parameters_sha256 == together[0].parameters_sha256
    assert [line["step"] for line in steps_of(tmp_path / "model")] == list(range(1, summary.steps + 1))
    assert any("SIGKILL" in warning or "status" in warning for warning in summary.warnings)
    assert not group_processes()


@pytest.mark.parametrize(
    ("error", "of_another"),
    [
        (jax.errors.JaxRuntimeError("FAILED_PRECONDITION: Buffer Definition Event"), True),
        (ValueError("UNKNOWN: Gloo AllGather failed: Read error: Connection reset by peer"), True),
        (ValueError("the store's shard chr1.000000 is damaged"), False),
        (FloatingPointError("the loss of step 3 is nan"), False),
    ],
)
def test_what_another_process_may_have_caused_is_told_from_a_process_own_fault(error, of_another):
    assert may_be_of_another(error) == of_another
