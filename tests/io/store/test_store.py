"""The window store."""

import json
import os
import subprocess
import sys
import uuid
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from diffbio_core.problems import InputError
from diffbio_core.reads.records import SET_ASIDE
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.planes import PlaneBuffers
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.store.store import StoreError, WindowStore
from tests.alignments import Sam, assert_same_planes, pack, write_bam
from tests.random_reads import random_reads, random_reference

GRID = WindowGrid(512, 256, 4)
LENGTH = 5000


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Three shards of a contig of 5 kb: of 32 lanes, of 64, and without reads."""
    random = np.random.default_rng(12)
    reference = random_reference(random, LENGTH)
    reads = random_reads(random, reference[:3500], 100)
    reads += [read for read in reads for _ in range(2)]
    reads += [Sam(2500, "100M", name=f"d{number}") for number in range(40)]
    bam = write_bam(tmp_path_factory.mktemp("store") / "reads.bam", reads, {"c1": LENGTH})
    with AlignmentReader(bam) as reader:
        return list(pack(reader, reference, GRID))


@pytest.fixture
def filled(tmp_path, shards):
    store = WindowStore(tmp_path / "windows.zarr", GRID)
    store.create_contigs({"c1": LENGTH}, {"sample": "NA1"}, {"c1": {"md5": "abc"}})
    for planes in shards:
        store.write(planes, reads="reads.bam")
    return store


def assert_same(one, other):
    assert_same_planes(one, other)
    np.testing.assert_array_equal(one.reference, other.reference)
    for name, values in vars(one.candidates).items():
        np.testing.assert_array_equal(values, getattr(other.candidates, name))
        assert values.dtype == getattr(other.candidates, name).dtype
    assert (one.shard, one.grid, one.contig_length) == (other.shard, other.grid, other.contig_length)
    assert one.read_counts == other.read_counts


def chunks(store, shard):
    """Path of every chunk of a shard, by the name of its array."""
    return {path.split("/c/")[0].split("/")[-1]: Path(store.url, path) for path in store.marker(shard)["chunks"]}


def test_what_is_read_is_what_was_written(filled, shards):
    assert [planes.num_lanes for planes in shards] == [32, 64, 0]
    assert sum(len(planes.candidates) for planes in shards) > 20
    for planes in shards:
        assert_same(filled.read(planes.shard), planes)
        assert_same(WindowStore(filled.url).read(planes.shard, PlaneBuffers()), planes)


def test_some_windows_of_a_shard_can_be_read(filled, shards):
    part = filled.read(Shard("c1", 1, 5, 7))
    np.testing.assert_array_equal(part.base, shards[1].base[:, 1:3])
    np.testing.assert_array_equal(part.reference, shards[1].reference[1:3])
    lanes = slice(part.num_lanes, 3 * part.num_lanes)
    assert_same_planes(part, replace(part, reads=shards[1].reads.lanes(lanes.start, lanes.stop)))
    assert_same_planes(part, replace(part, indels=shards[1].indels.lanes(lanes.start, lanes.stop)))
    whole = shards[1].candidates
    inside = (whole.window >= 1) & (whole.window < 3)
    np.testing.assert_array_equal(part.candidates.window, whole.window[inside] - 1)
    np.testing.assert_array_equal(part.candidates.column, whole.column[inside])
    np.testing.assert_array_equal(
        np.diff(part.candidates.support_start), np.diff(whole.support_start)[np.flatnonzero(inside)]
    )


def test_a_shard_of_some_windows_is_written_and_read(tmp_path, filled):
    part = filled.read(Shard("c1", 1, 5, 7))
    store = WindowStore(tmp_path / "part.zarr", GRID)
    store.create_contigs({"c1": LENGTH})
    store.write(part)
    assert_same(store.read(part.shard), part)
    assert store.marker(Shard("c1", 1, 4, 8)) is None
    assert store.shards("c1") == [part.shard]


def test_lanes_and_shards_without_reads_take_no_room(filled, shards):
    inner = [np.frombuffer(chunks(filled, shards[n].shard)["base"].read_bytes()[-132:-4], "<u8")[::2] for n in (0, 1)]
    assert [np.count_nonzero(offsets != 2**64 - 1) for offsets in inner] == [1, 2]
    assert list(chunks(filled, shards[2].shard)) == ["reference"]


def test_xarray_opens_a_contig_without_a_warning(filled, shards):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contig = xarray.open_zarr(filled.url, group="c1")
        unconsolidated = xarray.open_zarr(filled.url, group="c1", consolidated=False)
    assert contig.base.dims == ("window", "lane", "position")
    assert dict(contig.sizes) == {"window": 10, "lane": 256, "position": 1024}
    assert contig.start.values.tolist() == [512 * window for window in range(10)]
    assert {name: contig.attrs[name] for name in ("contig", "contig_length", "reference_length", "halo", "md5")} == {
        "contig": "c1",
        "contig_length": LENGTH,
        "reference_length": 512,
        "halo": 256,
        "md5": "abc",
    }
    assert "deleted 5" in contig.base.attrs["long_name"]
    wanted = shards[1].plane("base")
    np.testing.assert_array_equal(contig.base[4:8, : wanted.shape[1]].values, wanted)
    np.testing.assert_array_equal(
        contig.isel(window=slice(5, 7)).load().base_quality[:, :64], shards[1].plane("base_quality")[1:3]
    )
    assert (contig.base[:, 64:] == 7).all()
    np.testing.assert_array_equal(unconsolidated.reference[8:10].values, shards[2].reference)


def test_xarray_shows_the_tables_of_a_shard_with_their_true_lengths(filled, shards):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = xarray.open_zarr(Path(filled.url, "c1", "shards", "000001"))
        by_name = xarray.open_zarr(filled.url, group="c1/shards/000001", consolidated=False)
        bare = zarr.open_array(Path(filled.url, "c1", "shards", "000001", "reads"), mode="r")
    table, reads = shards[1].candidates, shards[1].reads
    for found in (whole, by_name):
        assert found.sizes["candidate"] == len(table)
        assert found.sizes["support"] == table.support_lane.size
        assert found.reads.shape == (5, reads.column.size)
    assert whole.reads.attrs["fields"] == ["window", "lane", "column", "mapping_quality", "rank"]
    np.testing.assert_array_equal(whole.reads[2], reads.column)
    np.testing.assert_array_equal(bare[3], reads.mapping_quality)
    np.testing.assert_array_equal(whole.candidates[whole.candidates.attrs["fields"].index("length")], table.length)


def test_the_tree_of_a_store_shows_contigs_and_what_they_were_made_of(filled):
    tree = xarray.open_datatree(filled.url, engine="zarr")
    assert list(tree.children) == ["c1"]
    assert tree["c1"].base.shape == (10, 256, 1024)
    assert (tree.attrs["format"], tree.attrs["sample"]) == (7, "NA1")


def test_a_shard_without_its_marker_is_not_done(filled, shards):
    Path(filled.url, "c1", "shards", "000001", "zarr.json").unlink()
    assert filled.shards("c1") == [shards[0].shard, shards[2].shard]
    with pytest.raises(StoreError, match=r"does not hold shard c1\.000001: fill it with diffbio ingest"):
        filled.read(shards[1].shard)


def test_a_marker_that_was_cut_off_is_none(filled, shards):
    path = Path(filled.url, "c1", "shards", "000001", "zarr.json")
    path.write_bytes(path.read_bytes()[:30])
    assert filled.marker(shards[1].shard) is None


@pytest.mark.parametrize("array", ["base", "base_quality", "reference", "candidates", "support_lane", "inserted_base"])
@pytest.mark.parametrize("damage", ["change", "cut", "remove"])
def test_a_damaged_chunk_is_told_by_its_name(filled, shards, array, damage):
    path = chunks(filled, shards[1].shard)[array]
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data if damage == "change" else data[: len(data) // 2])
    what = "is missing" if damage == "remove" else "does not match its checksum"
    with pytest.raises(StoreError, match=rf"shard c1\.000001 is damaged: chunk c1/.*{array}/c/[0-9/]+ {what}.*again"):
        filled.read(shards[1].shard)
    assert list(filled.faults(planes.shard for planes in shards)) == [shards[1].shard]


def test_all_faults_of_a_store_are_told_at_once(filled, shards):
    chunks(filled, shards[0].shard)["base"].unlink()
    chunks(filled, shards[1].shard)["reads"].write_bytes(b"")
    filled.free(shards[2].shard)
    assert filled.faults(planes.shard for planes in shards) == {
        shards[0].shard: ["chunk c1/base/c/0/0/0 is missing"],
        shards[1].shard: ["chunk c1/shards/000001/reads/c/0/0 does not match its checksum"],
        shards[2].shard: ["is not in the store"],
    }


def test_a_shard_that_is_written_anew_leaves_nothing_of_the_old(filled, shards):
    old, empty = shards[0], shards[2]
    moved = replace(empty, shard=Shard("c1", 0, 0, 2))
    filled.write(moved)
    assert_same(filled.read(moved.shard), moved)
    assert not list(Path(filled.url).glob("c1/*/c/0/0/0"))
    assert filled.marker(old.shard) is None


def test_a_late_writer_of_the_same_shard_never_leaves_it_damaged(filled, shards, monkeypatch):
    wanted = filled.read(shards[0].shard)
    late = WindowStore(filled.url, GRID)
    whole_after: list[bool] = []
    replace_file = os.replace

    def watched(aside, path):
        whole_after.append(not filled.faults([shards[0].shard]))
        replace_file(aside, path)

    monkeypatch.setattr(os, "replace", watched)
    late.write(shards[0], reads="reads.bam")
    assert len(whole_after) > 3
    assert all(whole_after)
    assert_same(filled.read(shards[0].shard), wanted)


def test_other_content_of_a_shard_takes_the_place_of_what_was_there(filled, shards):
    filled.write(shards[0], reads="other.bam")
    marker = filled.marker(shards[0].shard)
    assert marker is not None
    assert marker["made_of"] == {"reads": "other.bam"}
    assert not filled.faults([shards[0].shard])


def test_a_freed_shard_leaves_no_file_and_its_neighbours_whole(filled, shards):
    filled.free(shards[1].shard)
    filled.free(shards[1].shard)
    assert filled.shards("c1") == [shards[0].shard, shards[2].shard]
    assert list(Path(filled.url).rglob("c/1/*")) == list(Path(filled.url).rglob("000001*")) == []
    assert_same(filled.read(shards[0].shard), shards[0])
    filled.write(shards[1])
    assert_same(filled.read(shards[1].shard), shards[1])


def test_two_processes_write_side_by_side(tmp_path, shards, filled):
    script = """
