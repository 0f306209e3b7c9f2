"""The window store on a real S3 server on loopback."""

import numpy as np
import pytest

from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.store.store import StoreError, WindowStore
from tests.alignments import assert_same_planes, pack, write_bam
from tests.random_reads import random_reads, random_reference
from tests.s3_server import s3_server

pytest.importorskip("s3fs", reason="needs the extra test: s3fs and moto")
GRID = WindowGrid(512, 256, 4)
LENGTH = 6000


@pytest.fixture
def server(monkeypatch):
    with s3_server(monkeypatch) as found:
        yield found


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    random = np.random.default_rng(5)
    reference = random_reference(random, LENGTH)
    reads = random_reads(random, reference, 80)
    bam = write_bam(tmp_path_factory.mktemp("s3") / "reads.bam", [*reads, *reads], {"c1": LENGTH})
    with AlignmentReader(bam) as reader:
        return list(pack(reader, reference, GRID))


@pytest.fixture
def filled(server, shards):
    store = WindowStore(server.url, GRID)
    store.create_contigs({"c1": LENGTH})
    for planes in shards:
        store.write(planes)
    return store


def test_what_is_read_is_what_was_written(filled, shards):
    other = WindowStore(filled.url)
    assert other.contigs == ["c1"]
    for planes in shards:
        assert_same_planes(other.read(planes.shard), planes)
    assert other.shards("c1") == [planes.shard for planes in shards]


def test_a_shard_takes_few_requests(server, filled, shards):
    server.requests.clear()
    filled.write(shards[1])
    assert server.requests["PUT"] <= 16
    filled.free(shards[1].shard)
    filled.write(shards[1])
    other = WindowStore(filled.url)
    server.requests.clear()
    found = other.reads(("c1", 2100, 2300))
    assert found["reads"].shape[0] >= 10
    assert server.requests.total() <= 12


def test_missing_and_cut_chunks_are_told_from_a_listing(server, filled, shards):
    assert filled.faults(planes.shard for planes in shards) == {}
    server.client.delete_object(Bucket="windows", Key="w.zarr/c1/base/c/0/0/0")
    server.client.put_object(Bucket="windows", Key="w.zarr/c1/reference/c/1/0", Body=b"cut")
    filled.free(shards[-1].shard)
    server.requests.clear()
    faults = filled.faults(planes.shard for planes in shards)
    assert faults[shards[0].shard] == ["chunk c1/base/c/0/0/0 is missing"]
    assert "chunk c1/reference/c/1/0 has 3 bytes, not" in faults[shards[1].shard][0]
    assert server.requests.total() <= 6
    with pytest.raises(StoreError, match="chunk c1/base/c/0/0/0 is missing"):
        filled.read(shards[0].shard)
