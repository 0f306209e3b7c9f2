"""The window store: planes, reference and candidates of a genome's windows in Zarr v3, a group per contig.

``xarray.open_zarr(store, group="chr20")`` shows a contig as labelled arrays. A shard is a fixed set of chunks that no
other shard shares, so workers write side by side without locks; its marker is written last, and by it a reader knows
that the shard is whole. Chunks of lanes that no read needs are not written.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

import fsspec
import fsspec.implementations.local
import numpy as np
import zarr
from isal import isal_zlib
from zarr.codecs import BloscCodec
from zarr.errors import ZarrUserWarning

from diffbio_core.windows.candidates import CandidateTable
from diffbio_core.windows.encoding import PLANES
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.planes import LANES_PER_BLOCK, MAX_LANES, PlaneBuffers, ShardPlanes

FORMAT = 1
"""Version of the store's layout; written to every contig and checked when it is opened."""

_RAGGED_CHUNK = 256
_RAGGED_LENGTH = 1 << 20
_CANDIDATES = {
    "candidate_column": ("int16", "Column of the candidate: of the changed base, or of the base before an indel"),
    "candidate_length": ("int32", "0 for a changed base, +inserted or -deleted bases else"),
    "candidate_code": ("uint8", "Base code of the new base; 4 for an indel"),
    "candidate_supports": ("int32", "Entries of the candidate in support_lane"),
}
_MEANING = {
    "base": "bits 0-2: A C G T 0-3, N 4, deleted 5, no read 7; bit 3: first column of a read; bit 4: reverse strand",
    "base_quality": "Phred; a deleted base takes the quality before it",
    "mapping_quality": "Phred, of the read that the cell belongs to",
    "indel": "on the column before it: +length of an insertion, -length of a deletion, 0 none, clipped to +-120",
}


class StoreError(ValueError):
    """A store that is missing, damaged, or laid out for another grid or version."""


