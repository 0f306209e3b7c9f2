"""Where a run works must not show in what it writes: other kinds of clusters beside this machine's cores."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from tests.cluster.slurm import slurm_node

pytestmark = pytest.mark.slow


def called(diffbio, individual, folder: Path, *options: object, **more: object) -> bytes:
    output = folder / "calls.vcf.gz"
    files = "--reads", individual.reads, "--reference", individual.reference, "--output", output
    done = diffbio("call", *files, *options, "--json", **more)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["work"]["totals"]["shards"] == 4
    return gzip.decompress(output.read_bytes())


@pytest.fixture(scope="module")
def expected(diffbio, individual, tmp_path_factory) -> bytes:
    return called(diffbio, individual, tmp_path_factory.mktemp("local"), "--workers", 2)


def test_workers_that_are_slurm_jobs_give_the_same_bytes(diffbio, individual, tmp_path, expected):
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('kind = "slurm"\nworkers = 2\n[slurm]\npartition = "main"\nwalltime = "00:10:00"\n')
    with slurm_node() as variables:
        found = called(diffbio, individual, tmp_path, "--cluster", cluster, env=os.environ | variables)
    assert found == expected
