"""``diffbio ingest`` from end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from hashlib import md5

import numpy as np
import pysam
import pytest
import xarray

from diffbio_core.problems import InputError
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_flows import ingest_reads
from diffbio_io.store.store import StoreError, WindowStore
from tests.flows.conftest import fill


@pytest.fixture
def fields(individual, tmp_path):
    """Parameters of an ingest run in this process."""
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    store = str(tmp_path / "windows.zarr")
    return {"reads": individual.reads, "reference": individual.reference, "store": store, "cluster": cluster}


def test_the_command_fills_a_store_that_xarray_opens(individual, diffbio, tmp_path):
    store = tmp_path / "windows.zarr"
    files = ["--reads", individual.reads, "--reference", individual.reference, "--store", store]
    done = diffbio("ingest", *files, "--workers", "1", "--json")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert summary["work"]["totals"]["core_bp"] == 120_000
    assert summary["work"]["totals"]["counters"]["windows"] == 32
    contig = xarray.open_zarr(store, group="chr2")
    assert contig.base.dims == ("window", "lane", "position")
    assert contig.base.sizes["window"] == 8
    assert contig.attrs["sample"] == "simulated"
    with pysam.FastaFile(str(individual.reference)) as fasta:
        assert contig.attrs["md5"] == md5(fasta.fetch("chr2").upper().encode()).hexdigest()
    told = WindowStore(store).attributes
    assert told["contigs"] == {"chr1": 30_000, "chr2": 30_000, "chr3": 30_000, "chr4": 30_000}
    assert told["reads"]["path"] == str(individual.reads)
    assert (contig.base.isel(lane=0) != 7).any()


def test_a_store_that_is_filled_is_not_filled_again(fields):
    first = ingest_reads(**fields)
    marker = os.path.join(fields["store"], "chr1", "shards", "000000", "zarr.json")
    written = os.stat(marker).st_mtime_ns
    second = ingest_reads(**fields)
    assert second.work.resumed_shards == 4
    assert second.work.totals.counters == first.work.totals.counters
    assert os.stat(marker).st_mtime_ns == written


def test_a_shard_without_its_marker_is_done_again(fields):
    ingest_reads(**fields)
    whole = WindowStore(fields["store"]).read(Shard("chr3", 0, 0, 8))
    os.unlink(os.path.join(fields["store"], "chr3", "shards", "000000", "zarr.json"))
    assert ingest_reads(**fields).work.resumed_shards == 3
    again = WindowStore(fields["store"]).read(Shard("chr3", 0, 0, 8))
    np.testing.assert_array_equal(again.base, whole.base)


def test_windows_of_other_reads_are_replaced_only_by_force(fields, individual):
    ingest_reads(**fields)
    status = os.stat(individual.reads)
    os.utime(individual.reads, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    try:
        with pytest.raises(InputError, match="was made of other files, or of an older state of them"):
            ingest_reads(**fields)
        assert ingest_reads(**fields, force=True).work.resumed_shards == 0
    finally:
        os.utime(individual.reads, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_second_part_of_a_shard_keeps_the_first(individual, diffbio, tmp_path):
    files = ["--reads", individual.reads, "--reference", individual.reference, "--store", tmp_path / "w.zarr"]
    for region in ("chr2:1-4000", "chr2:17000-18000"):
        assert diffbio("ingest", *files, "--region", region, "--workers", "1").returncode == 0
    store = WindowStore(tmp_path / "w.zarr")
    assert store.shards("chr2") == [Shard("chr2", 0, 0, 5)]
    for region in ("chr2:1-4000", "chr2:9000-9500", "chr2:17000-18000"):
        assert store.reads(region)["reads"].shape[0] > 0
    with pytest.raises(StoreError, match="does not hold all windows of chr2:20481-20482"):
        store.reads("chr2:20481-20482")


def test_a_store_is_filled_by_one_process_at_a_time(individual, diffbio, start_diffbio, tmp_path):
    store = tmp_path / "w.zarr"
    files = ["--reads", individual.reads, "--reference", individual.reference, "--store", store, "--workers", "1"]
    first = start_diffbio(list(map(str, ["ingest", *files, "--region", "chr2:1-4000"])))
    wait_for(lambda: (store / ".lock").exists() and (store / ".lock").read_text(), first)
    first.send_signal(signal.SIGSTOP)
    second = diffbio("ingest", *files, "--region", "chr2:17000-18000")
    assert second.returncode == 2
    told = second.stderr.splitlines()[-1]
    assert told.startswith(f"diffbio: window store {store}: process {first.pid} on ")
    assert told.endswith(", is working in it. Wait for it, or choose another --store.")
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 0, errors
    assert not (store / ".lock").exists()
    assert diffbio("ingest", *files, "--region", "chr2:17000-18000").returncode == 0
    assert WindowStore(store).shards("chr2") == [Shard("chr2", 0, 0, 5)]


def test_the_lock_of_a_killed_process_holds_nobody_up(individual, diffbio, start_diffbio, tmp_path):
    store = tmp_path / "w.zarr"
    files = ["--reads", individual.reads, "--reference", individual.reference, "--store", store, "--workers", "1"]
    first = start_diffbio(list(map(str, ["ingest", *files])))
    wait_for((store / ".lock").exists, first)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    assert (store / ".lock").exists()
    assert diffbio("ingest", *files, "--region", "chr2:1-4000").returncode == 0
    assert not (store / ".lock").exists()
    assert xarray.open_zarr(store, group="chr2").base.sizes["window"] == 8


@pytest.mark.slow
@pytest.mark.mounts
def test_a_full_disk_ends_the_run_with_the_file_and_the_rest_is_done_with_more_room(
    individual, diffbio, start_diffbio, tiny_disk, fields
):
    disk = tiny_disk("700k")
    store = disk / "windows.zarr"
    files = ["--reads", individual.reads, "--reference", individual.reference, "--store", store, "--workers", "1"]
    done = diffbio("ingest", *files)
    assert done.returncode == 2
    assert done.stderr.endswith(" are free there. Free some, or put --store on another disk.\n")
    subprocess.run(["mount", "-o", "remount,size=3m", str(disk)], check=True)
    first = start_diffbio(list(map(str, ["ingest", *files])))
    wait_for(lambda: list(store.glob("chr*/shards/*/zarr.json")), first)
    os.killpg(first.pid, signal.SIGSTOP)
    fill(disk / "filler")
    os.killpg(first.pid, signal.SIGCONT)
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 1
    assert f"No space left on device: '{store}/" in errors
    assert "Traceback" not in errors
    (disk / "filler").unlink()
    done = diffbio("ingest", *files, "--json")
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["work"]["resumed_shards"] < 4
    ingest_reads(**fields)
    for contig in ("chr1", "chr2", "chr3", "chr4"):
        found, wanted = (WindowStore(path).read(Shard(contig, 0, 0, 8)) for path in (store, fields["store"]))
        np.testing.assert_array_equal(found.base, wanted.base)
        np.testing.assert_array_equal(found.base_quality, wanted.base_quality)


def wait_for(condition, process) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_another_part_of_a_shard_of_other_reads_is_refused(fields, individual):
    ingest_reads(**fields, region=("chr2:1-4000",))
    status = os.stat(individual.reads)
    os.utime(individual.reads, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    try:
        with pytest.raises(InputError, match="was made of other files, or of an older state of them"):
            ingest_reads(**fields, region=("chr2:17000-18000",))
        ingest_reads(**fields, region=("chr2:17000-18000",), force=True)
    finally:
        os.utime(individual.reads, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert WindowStore(fields["store"]).shards("chr2") == [Shard("chr2", 0, 4, 5)]


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("thesis", "thesis is not a window store: it holds 'chapter1' but no zarr.json"),
        ("other.zarr", "other.zarr: contig chr1 is laid out with reference_length 2048, not 4096"),
        ("broken.zarr", "broken.zarr is not a window store: its zarr.json cannot be read"),
        ("nowhere://windows", "cannot be opened: Protocol not known: nowhere"),
    ],
)
def test_a_store_that_cannot_be_filled_is_told_and_left(diffbio_here, individual, tmp_path, store, told):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("precious")
    WindowStore(tmp_path / "other.zarr", WindowGrid(2048, 256, 128)).create_contigs({"chr1": 30_000})
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    before = sorted(tmp_path.rglob("*"))
    files = ["--reads", individual.reads, "--reference", individual.reference, "--store", store]
    done = diffbio_here("ingest", *files, "--region", "chr9", cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "no contig 'chr9'" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_contig_of_another_length_is_refused(diffbio_here, individual, tmp_path):
    WindowStore(tmp_path / "w.zarr", WindowGrid()).create_contigs({"chr1": 29_000})
    files = ["--reads", individual.reads, "--reference", individual.reference, "--store", tmp_path / "w.zarr"]
    done = diffbio_here("ingest", *files)
    assert done.returncode == 2
    assert "contig chr1 is laid out with contig_length 29000, not 30000" in done.stderr


def test_bad_input_is_told_and_nothing_is_written(diffbio_here, individual, tmp_path):
    arguments = ["--reads", individual.reads, "--reference", individual.reference, "--store", tmp_path / "w.zarr"]
    done = diffbio_here("ingest", *arguments, "--region", "chr9", "--scheduler", "nowhere")
    assert done.returncode == 2
    assert "no contig 'chr9'" in done.stderr
    assert "address must look like tcp://host:8786" in done.stderr
    assert list(tmp_path.iterdir()) == []
