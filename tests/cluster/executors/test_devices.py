"""Every worker with a GPU sees one device, and no other worker sees it."""

import pytest

from diffbio_cluster.executors.devices import device_problems, seen_devices


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"tcp://a:1": ["0"], "tcp://a:2": ["1"], "tcp://b:1": ["0"]}, []),
        ({"tcp://a:1": ["0", "1"]}, ["worker tcp://a:1: has the resource GPU but sees 0, 1"]),
        ({"tcp://a:1": []}, ["worker tcp://a:1: has the resource GPU but sees no device"]),
        ({"tcp://a:1": ["2"], "tcp://a:2": ["2"]}, ["GPU 2 of a: is seen by several workers"]),
    ],
)
def test_who_sees_what_is_told(seen, told):
    found = [str(problem) for problem in device_problems(seen)]
    assert len(found) == len(told)
    for text, start in zip(found, told, strict=True):
        assert text.startswith(start)
        assert "CUDA_VISIBLE_DEVICES" in text


def test_a_worker_says_what_its_environment_names_unless_jax_finds_more(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert seen_devices() == ["5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert seen_devices() == ["cpu:0"]
