"""A shard counts as done only while its marker and all its files are whole."""

from __future__ import annotations

import pickle

import pytest

from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_flows.shards.commit import commit_shard, load_shard, shard_path
from diffbio_flows.shards.message import ShardResult, ShardTask

RESULT = ShardResult("chr1.000003", 262_144, {"reads_used": 7}, {"ingest": 0.5}, 321.5)


def test_a_committed_shard_loads_as_it_was_written(tmp_path):
    done = commit_shard(tmp_path, RESULT, {".vcf": "chr1\t1\n"})
    assert load_shard(tmp_path, "chr1.000003") == done
    assert done.counters == {"reads_used": 7}
    assert (tmp_path / "chr1.000003.vcf").read_text() == "chr1\t1\n"


def test_nothing_but_the_named_files_remains(tmp_path):
    commit_shard(tmp_path, RESULT, {".vcf": "", ".g.vcf": "x\n"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "chr1.000003.g.vcf",
        "chr1.000003.json",
        "chr1.000003.vcf",
    ]


@pytest.mark.parametrize("damage", ["marker cut", "calls cut", "calls gone", "marker of another", "older format"])
def test_a_damaged_shard_is_not_done(tmp_path, damage):
    commit_shard(tmp_path, RESULT, {".vcf": "chr1\t1\nchr1\t2\n"})
    marker, calls = tmp_path / "chr1.000003.json", tmp_path / "chr1.000003.vcf"
    if damage == "marker cut":
        marker.write_bytes(marker.read_bytes()[:40])
    elif damage == "calls cut":
        calls.write_text("chr1\t1\n")
    elif damage == "calls gone":
        calls.unlink()
    elif damage == "marker of another":
        marker.write_text(marker.read_text().replace("chr1.000003", "chr1.000004"))
    else:
        marker.write_text(marker.read_text().replace('"format": 3', '"format": 2'))
    assert load_shard(tmp_path, "chr1.000003") is None


def test_a_shard_that_was_never_started_is_not_done(tmp_path):
    assert load_shard(tmp_path, "chr1.000003") is None


def test_a_contig_whose_name_holds_a_slash_stays_in_the_folder(tmp_path):
    assert shard_path(tmp_path, "a/../b.000000", ".vcf").parent == tmp_path


def test_a_task_is_a_small_message():
    task = ShardTask(Shard("chr1", 0, 0, 64), WindowGrid(), ((0, 9),), "r.bam", "r.fa", "HG002", "work")
    assert len(pickle.dumps(task)) < 1000
    assert task.name == "chr1.000000"
