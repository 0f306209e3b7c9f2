"""The window store: planes, reference and candidates of a genome's windows in Zarr v3, a group per contig.

``xarray.open_zarr(store, group="chr20")`` shows a contig as labelled arrays. A shard is a fixed set of chunks that no
other shard shares, so workers write side by side without locks; its marker is written last, and by it a reader knows
that the shard is whole. Chunks of lanes that no read needs are not written.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import fsspec.implementations.local
import numpy as np
import zarr
from isal import isal_zlib

from diffbio_core.problems import InputError
from diffbio_core.reads.arrays import cut_reads
from diffbio_core.whole_file import ASIDE, write_whole
from diffbio_core.windows.encoding import N_BASE, PLANES
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.lanes import LaneIndels, LaneReads
from diffbio_core.windows.planes import LANES_PER_BLOCK, PlaneBuffers, ShardPlanes
from diffbio_io.files.locks import locked
from diffbio_io.regions import parse_region
from diffbio_io.store.candidate_arrays import read_candidates, write_candidates
from diffbio_io.store.layout import (
    FORMAT,
    MARKERS,
    contig_documents,
    contig_of,
    group_name,
    layout_attributes,
    root_document,
)

LOCK = ".lock"
"""File in the folder of a store on a local path while a process fills it."""


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
        self._lengths: dict[str, int] = {}

    @cached_property
    def grid(self) -> WindowGrid:
        """The grid of every contig in the store."""
        if self._given_grid is not None:
            return self._given_grid
        attributes = self._attributes(self.contigs[0])
        return WindowGrid(*(int(attributes[name]) for name in ("reference_length", "halo", "windows_per_shard")))

    @property
    def contigs(self) -> list[str]:
        """Contigs that the store holds, in order of name.

        Raises:
            StoreError: There is none.
        """
        root = self._document("") or {}
        members = root.get("consolidated_metadata", {}).get("metadata", {})
        found = sorted(contig_of(name) for name in members if "/" not in name)
        if not found:
            raise StoreError(f"{self.url} is not a window store: fill it with diffbio ingest")
        return found

    def check_layout(self, lengths: Mapping[str, int] | None = None) -> None:
        """Look whether this grid's shards can be written; a store that is not there yet has no fault.

        Args:
            lengths: Length (bp) of contigs by name; None where they are not known.

        Raises:
            StoreError: A contig is there with another layout, the folder holds something else, or is damaged.
        """
        document = self._document("")
        if document is None:
            foreign = [] if not self._is_local or not os.path.isdir(self._root) else os.listdir(self._root)
            foreign = sorted(name for name in foreign if name != LOCK and not name.endswith(ASIDE))
            if foreign:
                raise StoreError(f"{self.url} is not a window store: it holds {foreign[0]!r} but no zarr.json")
            return
        for contig in self.contigs if document.get("consolidated_metadata", {}).get("metadata") else ():
            self._check_layout(contig, (lengths or {}).get(contig, self.contig_length(contig)))

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Keeps other processes that claim the store from filling it, where it is on a local path.

        An object store has no locks: there, whoever starts two runs that fill one shard must see to it.

        Raises:
            InputError: Another process fills it.
        """
        if not self._is_local:
            yield
            return
        os.makedirs(self._root, exist_ok=True)
        with locked(Path(self._root, LOCK), f"window store {self.url}", "Wait for it, or choose another --store."):
            yield

    def create_contigs(self, contigs: Mapping[str, int], attributes: Mapping[str, Any] | None = None) -> None:
        """Lay out contigs; done by one process before any shard of them is written. Those that are there are left.

        Args:
            contigs: Length (bp) by name.
            attributes: What else a reader should know: sample, files that the windows come from.

        Raises:
            StoreError: A contig is there with another layout.
        """
        members = dict((self._document("") or {}).get("consolidated_metadata", {}).get("metadata", {}))
        files: dict[str, bytes] = {}
        for contig, length in contigs.items():
            group = group_name(contig)
            if group in members:
                self._check_layout(contig, length)
                continue
            for name, document in contig_documents(self.grid, contig, length, attributes or {}).items():
                path = f"{group}/{name}".rstrip("/")
                members[path] = document
                files[f"{path}/zarr.json"] = json.dumps(document).encode()
            starts = np.arange(self.grid.num_windows(length), dtype="<i8") * self.grid.reference_length
            files[f"{group}/start/c/0"] = starts.tobytes()
        if self._document("") is None:
            # By it a folder is known for a store's, also where what follows is cut short.
            self._write_file("zarr.json", json.dumps(root_document({})).encode())
        # The root's document last: what it does not name is laid out anew.
        files["zarr.json"] = json.dumps(root_document(members)).encode()
        for path, content in files.items():
            self._write_file(path, content)

    def write(self, planes: ShardPlanes, **made_of: Any) -> None:
        """Write a shard, its marker last; what the store held of it goes first.

        Args:
            planes: The shard.
            made_of: What its marker should tell of where it comes from.
        """
        shard = planes.shard
        self.free(shard)
        arrays = self._contig(shard.contig)
        rows = slice(shard.first_window, shard.last_window)
        for name in PLANES:
            for block, cells in enumerate(getattr(planes, name)):
                lane = block * LANES_PER_BLOCK
                arrays[name][rows, lane : lane + LANES_PER_BLOCK] = cells
        arrays["reference"][rows] = planes.reference
        self._write_file(self._tables_path(shard), _pack_tables(planes))
        longest = write_candidates(arrays, rows, planes.candidates, shard.num_windows)
        marker = {
            "format": FORMAT,
            **asdict(shard),
            "lanes": planes.num_lanes,
            "read_counts": planes.read_counts,
            "ragged": longest,
            "checksums": _checksums(planes),
            "made_of": made_of,
        }
        self._write_file(self._marker_path(shard), json.dumps(marker).encode())

    def read(self, shard: Shard, buffers: PlaneBuffers | None = None) -> ShardPlanes:
        """Read a shard back, or some of its windows; where it is read whole, its checksums are compared.

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
        try:
            found = self._read_planes(arrays, shard, marker, buffers or PlaneBuffers())
            whole = (marker["first_window"], marker["last_window"]) == (shard.first_window, shard.last_window)
            if whole and _checksums(found) != marker["checksums"]:
                raise ValueError("its checksums differ")
        except (RuntimeError, ValueError) as error:
            what = f"shard {shard.name} is damaged ({error}); run diffbio ingest again with --force"
            raise StoreError(f"{self.url}: {what}") from error
        return found

    def reads(self, region: str | tuple[str, int, int], read_length: int | None = None) -> dict[str, np.ndarray]:
        """Reads of a region in the form that the documented pipelines take: a pipeline's ``apply`` runs on them as is.

        Args:
            region: ``chr20:1001-2000``, counted from 1, or (contig, start, stop), 0-based half-open.
            read_length: Longest read (columns): longer ones come as several. That of the longest read if not given.

        Returns:
            The arrays of ``diffbio_core.reads.arrays``, and ``reference`` (length of the region, 4) float32, one-hot,
            zeros for N.

        Raises:
            StoreError: The region is malformed or not inside a contig of the store, or its windows are not in it.
        """
        contig, start, stop = self._resolve(region)
        shards = list(self.grid.shards(contig, self.contig_length(contig), [(start, stop)]))
        missing = [shard.name for shard in shards if self.marker(shard) is None]
        if missing:
            asked = f"{contig}:{start + 1}-{stop}"
            what = f"{self.url} does not hold all windows of {asked}; they are missing in {', '.join(missing)}"
            raise StoreError(f"{what}: fill it with diffbio ingest --region {asked}")
        reference: list[np.ndarray] = []

        def planes() -> Iterator[ShardPlanes]:
            buffers = PlaneBuffers()
            for shard in shards:
                found = self.read(shard, buffers)
                cores = found.reference[:, self.grid.halo : self.grid.halo + self.grid.reference_length]
                reference.append(cores.reshape(-1))
                yield found

        found = cut_reads(planes(), start, stop, read_length)
        first = shards[0].first_window * self.grid.reference_length
        codes = np.concatenate(reference)[start - first : stop - first]
        return {**found, "reference": np.eye(N_BASE + 1, N_BASE, dtype=np.float32)[codes]}

    def contig_length(self, contig: str) -> int:
        """Length of a contig (bp).

        Raises:
            StoreError: The store does not hold it.
        """
        return int(self._attributes(contig)["contig_length"])

    def free(self, shard: Shard) -> None:
        """Delete what the store holds of the grid's shard that these windows belong to, the marker first."""
        group = f"{self._root}/{group_name(shard.contig)}"
        marker = f"{self._root}/{self._marker_path(shard)}"
        if self._files.exists(marker):
            self._files.rm_file(marker)
        tables = f"{self._root}/{self._tables_path(shard)}"
        if self._files.exists(tables):
            self._files.rm_file(tables)
        # The reference is written in every shard, before all that comes after the planes.
        if not any(self._files.exists(f"{group}/{name}/c/{shard.index}") for name in ("base", "reference")):
            return
        for name in self._contig(shard.contig):
            chunks = f"{group}/{name}/c/{shard.index}"
            if name != "start" and self._files.exists(chunks):
                self._files.rm(chunks, recursive=True)

    def marker(self, shard: Shard) -> dict[str, Any] | None:
        """What a shard's marker says; None where the shard's windows are not all there."""
        marker = self.grid_marker(shard)
        if marker is None:
            return None
        inside = marker["first_window"] <= shard.first_window and shard.last_window <= marker["last_window"]
        return marker if inside else None

    def grid_marker(self, shard: Shard) -> dict[str, Any] | None:
        """What the marker of the grid's shard says, whichever of its windows are there; None where none are."""
        try:
            marker = json.loads(self._files.cat_file(f"{self._root}/{self._marker_path(shard)}"))
        except (FileNotFoundError, ValueError):
            return None
        return marker if isinstance(marker, dict) and marker.get("format") == FORMAT else None

    def shards(self, contig: str) -> list[Shard]:
        """Shards of a contig that are whole, in order."""
        folder = f"{self._root}/{group_name(contig)}/{MARKERS}"
        try:
            names = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        paths = (name for name in names if os.path.basename(name) not in ("zarr.json", "") and name.endswith(".json"))
        markers = (json.loads(self._files.cat_file(path)) for path in paths)
        return sorted(
            Shard(contig, marker["index"], marker["first_window"], marker["last_window"])
            for marker in markers
            if marker["format"] == FORMAT
        )

    def _resolve(self, region: str | tuple[str, int, int]) -> tuple[str, int, int]:
        """Contig, start and stop of a region."""
        lengths = {contig: self.contig_length(contig) for contig in self.contigs}
        if isinstance(region, str):
            try:
                return parse_region(region, lengths)
            except InputError as error:
                raise StoreError(f"{self.url}: {error}") from error
        contig, start, stop = region
        if contig not in lengths:
            raise StoreError(f"{self.url} holds no contig {contig}; it holds {', '.join(lengths)}")
        if not 0 <= start < stop <= lengths[contig]:
            what = f"region {region} is empty or not inside 0 to {lengths[contig]}, where {contig} ends"
            raise StoreError(f"{self.url}: {what}")
        return contig, start, stop

    def _read_planes(
        self, arrays: Mapping[str, zarr.Array], shard: Shard, marker: Mapping[str, Any], buffers: PlaneBuffers
    ) -> ShardPlanes:
        rows = slice(shard.first_window, shard.last_window)
        planes = buffers.take(marker["lanes"] // LANES_PER_BLOCK, shard.num_windows, self.grid.positions)
        for name, blocks in planes.items():
            for block in range(blocks.shape[0]):
                lane = block * LANES_PER_BLOCK
                blocks[block] = arrays[name][rows, lane : lane + LANES_PER_BLOCK]
        reads, indels = self._read_tables(shard, marker)
        return ShardPlanes(
            shard,
            self.grid,
            self._lengths[shard.contig],
            np.asarray(arrays["reference"][rows]),
            planes["base"],
            planes["base_quality"],
            reads=reads,
            indels=indels,
            candidates=read_candidates(arrays, rows, marker["ragged"]),
            read_counts=marker["read_counts"],
        )

    def _read_tables(self, shard: Shard, marker: Mapping[str, Any]) -> tuple[LaneReads, LaneIndels]:
        """The tables of some windows of a shard."""
        content = self._files.cat_file(f"{self._root}/{self._tables_path(shard)}")
        with np.load(io.BytesIO(content)) as held:
            reads = LaneReads(*(held[f"reads.{name}"] for name in LaneReads.__dataclass_fields__))
            indels = LaneIndels(*(held[f"indels.{name}"] for name in LaneIndels.__dataclass_fields__))
        lanes = marker["lanes"]
        first, last = (window - marker["first_window"] for window in (shard.first_window, shard.last_window))
        return reads.lanes(first * lanes, last * lanes), indels.lanes(first * lanes, last * lanes)

    def _tables_path(self, shard: Shard) -> str:
        return f"{group_name(shard.contig)}/{MARKERS}/{shard.index:06d}.npz"

    def _contig(self, contig: str) -> dict[str, zarr.Array]:
        if contig not in self._arrays:
            attributes = self._attributes(contig)
            self._check_layout(contig, int(attributes.get("contig_length", -1)))
            group = zarr.open_group(self.url, path=group_name(contig), mode="r+", use_consolidated=False)
            # Blocks without a read are left out by number; looking at every cell for fill costs more than writing.
            self._arrays[contig] = {
                name: array.with_config({"write_empty_chunks": True}) for name, array in group.arrays()
            }
            self._lengths[contig] = int(attributes["contig_length"])
        return self._arrays[contig]

    def _attributes(self, contig: str) -> Mapping[str, Any]:
        document = self._document(group_name(contig))
        if document is None:
            raise StoreError(f"{self.url} holds no contig {contig}: fill it with diffbio ingest")
        return document["attributes"]

    def _check_layout(self, contig: str, length: int) -> None:
        attributes = self._attributes(contig)
        differing = [
            f"{name} {attributes.get(name)}, not {value}"
            for name, value in layout_attributes(self.grid, contig, length).items()
            if attributes.get(name) != value
        ]
        if differing:
            raise StoreError(f"{self.url}: contig {contig} is laid out with {'; '.join(differing)}")

    def _document(self, group: str) -> dict[str, Any] | None:
        """A group's own metadata document; None where there is none."""
        try:
            return json.loads(self._files.cat_file("/".join(filter(None, (self._root, group, "zarr.json")))))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise StoreError(f"{self.url} is not a window store: its zarr.json cannot be read ({error})") from error

    def _marker_path(self, shard: Shard) -> str:
        return f"{group_name(shard.contig)}/{MARKERS}/{shard.index:06d}.json"

    @property
    def _is_local(self) -> bool:
        return isinstance(self._files, fsspec.implementations.local.LocalFileSystem)

    def _write_file(self, path: str, content: bytes) -> None:
        path = f"{self._root}/{path}"
        # An object store shows an object only when it is whole; a file has to be renamed to do so.
        if self._is_local:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_whole(path, content, durable=False)
        else:
            self._files.pipe_file(path, content)


def _pack_tables(planes: ShardPlanes) -> bytes:
    held = io.BytesIO()
    tables = {"reads": planes.reads, "indels": planes.indels}
    arrays = {f"{key}.{name}": values for key, table in tables.items() for name, values in vars(table).items()}
    np.savez_compressed(held, **arrays)
    return held.getvalue()


def _checksums(planes: ShardPlanes) -> dict[str, int]:
    """CRC-32 of the planes, of the reference and of the candidates."""
    table = planes.candidates
    arrays = {name: getattr(planes, name) for name in (*PLANES, "reference")} | vars(table)
    return {name: isal_zlib.crc32(np.ascontiguousarray(array)) for name, array in arrays.items()}
