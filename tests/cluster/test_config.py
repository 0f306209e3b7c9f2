"""A cluster description is checked when it is made."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_cluster import ClusterConfig, ClusterConfigError
from diffbio_cluster.config import SlurmJobs


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "ec2"}, "kind must be one of in-process, local, local-gpu, slurm, kubernetes, address, got 'ec2'"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"memory_mb": 0}, "memory_mb must be at least 1, got 0"),
        ({"allowed_failures": -1}, "allowed_failures must be at least 0, got -1"),
        ({"kind": "address"}, "an address belongs to kind 'address', and that kind needs one"),
        ({"kind": "address", "address": "h"}, "address must look like tcp://host:8786, got 'h'"),
        ({"address": "tcp://h:1"}, "an address belongs to kind 'address', and that kind needs one"),
        ({"worker_timeout": 0}, "worker_timeout must be more than 0, got 0"),
        ({"environment": {"A": 1}}, "environment.A must be text, got 1"),
        ({"gpus": ["0"]}, "gpus belongs to kind 'local-gpu', not 'local'"),
        ({"kind": "local-gpu", "gpus": []}, "gpus must be a list that is not empty, got []"),
        ({"kind": "local-gpu", "gpus": ["1", "1"]}, "gpus must differ from one another, got 1, 1"),
        ({"kind": "kubernetes"}, "kind 'kubernetes' needs a section [kubernetes] with the image of its pods"),
        ({"kind": "kubernetes", "kubernetes": {}}, "kubernetes.image is missing"),
        ({"slurm": {}}, "slurm belongs to kind 'slurm', not 'local'"),
        ({"kind": "slurm", "slurm": {"cores": 0}}, "slurm.cores must be at least 1, got 0"),
        ({"tls": {"ca_file": "ca.pem", "cert": "me.pem"}}, "tls belongs to kind 'address', not 'local'"),
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
        ("kind = 'slurm'\n[slurm]\npartitoin = 'long'", "unknown key 'slurm.partitoin'; known keys are account, "),
        ("slurm = 2", "slurm must be a table, got 2"),
    ],
)
def test_a_faulty_file_is_told_with_its_name(tmp_path, text, message):
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    with pytest.raises(ClusterConfigError, match=message) as caught:
        ClusterConfig.from_file(file)
    assert str(caught.value).startswith(str(file))


def test_every_fault_is_told_at_once():
    with pytest.raises(ClusterConfigError) as caught:
        ClusterConfig(workers=0, memory_mb="much")
    assert str(caught.value) == "workers must be at least 1, got 0; memory_mb must be a whole number, got 'much'"


def test_another_number_of_workers_leaves_all_else():
    config = ClusterConfig(kind="slurm", slurm=SlurmJobs(partition="long"), memory_mb=900)
    changed = config.with_workers(3).with_scratch("here").with_scratch("there")
    assert (changed.workers, changed.slurm, changed.memory_mb, changed.scratch) == (3, config.slurm, 900, "here")


def test_a_missing_file_is_told_with_its_name(tmp_path):
    with pytest.raises(ClusterConfigError, match=r"absent\.toml"):
        ClusterConfig.from_file(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"workers = " + b"9" * 5000, "cannot be read as TOML: "),
        (b"workers = " + b"9" * 400, "workers"),
        (b"x = " + b"[" * 5000, "cannot be read as TOML: "),
        (b"workers = 1\nworkers = 2", "cannot be read as TOML: "),
        (b"\xff\xfew\0", "cannot be read as TOML: "),
        (b"[environment]\n\"A=B\" = 'x'", "environment has a name or a value that no variable can have"),
        (b'scratch = "a\\u0000b"', "scratch must be the name of a folder"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path, data, message):
    (tmp_path / "c.toml").write_bytes(data)
    with pytest.raises(ClusterConfigError, match=message):
        ClusterConfig.from_file(tmp_path / "c.toml")


def test_a_folder_or_a_pipe_is_no_description(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ClusterConfigError, match="is a folder, a pipe or a device"):
            ClusterConfig.from_file(path)


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfworkers = 3\r\n", b"workers = 3", b"  workers=3  # three\n\n"])
def test_what_editors_save_is_read(tmp_path, data):
    (tmp_path / "c.toml").write_bytes(data)
    assert ClusterConfig.from_file(tmp_path / "c.toml").workers == 3


WORDS = ["kind", "workers", "memory_mb", "address", "environment", "scratch", "=", "'local'", "3", "-1", "true", "nan"]


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([*WORDS, "\n", "[", "]", "{", "}", "''"])).map(" ".join).map(str.encode)
)
def test_any_description_is_read_or_refused(data):
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ClusterConfigError):
        (Path(folder) / "c.toml").write_bytes(data)
        assert ClusterConfig.from_file(Path(folder) / "c.toml").memory_mb > 0
