"""Where a run works must not show in what it writes: other kinds of clusters beside this machine's cores."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from diffbio_io.store.store import WindowStore
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


@pytest.mark.parametrize("keep", ["yes", "no"])
def test_workers_with_a_gpu_call_what_others_have_stored_and_give_the_same_bytes(
    diffbio, individual, tmp_path, expected, keep
):
    # Pretended ids: the "devices" are CPUs, so that the bytes can be those of CPU workers.
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(
        'kind = "local-gpu"\nworkers = 1\ngpus = ["0"]\nthreads_per_gpu = 2\n[environment]\nJAX_PLATFORMS = "cpu"\n'
    )
    found = called(diffbio, individual, tmp_path, "--cluster", cluster, "--keep-windows", keep)
    assert found == expected
    summary = json.loads((tmp_path / "calls.vcf.gz.work" / "summary.json").read_text())
    assert {"ingest", "store", "read", "call"} <= summary["work"]["totals"]["seconds"].keys()
    store = WindowStore(tmp_path / "calls.vcf.gz.work" / "windows.zarr")
    assert [len(store.shards(contig)) for contig in store.contigs] == [1 if keep == "yes" else 0] * 4
