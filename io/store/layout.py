"""How a window store is laid out in Zarr v3: the metadata documents of its groups and arrays.

A contig is a group whose arrays hold its windows; each of its shards is one chunk of each of them. The tables of a
shard, whose lengths nobody knows before, are arrays in a group of the shard's own, and that group's document, which is
written last, is also the shard's marker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from diffbio_core.windows.encoding import PLANES
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.planes import MAX_LANES
from diffbio_io.store.chunks import LEVEL, PlaneLayout
from diffbio_io.store.tables import TABLES

FORMAT = 7
"""Version of the layout, and of what windows hold of the same reads; written to the root and to every shard, and
checked when a store is opened."""

SHARDS = "shards"
"""Group of a contig that holds the groups of its shards."""

REFERENCE = "reference"
"""Array of the bases under each window."""

Document = dict[str, Any]

_MEANING = {
    "base": (
        "bits 0-2: A C G T 0-3, N 4, deleted 5, no read 7; bit 3: first column of a read; bit 4: reverse strand; "
        "bit 5: bases are inserted after this column; bit 6: a deletion follows"
    ),
    "base_quality": "Phred; a deleted base takes the quality before it",
}
_BYTES = {"name": "bytes"}
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC = {"name": "crc32c"}
_ZSTD = {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}}


def group_name(contig: str) -> str:
    """Name of a contig's group: its own, but for characters that paths or patterns give a meaning."""
    name = quote(contig, safe="+,:;=@^~!$&'()")
    return "%2E" + name[1:] if name.startswith(".") else name


def contig_of(group: str) -> str:
    """The contig whose group has a name."""
    return unquote(group)


def shard_group(shard: Shard) -> str:
    """Path of a shard's own group."""
    return f"{group_name(shard.contig)}/{SHARDS}/{shard.index:06d}"


def plane_chunks(shard: Shard) -> dict[str, str]:
    """Paths of a shard's chunks of the planes, by array."""
    return {name: f"{group_name(shard.contig)}/{name}/c/{shard.index}/0/0" for name in PLANES}


def reference_chunk(shard: Shard) -> str:
    """Path of a shard's chunk of the reference."""
    return f"{group_name(shard.contig)}/{REFERENCE}/c/{shard.index}/0"


def table_chunks(shard: Shard, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Paths of the chunks of a shard's tables, by array; one without entries has none."""
    group = shard_group(shard)
    return {name: f"{group}/{name}/c/" + "/".join("0" * a.ndim) for name, a in arrays.items() if a.size}


def root_document(attributes: Mapping[str, Any], members: Mapping[str, Document]) -> Document:
    """Document of the store's root.

    Args:
        attributes: What the store tells of itself.
        members: Documents of the contigs' groups and arrays, by path: where xarray looks first.
    """
    return _group({"format": FORMAT, **attributes}, members)


def contig_documents(grid: WindowGrid, contig: str, length: int, attributes: Mapping[str, Any]) -> dict[str, Document]:
    """Documents of a contig's group, under the name "", and of its members, by name."""
    windows, width, positions = grid.num_windows(length), grid.windows_per_shard, grid.positions
    inner = PlaneLayout.of(grid).inner_shape
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(inner),
            "codecs": [_BYTES, _ZSTD, _CRC],
            "index_codecs": [_LITTLE, _CRC],
            "index_location": "end",
        },
    }
    arrays = {
        name: _array(
            (windows, MAX_LANES, positions), (width, MAX_LANES, positions), kind, fill, [sharding],
            ("window", "lane", "position"), {"long_name": _MEANING[name]},
        )
        for name, (kind, fill) in PLANES.items()
    }  # fmt: skip
    arrays[REFERENCE] = _array(
        (windows, positions), (width, positions), "uint8", 4, [_BYTES, _ZSTD, _CRC], ("window", "position"),
        {"long_name": "A C G T = 0-3, other = 4"},
    )  # fmt: skip
    arrays["start"] = _array(
        (windows,), (max(windows, 1),), "int64", 0, [_LITTLE], ("window",),
        {"long_name": "First core position of the window (0-based)"},
    )  # fmt: skip
    # xarray takes what this attribute names for coordinates.
    entries = {"contig": contig, "contig_length": length, **asdict(grid), "coordinates": "start", **attributes}
    return {"": _group(entries, arrays), **arrays, SHARDS: _group({}, None)}


def shard_documents(marker: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Document]:
    """Documents of a shard's group, under the name "", and of its tables, by name."""
    documents = {}
    for name, values in arrays.items():
        dimension, fields, meaning = TABLES[name]
        dims = (f"{dimension}_field", dimension) if fields else (dimension,)
        attributes = {"long_name": meaning} | ({"fields": list(fields)} if fields else {})
        codecs = [_LITTLE if values.dtype.itemsize > 1 else _BYTES, _ZSTD, _CRC]
        chunk = tuple(max(size, 1) for size in values.shape)
        documents[name] = _array(values.shape, chunk, values.dtype.name, 0, codecs, dims, attributes)
    return {"": _group({"format": FORMAT, **marker}, documents), **documents}


def _group(attributes: Mapping[str, Any], members: Mapping[str, Document] | None) -> Document:
    document: Document = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    if members is not None:
        metadata = dict(sorted(members.items()))
        document["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": metadata}
    return document


def _array(
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    kind: str,
    fill: int,
    codecs: list[Document],
    dims: tuple[str, ...],
    attributes: Mapping[str, Any],
) -> Document:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": codecs,
        "attributes": dict(attributes),
        "dimension_names": list(dims),
        "storage_transformers": [],
    }
