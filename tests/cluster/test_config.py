"""A cluster description is checked when it is made."""

from __future__ import annotations

import os

import pytest

from diffbio_cluster import ClusterConfig, ClusterConfigError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "cloud"}, "kind must be one of in-process, local, address, got 'cloud'"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"memory_mb": 0}, "memory_mb must be positive, got 0"),
        ({"allowed_failures": -1}, "allowed_failures must not be negative, got -1"),
        ({"kind": "address"}, "an address belongs to kind 'address', and that kind needs one"),
        ({"kind": "address", "address": "h"}, "address must look like tcp://host:8786, got 'h'"),
        ({"address": "tcp://h:1"}, "an address belongs to kind 'address', and that kind needs one"),
    ],
)
def test_a_wrong_value_is_told_by_name(fields, message):
    with pytest.raises(ClusterConfigError) as caught:
        ClusterConfig(**fields)
    assert str(caught.value) == message


def test_local_workers_fill_the_cores_that_this_process_may_use():
    assert ClusterConfig().local_workers == len(os.sched_getaffinity(0))
    assert ClusterConfig(workers=3).local_workers == 3
    assert ClusterConfig(kind="address", address="tcp://h:1").local_workers == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers = ", "cannot be read as TOML"),
        ("wrokers = 2", "unknown key 'wrokers'"),
        ("workers = -2", "workers must be at least 1"),
        ("workers = '2'", "workers must be a whole number, got '2'"),
    ],
)
def test_a_faulty_file_is_told_with_its_name(tmp_path, text, message):
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    with pytest.raises(ClusterConfigError, match=message) as caught:
        ClusterConfig.from_file(file)
    assert str(caught.value).startswith(str(file))


def test_a_missing_file_is_told_with_its_name(tmp_path):
    with pytest.raises(ClusterConfigError, match=r"absent\.toml"):
        ClusterConfig.from_file(tmp_path / "absent.toml")
