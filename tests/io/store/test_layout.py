"""The documents of a store, as zarr itself reads them."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import example, given
from hypothesis import strategies as st

from diffbio_core.windows.encoding import PLANES
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.store.layout import contig_documents, contig_of, group_name, root_document, shard_documents

GRID = WindowGrid(512, 256, 4)


def opened(folder, documents):
    """The group that some documents describe."""
    for name, document in documents.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "zarr.json").write_text(json.dumps(document))
    return zarr.open_group(folder, mode="r", use_consolidated=False)


@pytest.fixture
def contig(tmp_path):
    """A contig of 5,000 bp, and so of ten windows, opened from its documents."""
    return opened(tmp_path, contig_documents(GRID, "c1", 5000, {"md5": "0a"}))


@given(st.text(min_size=1, max_size=30))
@example(".")
@example("..")
@example(".hidden")
def test_a_group_s_name_gives_its_contig_back_and_is_one_part_of_a_path(contig):
    name = group_name(contig)

    assert contig_of(name) == contig
    assert not set(name) & set(r"/\?*[]{}#")
    assert not name.startswith(".")


@pytest.mark.parametrize("name", ["chr20", "HLA-A_01:01", "NC_000001.11", "a+b,c;d=e@f^g~h!$&'()"])
def test_usual_names_stay_as_they_are(name):
    assert group_name(name) == name


@given(st.sets(st.text(".%/aA2Ee", min_size=1, max_size=4), min_size=2))
def test_contigs_of_different_names_have_different_groups(contigs):
    assert len({group_name(contig) for contig in contigs}) == len(contigs)


def test_a_plane_has_one_object_per_shard_and_a_chunk_per_block_of_lanes(contig):
    for name, (kind, fill) in PLANES.items():
        array = contig[name]
        assert (array.shape, array.dtype, array.fill_value) == ((10, 256, 1024), np.dtype(kind), fill)
        assert (array.shards, array.chunks) == ((4, 256, 1024), (4, 32, 1024))
        assert array.metadata.dimension_names == ("window", "lane", "position")
    assert (contig["reference"].shape, contig["reference"].chunks) == ((10, 1024), (4, 1024))
    assert (contig["reference"][:] == 4).all()
    assert (contig["start"].shape, contig["start"].chunks, contig["start"].dtype) == ((10,), (10,), np.int64)


def test_a_contig_tells_its_layout_and_what_it_was_made_of(contig):
    assert dict(contig.attrs) == {
        "contig": "c1",
        "contig_length": 5000,
        "reference_length": 512,
        "halo": 256,
        "windows_per_shard": 4,
        "coordinates": "start",
        "md5": "0a",
    }
    assert all(array.attrs["long_name"] for _, array in contig.arrays())
    assert list(contig["shards"].members()) == []


def test_tables_have_the_lengths_that_a_shard_has(tmp_path):
    arrays = {"reads": np.zeros((4, 7), np.int32), "support_lane": np.zeros(0, np.uint8)}
    group = opened(tmp_path, shard_documents({"index": 3}, arrays))
    assert dict(group.attrs) == {"format": 7, "index": 3}
    assert group["reads"].metadata.dimension_names == ("read_field", "read")
    assert {name: (array.shape, array.dtype) for name, array in group.arrays()} == {
        name: (values.shape, values.dtype) for name, values in arrays.items()
    }


def test_the_root_lists_its_members_in_order_and_tells_the_format():
    members = {f"c{number}/base": {"node_type": "array"} for number in (2, 1)}
    root = root_document({"sample": "S"}, members)

    assert list(root["consolidated_metadata"]["metadata"]) == ["c1/base", "c2/base"]
    assert root["attributes"] == {"format": 7, "sample": "S"}