class WindowStore:
    """A window store on a local path or any fsspec URL.

    Args:
        url: Path or URL of the store's root.
        grid: The grid that it is, or shall be, laid out for; that of its own attributes if not given.
    """

    def __init__(self, url: str | os.PathLike[str], grid: WindowGrid | None = None) -> None:
        self.url = os.fspath(url)
        self._given_grid = grid
        self._files, self._root = fsspec.core.url_to_fs(self.url)
        self._arrays: dict[str, dict[str, zarr.Array]] = {}

    @cached_property
    def grid(self) -> WindowGrid:
        """The grid of every contig in the store."""
        if self._given_grid is not None:
            return self._given_grid
        attributes = self._open_group(self.contigs[0]).attrs
        return WindowGrid(*(int(attributes[name]) for name in ("reference_length", "halo", "windows_per_shard")))

    @property
    def contigs(self) -> list[str]:
        """Contigs that the store holds, in order of name.

        Raises:
            StoreError: There is none.
        """
        try:
            entries = self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            entries = []
        # Zarr's own listing would warn of the folder of markers.
        found = sorted(os.path.basename(entry) for entry in entries if self._files.exists(f"{entry}/zarr.json"))
        if not found:
            raise StoreError(f"{self.url} is not a window store: fill it with diffbio ingest")
        return found

    def create_contig(self, contig: str, length: int, attributes: Mapping[str, Any] | None = None) -> None:
        """Lay out a contig; done by one process before any shard of it is written. Does nothing if it is there.

        Args:
            contig: Its name.
            length: Its length (bp).
            attributes: What else a reader should know: sample, files that the windows come from.

        Raises:
            StoreError: The contig is there with another layout.
        """
        grid = self.grid
        layout = {"format": FORMAT, "contig": contig, "contig_length": length, **asdict(grid)}
        root = zarr.open_group(self.url, mode="a", zarr_format=3, use_consolidated=False)
        if contig in root:
            self._check_layout(contig, layout)
            return
        group = root.create_group(contig)
        windows, width = grid.num_windows(length), grid.windows_per_shard
        zstd = BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle")

        def create(name: str, kind: str, fill: int, shape: tuple, chunks: tuple, dims: tuple, meaning: str) -> None:
            group.create_array(
                name,
                shape=shape,
                chunks=chunks,
                dtype=kind,
                fill_value=fill,
                compressors=zstd,
                dimension_names=dims,
                attributes={"long_name": meaning},
            )

        cells = ("window", "lane", "position")
        for name, (kind, fill) in PLANES.items():
            shape, chunks = (windows, MAX_LANES, grid.positions), (width, LANES_PER_BLOCK, grid.positions)
            create(name, kind, fill, shape, chunks, cells, _MEANING[name])
        shape, chunks = (windows, grid.positions), (width, grid.positions)
        create("reference", "uint8", 4, shape, chunks, ("window", "position"), "A C G T = 0-3, other = 4")
        for name, (kind, meaning) in _CANDIDATES.items():
            shape, chunks = (windows, _RAGGED_LENGTH), (width, _RAGGED_CHUNK)
            create(name, kind, 0, shape, chunks, ("window", "candidate"), meaning)
        for name, dim, meaning in (
            ("support_lane", "support", "Lanes of the reads that show the window's indels, candidate after candidate"),
            ("inserted_base", "insertion", "Inserted bases of the window's candidates, candidate after candidate"),
        ):
            create(name, "uint8", 0, (windows, _RAGGED_LENGTH), (width, _RAGGED_CHUNK), ("window", dim), meaning)
        create("candidates", "int32", 0, (windows,), (width,), ("window",), "Number of candidates of the window")
        create("start", "int64", 0, (windows,), (windows,), ("window",), "First core position of the window (0-based)")
        group["start"][:] = np.arange(windows, dtype=np.int64) * grid.reference_length
        group.attrs.update({**layout, **(attributes or {})})

    def consolidate(self) -> None:
        """Gather the layout of all contigs in one place, where xarray looks first; done after contigs were created."""
        with warnings.catch_warnings():
            # Zarr warns that not every reader knows this, and of the folder of markers.
            warnings.simplefilter("ignore", ZarrUserWarning)
            zarr.consolidate_metadata(zarr.open_group(self.url, mode="r+", use_consolidated=False).store)

    def write(self, planes: ShardPlanes, **made_of: Any) -> None:
        """Write a shard, its marker last.

        Args:
            planes: The shard.
            made_of: What its marker should tell of where it comes from.
        """
        shard = planes.shard
        arrays = self._contig(shard.contig)
        rows = slice(shard.first_window, shard.last_window)
        for name in PLANES:
            for block, cells in enumerate(getattr(planes, name)):
                lane = block * LANES_PER_BLOCK
                arrays[name][rows, lane : lane + LANES_PER_BLOCK] = cells
        arrays["reference"][rows] = planes.reference
        self._write_candidates(arrays, rows, planes.candidates, shard.num_windows)
        marker = {
            "format": FORMAT,
            **asdict(shard),
            "lanes": planes.num_lanes,
            "read_counts": planes.read_counts,
            "ragged": self._ragged_lengths(planes.candidates, shard.num_windows),
            "checksums": _checksums(planes),
            "made_of": made_of,
        }
        self._write_marker(shard, marker)

    def read(self, shard: Shard, buffers: PlaneBuffers | None = None) -> ShardPlanes:
        """Read a shard back.

        Args:
            shard: The windows; all must have been written.
            buffers: Memory to reuse; the planes that are returned live in it.

        Raises:
            StoreError: The shard is not in the store, or is damaged.
        """
        marker = self.marker(shard)
        if marker is None:
            raise StoreError(f"{self.url} does not hold shard {shard.name}: fill it with diffbio ingest")
        arrays = self._contig(shard.contig)
        grid = self.grid
        rows = slice(shard.first_window, shard.last_window)
        planes = (buffers or PlaneBuffers()).take(marker["lanes"] // LANES_PER_BLOCK, shard.num_windows, grid.positions)
        for name, blocks in planes.items():
            for block in range(blocks.shape[0]):
                lane = block * LANES_PER_BLOCK
                blocks[block] = arrays[name][rows, lane : lane + LANES_PER_BLOCK]
        found = ShardPlanes(
            shard,
            grid,
            int(self._open_group(shard.contig).attrs["contig_length"]),
            arrays["reference"][rows],
            candidates=self._read_candidates(arrays, rows, marker["ragged"]),
            read_counts=marker["read_counts"],
            **planes,
        )
        whole = (marker["first_window"], marker["last_window"]) == (shard.first_window, shard.last_window)
        if whole and _checksums(found) != marker["checksums"]:
            raise StoreError(f"{self.url}: shard {shard.name} is damaged; run diffbio ingest again with --force")
        return found

    def marker(self, shard: Shard) -> dict[str, Any] | None:
        """What a shard's marker says; None where the shard's windows are not all there."""
        try:
            marker = json.loads(self._files.cat_file(self._marker_path(shard)))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        inside = marker["first_window"] <= shard.first_window and shard.last_window <= marker["last_window"]
        return marker if marker.get("format") == FORMAT and inside else None

    def shards(self, contig: str) -> list[Shard]:
        """Shards of a contig that are whole, in order."""
        folder = f"{self._root}/.shards"
        try:
            names = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        markers = (json.loads(self._files.cat_file(name)) for name in names if name.endswith(".json"))
        return sorted(
            Shard(contig, marker["index"], marker["first_window"], marker["last_window"])
            for marker in markers
            if marker["contig"] == contig and marker["format"] == FORMAT
        )

    def _write_candidates(
        self, arrays: dict[str, zarr.Array], rows: slice, table: CandidateTable, windows: int
    ) -> None:
        number = np.bincount(table.window, minlength=windows)
        supports = np.diff(table.support_start)
        inserted = np.maximum(table.length, 0)
        for name, values in (
            ("candidate_column", table.column),
            ("candidate_length", table.length),
            ("candidate_code", table.code),
            ("candidate_supports", supports),
        ):
            _write_ragged(arrays[name], rows, values, number)
        totals = [np.bincount(table.window, weights, windows).astype(np.int64) for weights in (supports, inserted)]
        _write_ragged(arrays["support_lane"], rows, table.support_lane, totals[0])
        _write_ragged(arrays["inserted_base"], rows, table.sequence, totals[1])
        arrays["candidates"][rows] = number

    def _ragged_lengths(self, table: CandidateTable, windows: int) -> dict[str, int]:
        inserted = np.maximum(table.length, 0)
        longest = {
            "candidate": np.bincount(table.window, minlength=windows),
            "support_lane": np.bincount(table.window, np.diff(table.support_start), windows),
            "inserted_base": np.bincount(table.window, inserted, windows),
        }
        return {name: int(lengths.max(initial=0)) for name, lengths in longest.items()}

    def _read_candidates(self, arrays: dict[str, zarr.Array], rows: slice, ragged: dict[str, int]) -> CandidateTable:
        number = arrays["candidates"][rows]
        columns = {name: _read_ragged(arrays[name], rows, number, ragged["candidate"]) for name in _CANDIDATES}
        window = np.repeat(np.arange(number.size, dtype=np.int16), number)
        supports, inserted = columns["candidate_supports"], np.maximum(columns["candidate_length"], 0)
        ragged_values = {
            name: _read_ragged(
                arrays[name], rows, np.bincount(window, lengths, number.size).astype(np.int64), ragged[name]
            )
            for name, lengths in (("support_lane", supports), ("inserted_base", inserted))
        }
        return CandidateTable(
            window,
            columns["candidate_column"],
            columns["candidate_length"],
            columns["candidate_code"],
            np.concatenate([[0], np.cumsum(supports)]).astype(np.int32),
            np.concatenate([[0], np.cumsum(inserted)]).astype(np.int32),
            ragged_values["support_lane"],
            ragged_values["inserted_base"],
        )

    def _contig(self, contig: str) -> dict[str, zarr.Array]:
        if contig not in self._arrays:
            group = self._open_group(contig)
            # Blocks without a read are left out by number; looking at every cell for fill costs more than writing.
            self._arrays[contig] = {
                name: array.with_config({"write_empty_chunks": True}) for name, array in group.arrays()
            }
        return self._arrays[contig]

    def _open_group(self, contig: str) -> zarr.Group:
        try:
            return zarr.open_group(self.url, path=contig, mode="r+", use_consolidated=False)
        except FileNotFoundError:
            raise StoreError(f"{self.url} holds no contig {contig}: fill it with diffbio ingest") from None

    def _check_layout(self, contig: str, layout: Mapping[str, Any]) -> None:
        attributes = self._open_group(contig).attrs
        differing = [
            f"{name} {attributes.get(name)}, not {value}"
            for name, value in layout.items()
            if attributes.get(name) != value
        ]
        if differing:
            raise StoreError(f"{self.url}: contig {contig} is laid out with {'; '.join(differing)}")

    def _marker_path(self, shard: Shard) -> str:
        return f"{self._root}/.shards/{shard.name}.json"

    def _write_marker(self, shard: Shard, marker: Mapping[str, Any]) -> None:
        path, content = self._marker_path(shard), json.dumps(marker).encode()
        self._files.makedirs(os.path.dirname(path), exist_ok=True)
        # An object store shows an object only when it is whole; a file has to be renamed to do so.
        if isinstance(self._files, fsspec.implementations.local.LocalFileSystem):
            self._files.pipe_file(path + ".partial", content)
            os.replace(path + ".partial", path)
        else:
            self._files.pipe_file(path, content)


def _write_ragged(array: zarr.Array, rows: slice, values: np.ndarray, lengths: np.ndarray) -> None:
    """Write runs of values, one per window, from column 0 on, in whole chunks."""
    width = -(-int(lengths.max(initial=0)) // _RAGGED_CHUNK) * _RAGGED_CHUNK
    if width:
        table = np.zeros((lengths.size, width), array.dtype)
        table[np.arange(width) < lengths[:, None]] = values
        array[rows, :width] = table


def _read_ragged(array: zarr.Array, rows: slice, lengths: np.ndarray, longest: int) -> np.ndarray:
    table = np.asarray(array[rows, :longest])
    return table[np.arange(longest) < lengths[:, None]]


def _checksums(planes: ShardPlanes) -> dict[str, int]:
    """CRC-32 of the planes and of the reference."""
    return {name: isal_zlib.crc32(np.ascontiguousarray(getattr(planes, name))) for name in (*PLANES, "reference")}
