"""Where a run works must not show in what it writes: other kinds of clusters beside this machine's cores."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from diffbio_io.store.store import WindowStore
from tests.cluster.slurm import slurm_node
from tests.dask_processes import DaskProcesses

pytestmark = pytest.mark.slow


def called(diffbio, folder: Path, *options: object, **more: object) -> bytes:
    output = folder / "calls.vcf.gz"
    done = diffbio("call", "--output", output, *options, "--json", "--force", **more)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["work"]["totals"]["shards"] == 4
    return gzip.decompress(output.read_bytes())


@pytest.fixture(scope="module")
def reads(individual) -> tuple[object, ...]:
    return "--reads", individual.reads, "--reference", individual.reference


@pytest.fixture(scope="module")
def local(diffbio, reads, tmp_path_factory) -> tuple[bytes, Path]:
    """What two workers of this machine call, and the window store that they leave."""
    folder = tmp_path_factory.mktemp("local")
    return called(diffbio, folder, *reads, "--workers", 2), folder / "calls.vcf.gz.work" / "windows.zarr"


@pytest.fixture(scope="module")
def expected(local) -> bytes:
    return local[0]


@pytest.fixture(scope="module")
def windows(local) -> tuple[object, ...]:
    return "--windows", local[1]


def test_two_workers_call_the_same_bytes_from_a_store(diffbio, windows, tmp_path, expected):
    assert called(diffbio, tmp_path, *windows, "--workers", 2) == expected


def test_workers_that_are_slurm_jobs_give_the_same_bytes(diffbio, reads, windows, tmp_path, expected):
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('kind = "slurm"\nworkers = 2\n[slurm]\npartition = "main"\nwalltime = "00:10:00"\n')
    with slurm_node() as variables:
        for name, source in (("reads", reads), ("windows", windows)):
            folder = tmp_path / name
            folder.mkdir()
            assert called(diffbio, folder, *source, "--cluster", cluster, env=os.environ | variables) == expected


def test_workers_of_a_scheduler_that_is_reached_by_tls_give_the_same_bytes(diffbio, reads, windows, tmp_path, expected):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    key, certificate, other = tmp_path / "key.pem", tmp_path / "certificate.pem", tmp_path / "other.pem"
    for path in (other, certificate):
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        )
        subprocess.run([*command.split(), "-keyout", key, "-out", path], check=True, capture_output=True)
        path.write_bytes(path.read_bytes() + key.read_bytes())
    cluster = tmp_path / "cluster.toml"
    with DaskProcesses(tmp_path, certificate) as dask:
        assert dask.address.startswith("tls://")
        dask.start_worker(2)
        for name, source in (("reads", reads), ("windows", windows)):
            cluster.write_text(_tls(dask.address, certificate))
            folder = tmp_path / name
            folder.mkdir()
            assert called(diffbio, folder, *source, "--cluster", cluster) == expected
        # Who shows another certificate than the scheduler trusts is not let in.
        cluster.write_text(_tls(dask.address, other))
        refused = diffbio("call", *windows, "--output", tmp_path / "no.vcf.gz", "--cluster", cluster)
    assert refused.returncode == 1
    assert "no Dask cluster could be reached" in refused.stderr
    assert "Traceback" not in refused.stderr


def _tls(address: str, certificate: Path) -> str:
    lines = ['kind = "address"', f'address = "{address}"', "worker_timeout = 5.0"]
    return "\n".join([*lines, "[tls]", f'ca_file = "{certificate}"', f'cert = "{certificate}"', ""])


@pytest.mark.parametrize("keep", ["yes", "no"])
def test_workers_with_a_gpu_call_what_others_have_stored_and_give_the_same_bytes(
    diffbio, reads, tmp_path, expected, keep
):
    # Pretended ids: the "devices" are CPUs, so that the bytes can be those of CPU workers.
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(
        'kind = "local-gpu"\nworkers = 1\ngpus = ["0"]\nthreads_per_gpu = 2\n[environment]\nJAX_PLATFORMS = "cpu"\n'
    )
    found = called(diffbio, tmp_path, *reads, "--cluster", cluster, "--keep-windows", keep)
    assert found == expected
    summary = json.loads((tmp_path / "calls.vcf.gz.work" / "summary.json").read_text())
    assert {"ingest", "store", "read", "call"} <= summary["work"]["totals"]["seconds"].keys()
    store = WindowStore(tmp_path / "calls.vcf.gz.work" / "windows.zarr")
    assert [len(store.shards(contig)) for contig in store.contigs] == [1 if keep == "yes" else 0] * 4
