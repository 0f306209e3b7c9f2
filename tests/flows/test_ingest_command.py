"""``diffbio ingest`` from end to end."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import xarray

from diffbio_core.problems import InputError
from diffbio_core.windows.grid import Shard
from diffbio_flows import ingest_reads
from diffbio_io.store import WindowStore


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
    assert (contig.base.isel(lane=0) != 7).any()


def test_a_store_that_is_filled_is_not_filled_again(fields):
    first = ingest_reads(**fields)
    marker = os.path.join(fields["store"], "chr1", "shards", "000000.json")
    written = os.stat(marker).st_mtime_ns
    second = ingest_reads(**fields)
    assert second.work.resumed_shards == 4
    assert second.work.totals.counters == first.work.totals.counters
    assert os.stat(marker).st_mtime_ns == written


def test_a_shard_without_its_marker_is_done_again(fields):
    ingest_reads(**fields)
    whole = WindowStore(fields["store"]).read(Shard("chr3", 0, 0, 8))
    os.unlink(os.path.join(fields["store"], "chr3", "shards", "000000.json"))
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


def test_bad_input_is_told_and_nothing_is_written(diffbio, individual, tmp_path):
    arguments = ["--reads", individual.reads, "--reference", individual.reference, "--store", tmp_path / "w.zarr"]
    done = diffbio("ingest", *arguments, "--region", "chr9", "--scheduler", "nowhere")
    assert done.returncode == 2
    assert "no contig 'chr9'" in done.stderr
    assert "address must look like tcp://host:8786" in done.stderr
    assert list(tmp_path.iterdir()) == []
