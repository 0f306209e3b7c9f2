"""Parameters are checked where they enter."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from diffbio_cluster import ClusterConfig, ClusterConfigError
from diffbio_core.windows.grid import WindowGrid
from diffbio_flows.runs.parameters import CallParameters

BASE = {"reads": "r.bam", "reference": "r.fa", "output": "calls.vcf.gz"}


@pytest.mark.parametrize("length", [512, 2048, 4096, 65_536])
def test_a_shard_is_as_long_whatever_the_window(length):
    grid = CallParameters(**BASE, window_length=length).grid
    assert grid.reference_length * grid.windows_per_shard == 262_144
    assert grid.reference_length == length


def test_the_default_grid_is_the_core_s():
    assert CallParameters(**BASE).grid == WindowGrid()


@pytest.mark.parametrize("length", [0, 256, 3000, 131_072])
def test_other_window_lengths_are_refused(length):
    with pytest.raises(ValidationError, match="window_length"):
        CallParameters(**BASE, window_length=length)


def test_a_field_that_does_not_exist_is_refused():
    with pytest.raises(ValidationError, match="refrence"):
        CallParameters(**BASE, refrence="x")


def test_the_work_directory_lies_beside_the_output():
    assert str(CallParameters(**BASE).work_path) == "calls.vcf.gz.work"
    assert str(CallParameters(**BASE, work_dir="elsewhere").work_path) == "elsewhere"


def test_every_field_has_a_description_for_the_form():
    fields = CallParameters.model_json_schema()["properties"]
    assert [name for name, entry in fields.items() if not entry.get("description")] == []


def test_workers_and_scheduler_become_a_cluster(tmp_path):
    assert CallParameters(**BASE, workers=3).cluster_config() == ClusterConfig(workers=3)
    remote = CallParameters(**BASE, scheduler="tcp://h:1").cluster_config()
    assert remote == ClusterConfig(kind="address", address="tcp://h:1")
    file = tmp_path / "cluster.toml"
    file.write_text("workers = 2\nmemory_mb = 900\n")
    assert CallParameters(**BASE, cluster=file, workers=4).cluster_config() == ClusterConfig(workers=4, memory_mb=900)


def test_two_clusters_at_once_are_refused():
    with pytest.raises(ClusterConfigError, match="goes with neither"):
        CallParameters(**BASE, scheduler="tcp://h:1", workers=2).cluster_config()
