"""The documents of a contig, as zarr itself reads them."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import example, given
from hypothesis import strategies as st

from diffbio_core.windows.encoding import PLANES
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.store.layout import (
    CANDIDATE_COLUMNS,
    MARKERS,
    RAGGED_CHUNK,
    contig_documents,
    contig_of,
    group_name,
    layout_attributes,
    root_document,
)

GRID = WindowGrid(512, 256, 4)


@pytest.fixture
def contig(tmp_path):
    """A contig of 5,000 bp, and so of ten windows, opened from its documents."""
    for name, document in contig_documents(GRID, "c1", 5000, {"sample": "S"}).items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "zarr.json").write_text(json.dumps(document))
    return zarr.open_group(tmp_path, mode="r")


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


def test_a_plane_has_a_chunk_per_shard_and_block_of_lanes(contig):
    for name, (kind, fill) in PLANES.items():
        array = contig[name]
        assert (array.shape, array.chunks, array.dtype) == ((10, 256, 1024), (4, 32, 1024), np.dtype(kind))
        assert array.fill_value == fill
        assert array.metadata.dimension_names == ("window", "lane", "position")
    assert (contig["reference"].shape, contig["reference"].chunks) == ((10, 1024), (4, 1024))
    assert (contig["reference"][:] == 4).all()


def test_ragged_tables_have_chunks_of_their_own_for_each_shard(contig):
    dims = dict.fromkeys(CANDIDATE_COLUMNS, "candidate") | {"support_lane": "support", "inserted_base": "insertion"}
    for name, dim in dims.items():
        assert contig[name].chunks == (4, RAGGED_CHUNK)
        assert contig[name].metadata.dimension_names == ("window", dim)
    assert (contig["candidates"].shape, contig["candidates"].chunks) == ((10,), (4,))


def test_the_starts_of_all_windows_are_one_chunk_without_compression(contig):
    assert (contig["start"].shape, contig["start"].chunks, contig["start"].dtype) == ((10,), (10,), np.int64)
    assert contig["start"].compressors == ()
    assert contig["base"].compressors != ()


def test_a_contig_tells_its_layout_and_what_it_was_made_of(contig):
    assert dict(contig.attrs) == {
        "format": 2,
        "contig": "c1",
        "contig_length": 5000,
        "reference_length": 512,
        "halo": 256,
        "windows_per_shard": 4,
        "coordinates": "start",
        "sample": "S",
    }
    assert layout_attributes(GRID, "c1", 5000).items() <= dict(contig.attrs).items()
    assert all(array.attrs["long_name"] for _, array in contig.arrays())
    assert list(contig[MARKERS].members()) == []


def test_contigs_do_not_change_each_other_s_documents():
    first = contig_documents(GRID, "c1", 5000, {})
    contig_documents(GRID, "c2", 90_000, {"sample": "S"})

    assert first["base"]["shape"][0] == first["start"]["shape"][0] == 10
    assert "sample" not in first[""]["attributes"]


def test_the_root_lists_its_members_in_order():
    members = {f"c{number}/base": {"node_type": "array"} for number in (2, 1)}
    root = root_document(members)

    assert list(root["consolidated_metadata"]["metadata"]) == ["c1/base", "c2/base"]
    assert (root["zarr_format"], root["node_type"]) == (3, "group")
