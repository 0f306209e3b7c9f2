"""A training that is killed at any moment, or loses a worker, ends in the bits of one that was not."""

from __future__ import annotations

import json
import os
import signal
import time

import psutil
import pytest

from diffbio_flows import train_model

PATIENCE = 300


@pytest.fixture(scope="module")
def options():
    return {"batch": 8, "channels": 8, "epochs": 10, "checkpoint_every": 3}


@pytest.fixture(scope="module")
def unbroken(known_sample, options, tmp_path_factory):
    output = tmp_path_factory.mktemp("unbroken") / "model"
    return train_model(**known_sample.fields, **options, output=output, workers=1).parameters_sha256


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_does_not_show(known_sample, options, unbroken, tmp_path):
    killed = []

    def kill(stage, done, steps, loss):
        if stage == "training" and done == 4 and not killed:
            workers = [p for p in psutil.Process().children(recursive=True) if not p.children() and is_worker(p)]
            killed.append(workers[-1])
            os.kill(workers[-1].pid, signal.SIGKILL)

    summary = train_model(**known_sample.fields, **options, output=tmp_path / "model", workers=2, told=kill)
    assert killed
    assert summary.parameters_sha256 == unbroken


def is_worker(process):
    return "multiprocessing" in " ".join(process.cmdline()) and "resource_tracker" not in " ".join(process.cmdline())


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5])
def test_a_killed_command_given_again_ends_in_the_same_bits(
    steps, known_sample, options, unbroken, start_diffbio, diffbio, tmp_path
):
    output = tmp_path / "model"
    words = ["--store", known_sample.store, "--truth", known_sample.truth, "--confident", known_sample.confident]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", value]
    words = ["train", *map(str, words), "--output", str(output), "--workers", "1"]
    process = start_diffbio(words)
    log = tmp_path / "model.work" / "steps.jsonl"
    until = time.monotonic() + PATIENCE
    while not log.exists() or len(log.read_text().splitlines()) < steps:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = diffbio(*words, "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["parameters_sha256"] == unbroken
    assert told["resumed_from"] in ({0} if steps < 3 else {3, 6, 9})