import sys
from diffbio_core.windows.grid import Shard
from diffbio_io.store.store import WindowStore
source, sink = WindowStore(sys.argv[1]), WindowStore(sys.argv[2])
for _ in range(5):
    for index in map(int, sys.argv[3:]):
        shard = source.shards("c1")[index]
        sink.write(source.read(shard))
"""
    store = WindowStore(tmp_path / "both.zarr", GRID)
    store.create_contigs({"c1": LENGTH})
    writers = [
        subprocess.Popen([sys.executable, "-c", script, filled.url, store.url, *indices], stderr=subprocess.PIPE)
        for indices in (("0", "2"), ("1",))
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    for planes in shards:
        assert_same(store.read(planes.shard), planes)


def test_a_store_that_is_claimed_can_be_read_and_not_be_claimed(filled):
    with filled.claim():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for consolidated in (True, False):
                contig = xarray.open_zarr(filled.url, group="c1", consolidated=consolidated)
                assert contig.base.sizes["window"] == 10
            assert list(zarr.open_consolidated(filled.url).group_keys()) == ["c1"]
        with pytest.raises(InputError, match=r"windows\.zarr: process .+ is working in it"), filled.claim():
            pass
        filled.check_layout()
        WindowStore(filled.url, GRID).check_layout({"c1": LENGTH})
    assert sorted(path.name for path in Path(filled.url).iterdir()) == ["c1", "zarr.json"]


def test_a_store_by_a_local_url_is_claimed_and_one_in_memory_is_not(tmp_path):
    with WindowStore(f"file://{tmp_path}/windows.zarr", GRID).claim():
        assert [path.name for path in (tmp_path / "windows.zarr").iterdir()] == [".lock"]
        WindowStore(tmp_path / "windows.zarr", GRID).check_layout()
        with pytest.raises(InputError), WindowStore(tmp_path / "windows.zarr", GRID).claim():
            pass
    remote = WindowStore(f"memory://{uuid.uuid4().hex}/windows.zarr", GRID)
    with remote.claim(), remote.claim():
        remote.check_layout()


def test_a_store_in_memory_is_reached_by_its_url(shards):
    url = f"memory://{uuid.uuid4().hex}/windows.zarr"
    store = WindowStore(url, GRID)
    store.create_contigs({"c1": LENGTH})
    for planes in shards:
        store.write(planes)
    other = WindowStore(url)
    assert other.contigs == ["c1"]
    for planes in shards:
        assert_same(other.read(planes.shard), planes)
    other.free(shards[0].shard)
    assert other.shards("c1") == [planes.shard for planes in shards[1:]]


def test_contigs_of_any_name_have_a_group_each(tmp_path, shards):
    names = ["HLA-A*01:01:01:01", "gi|123|ref/x", "..", ".hidden", "c%1", "Ünder"]
    store = WindowStore(tmp_path / "windows.zarr", GRID)
    store.create_contigs(dict.fromkeys(names, LENGTH))
    assert WindowStore(store.url).contigs == sorted(names)
    for number, name in enumerate(names):
        planes = shards[number % 2]
        moved = Shard(name, planes.shard.index, planes.shard.first_window, planes.shard.last_window)
        store.write(replace(planes, shard=moved))
        assert_same(store.read(moved), replace(planes, shard=moved))
        assert store.shards(name) == [moved]


def test_contigs_can_be_added_and_those_that_are_there_stay(filled, shards):
    filled.create_contigs({"c1": LENGTH, "c2": 700}, {"sample": "NA1"})
    assert filled.contigs == ["c1", "c2"]
    assert_same(filled.read(shards[0].shard), shards[0])
    assert xarray.open_zarr(filled.url, group="c2").sizes["window"] == 2


def test_a_contig_of_another_layout_is_refused(filled):
    with pytest.raises(StoreError, match="contig c1 is laid out with contig_length 5000, not 6000"):
        filled.create_contigs({"c1": 6000})
    with pytest.raises(StoreError, match="reference_length 512, not 1024"):
        WindowStore(filled.url, WindowGrid(1024, 256, 4)).create_contigs({"c1": LENGTH})
    with pytest.raises(StoreError, match="reference_length 512, not 1024"):
        WindowStore(filled.url, WindowGrid(1024, 256, 4)).read(Shard("c1", 0, 0, 4))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"not json"])
def test_a_folder_that_is_no_store_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "zarr.json").write_bytes(content)
    with pytest.raises(StoreError, match="is not a window store"):
        _ = WindowStore(tmp_path).contigs


def test_a_store_of_format_1_is_refused_with_what_to_do(tmp_path):
    members = {"c1": {"node_type": "group", "attributes": {"format": 1, "contig": "c1"}}}
    root = {"zarr_format": 3, "node_type": "group", "attributes": {}, "consolidated_metadata": {"metadata": members}}
    (tmp_path / "zarr.json").write_text(json.dumps(root))
    for use in (lambda store: store.contigs, lambda store: store.check_layout(), lambda store: store.reads("c1")):
        with pytest.raises(StoreError, match=r"format 1, .* reads and writes 7: remove it, .* run diffbio ingest"):
            use(WindowStore(tmp_path, GRID))


def test_a_contig_that_is_not_there_is_told(filled):
    with pytest.raises(StoreError, match="does not hold shard c9"):
        filled.read(Shard("c9", 0, 0, 1))


def test_the_marker_tells_what_the_shard_was_made_of(filled, shards):
    marker = filled.marker(shards[1].shard)
    assert marker["made_of"] == {"reads": "reads.bam"}
    assert marker["lanes"] == shards[1].num_lanes
    assert set(marker["read_counts"]) == set(SET_ASIDE)
