"""How a window store is laid out in Zarr v3: the metadata documents of a contig's group and arrays."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

import zarr
from zarr.codecs import BloscCodec
from zarr.storage import MemoryStore

from diffbio_core.windows.encoding import PLANES
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.planes import LANES_PER_BLOCK, MAX_LANES

FORMAT = 2
"""Version of the layout; written to every contig and checked when it is opened."""

RAGGED_CHUNK = 256
"""Entries that a chunk of a ragged table holds of each window."""

_RAGGED_LENGTH = 1 << 22
_LENGTH = {
    "lane": MAX_LANES,
    "candidate": _RAGGED_LENGTH,
    "support": _RAGGED_LENGTH,
    "insertion": _RAGGED_LENGTH,
}

CANDIDATE_COLUMNS = {
    "candidate_column": ("int32", "Column of the candidate: of the changed base, or of the base before an indel"),
    "candidate_length": ("int32", "0 for a changed base, +inserted or -deleted bases else"),
    "candidate_code": ("uint8", "Base code of the new base; 4 for an indel"),
    "candidate_thinned": ("int32", "Reads that cover the column but are in no lane, since too many overlap there"),
    "candidate_supports": ("int32", "Entries of the candidate in support_lane"),
}
"""Type and meaning of the arrays with an entry for each candidate of a window."""

_MEANING = {
    "base": (
        "bits 0-2: A C G T 0-3, N 4, deleted 5, no read 7; bit 3: first column of a read; bit 4: reverse strand; "
        "bit 5: bases are inserted after this column; bit 6: a deletion follows"
    ),
    "base_quality": "Phred; a deleted base takes the quality before it",
}

MARKERS = "shards"
"""Group of a contig, without arrays, whose folder holds the markers of the shards that are whole."""


def group_name(contig: str) -> str:
    """Name of a contig's group: its own, but for characters that paths or patterns give a meaning."""
    name = quote(contig, safe="+,:;=@^~!$&'()")
    return "%2E" + name[1:] if name.startswith(".") else name


def contig_of(group: str) -> str:
    """The contig whose group has a name."""
    return unquote(group)


def layout_attributes(grid: WindowGrid, contig: str, length: int) -> dict[str, Any]:
    """What a contig's group says of its layout."""
    return {"format": FORMAT, "contig": contig, "contig_length": length, **asdict(grid)}


def contig_documents(
    grid: WindowGrid, contig: str, length: int, attributes: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Metadata documents of a contig's group, under the name "", and of its members, by name."""
    documents = copy.deepcopy(_one_window(grid))
    windows = grid.num_windows(length)
    for name, document in documents.items():
        if document["node_type"] == "array":
            document["shape"][0] = windows
            if name == "start":
                document["chunk_grid"]["configuration"]["chunk_shape"] = [windows]
    # xarray takes what this attribute names for coordinates.
    documents[""]["attributes"] = {
        **layout_attributes(grid, contig, length),
        "coordinates": "start",
        **attributes,
    }
    return documents


@lru_cache(maxsize=4)
def _one_window(grid: WindowGrid) -> dict[str, dict[str, Any]]:
    """The documents of a contig of one window, as zarr writes them."""
    written: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(written), zarr_format=3)
    group.create_group(MARKERS)
    width, positions = grid.windows_per_shard, grid.positions
    # Blocks of this size take three fifths of the time, and four fifths of the bytes, of Blosc's own choice.
    codec = BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle", blocksize=1 << 20)

    def create(name: str, kind: str, fill: int, chunks: tuple[int, ...], dims: tuple[str, ...], meaning: str) -> None:
        group.create_array(
            name,
            shape=(1, *(_LENGTH.get(dim, positions) for dim in dims[1:])),
            chunks=chunks,
            dtype=kind,
            fill_value=fill,
            compressors=None if name == "start" else codec,
            dimension_names=dims,
            attributes={"long_name": meaning},
        )

    for name, (kind, fill) in PLANES.items():
        dims = "window", "lane", "position"
        create(name, kind, fill, (width, LANES_PER_BLOCK, positions), dims, _MEANING[name])
    create("reference", "uint8", 4, (width, positions), ("window", "position"), "A C G T = 0-3, other = 4")
    for name, (kind, meaning) in CANDIDATE_COLUMNS.items():
        create(name, kind, 0, (width, RAGGED_CHUNK), ("window", "candidate"), meaning)
    for name, dim, meaning in (
        ("support_lane", "support", "Lanes of the reads that show the window's indels, candidate after candidate"),
        ("inserted_base", "insertion", "Inserted bases of the window's candidates, candidate after candidate"),
    ):
        create(name, "uint8", 0, (width, RAGGED_CHUNK), ("window", dim), meaning)
    create("candidates", "int32", 0, (width,), ("window",), "Number of candidates of the window")
    create("start", "int64", 0, (1,), ("window",), "First core position of the window (0-based)")
    return {
        key.removesuffix("zarr.json").rstrip("/"): json.loads(value.to_bytes())
        for key, value in written.items()
        if key.endswith("zarr.json")
    }


def root_document(members: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Metadata document of the store's root, with those of all its members, where xarray looks first."""
    consolidated = {"kind": "inline", "must_understand": False, "metadata": dict(sorted(members.items()))}
    return {"zarr_format": 3, "node_type": "group", "attributes": {}, "consolidated_metadata": consolidated}
