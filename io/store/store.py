"""The window store: planes, tables, reference and candidates of a genome's windows in Zarr v3, a group per contig.

``xarray.open_zarr(store, group="chr20")`` shows a contig as labelled arrays. A shard is one chunk of each of them and a
group of its own for its tables, which no other shard shares, so workers write side by side without locks; the document
of that group is written last, and by it a reader knows that the shard is whole. It lists the checksums of all that
belongs to the shard: what is missing or altered is an error, and never reads as "no reads".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from diffbio_core.problems import InputError
from diffbio_core.reads.arrays import cut_reads
from diffbio_core.reads.slippage import Slippage
from diffbio_core.whole_file import ASIDE
from diffbio_core.windows.encoding import BASES, N_BASE, PLANES
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.planes import LANES_PER_BLOCK, PlaneBuffers, ShardPlanes
from diffbio_io.files.locks import locked
from diffbio_io.regions import parse_region
from diffbio_io.store.chunks import DamagedChunk, PlaneLayout, crc32c, pack_array, unpack_array
from diffbio_io.store.layout import (
    FORMAT,
    SHARDS,
    contig_documents,
    contig_of,
    group_name,
    plane_chunks,
    reference_chunk,
    root_document,
    shard_documents,
    shard_group,
    table_chunks,
)
from diffbio_io.store.objects import Content, Objects
from diffbio_io.store.tables import TABLES, table_arrays, tables_of

LOCK = ".lock"
"""File in the folder of a store on a local path while a process fills it."""

_ROOT = "zarr.json"


class StoreError(ValueError):
    """A store that is missing, damaged, or laid out for another grid or version."""


class WindowStore:
    """A window store on a local path or any fsspec URL.

    Args:
        url: Path or URL of the store's root.
        grid: The grid that it is, or shall be, laid out for; that of its own attributes if not given.
    """

    ABSENT = "is not in the store"
    """What `faults` says of a shard that is not there at all."""

    def __init__(self, url: str | os.PathLike[str], grid: WindowGrid | None = None) -> None:
        self.url = os.fspath(url)
        self._given_grid = grid
        self._objects = Objects(self.url)
        self._checked: set[tuple[str, int]] = set()
        self._known: dict[str, Any] | None = None
        self._last_cores: tuple[str, np.ndarray] | None = None

    @cached_property
    def grid(self) -> WindowGrid:
        """The grid of every contig in the store."""
        if self._given_grid is not None:
            return self._given_grid
        attributes = self._contig_attributes(self.contigs[0])
        return WindowGrid(*(int(attributes[name]) for name in ("reference_length", "halo", "windows_per_shard")))

    @property
    def attributes(self) -> dict[str, Any]:
        """What the store tells of the sample, the reads and the reference that it was made of.

        Raises:
            StoreError: There is no store.
        """
        root = self._root()
        if root is None:
            raise StoreError(f"{self.url} is not a window store: fill it with diffbio ingest")
        return root["attributes"]

    @property
    def contigs(self) -> list[str]:
        """Contigs that the store holds, in order of name.

        Raises:
            StoreError: There is none.
        """
        found = sorted(contig_of(name) for name in _members(self._root()) if "/" not in name)
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
        root = self._root()
        if root is None:
            folder = self._objects.folder
            foreign = [] if folder is None or not folder.is_dir() else sorted(os.listdir(folder))
            foreign = [name for name in foreign if name != LOCK and not name.endswith(ASIDE)]
            if foreign:
                raise StoreError(f"{self.url} is not a window store: it holds {foreign[0]!r} but no zarr.json")
            return
        for contig in self.contigs if _members(root) else ():
            self._check_contig(contig, (lengths or {}).get(contig, self.contig_length(contig)))

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Keeps other processes that claim the store from filling it, where it is on a local path.

        An object store has no locks: there, whoever starts two runs that fill one shard must see to it.

        Raises:
            InputError: Another process fills it.
        """
        folder = self._objects.folder
        if folder is None:
            yield
            return
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK, f"window store {self.url}", "Wait for it, or choose another --store."):
            yield

    def told(self) -> dict[str, Any] | None:
        """See `attributes`; None where there is no store yet."""
        return None if self._root() is None else self.attributes

    def md5(self, contig: str) -> str:
        """MD5 of a contig's sequence, as ``M5`` of ``@SQ`` has it.

        Raises:
            StoreError: The store does not hold it.
        """
        return self._contig_attributes(contig)["md5"]

    def contigs_to_add(self, contigs: Mapping[str, int]) -> dict[str, int]:
        """Those of some contigs, length (bp) by name, that the store does not hold yet.

        Raises:
            StoreError: A contig is there with another layout.
        """
        self._known = None
        members = _members(self._root())
        for contig, length in contigs.items():
            if group_name(contig) in members:
                self._check_contig(contig, length)
        return {contig: length for contig, length in contigs.items() if group_name(contig) not in members}

    def create_contigs(
        self,
        contigs: Mapping[str, int],
        attributes: Mapping[str, Any] | None = None,
        contig_attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Lay out contigs; done by one process before any shard of them is written. Those that are there are left.

        Args:
            contigs: Length (bp) by name.
            attributes: What else a reader should know of the store: sample, files that the windows come from.
            contig_attributes: What else of a contig, by name.

        Raises:
            StoreError: A contig is there with another layout.
        """
        contigs = self.contigs_to_add(contigs)
        root = self._root()
        members = _members(root)
        told = {**(root["attributes"] if root else {}), **(attributes or {})}
        files: dict[str, bytes] = {}
        for contig, length in contigs.items():
            group = group_name(contig)
            about = (contig_attributes or {}).get(contig, {})
            for name, document in contig_documents(self.grid, contig, length, about).items():
                path = f"{group}/{name}".rstrip("/")
                files[f"{path}/zarr.json"] = json.dumps(document).encode()
                if name != SHARDS:
                    members[path] = document if name else {**document, "consolidated_metadata": None}
            starts = np.arange(self.grid.num_windows(length), dtype="<i8") * self.grid.reference_length
            files[f"{group}/start/c/0"] = starts.tobytes()
        if root is None:
            # By it a folder is known for a store's, also where what follows is cut short.
            self._objects.put(_ROOT, json.dumps(root_document(told, {})).encode())
        self._objects.put_all(files)
        # The root's document last: what it does not name is laid out anew.
        self._objects.put(_ROOT, json.dumps(root_document(told, members)).encode())
        self._known = None

    def write(self, planes: ShardPlanes, **made_of: Any) -> None:
        """Write a shard, its marker last; what else the store held of it goes first.

        Where the store holds this very content, every byte of it stays readable: a worker that comes late, since it was
        given up and its shard given to another one, does no harm.

        Args:
            planes: The shard.
            made_of: What its marker should tell of where it comes from.

        Raises:
            StoreError: The contig is not laid out, or for another grid.
        """
        shard, grid = planes.shard, planes.grid
        self._check_contig(shard.contig, planes.contig_length)
        offset = shard.first_window - shard.index * grid.windows_per_shard
        rows = np.diff(planes.reads.first).reshape(shard.num_windows, -1, LANES_PER_BLOCK).sum(-1)
        layout, chunks = PlaneLayout.of(grid), plane_chunks(shard) if planes.num_lanes else {}
        objects = {
            path: layout.pack(getattr(planes, name), offset, PLANES[name][1], rows) for name, path in chunks.items()
        }
        reference = np.full((grid.windows_per_shard, grid.positions), N_BASE, np.uint8)
        reference[offset : offset + shard.num_windows] = planes.reference
        objects[reference_chunk(shard)] = pack_array(reference)
        arrays = table_arrays(planes)
        objects |= {path: pack_array(arrays[name]) for name, path in table_chunks(shard, arrays).items()}
        marker = {
            **asdict(shard),
            "lanes": planes.num_lanes,
            "read_counts": planes.read_counts,
            "slippage": asdict(planes.slippage),
            "chunks": {path: [len(content), crc32c(content)] for path, content in objects.items()},
            "made_of": made_of,
        }
        documents = shard_documents(marker, arrays)
        group = shard_group(shard)
        held = self.grid_marker(shard)
        if held is not None and held != json.loads(json.dumps(documents[""]["attributes"])):
            self.free(shard)
        objects |= {f"{group}/{name}/zarr.json": json.dumps(documents[name]).encode() for name in arrays}
        self._objects.put_all(objects)
        self._objects.put(f"{group}/zarr.json", json.dumps(documents[""]).encode())

    def read(
        self, shard: Shard, buffers: PlaneBuffers | None = None, made_of: Mapping[str, Any] | None = None
    ) -> ShardPlanes:
        """Read a shard back, or some of its windows.

        Args:
            shard: The windows; all must have been written.
            buffers: Memory to reuse; the planes that are returned live in it.
            made_of: What its marker must tell of where it comes from; anything if not given.

        Raises:
            StoreError: The shard is not in the store, or a chunk of it is missing or damaged.
        """
        document = self._shard_document(shard)
        if document is None or not _covers(document["attributes"], shard):
            raise StoreError(f"{self.url} does not hold shard {shard.name}: fill it with diffbio ingest")
        self._check_contig(shard.contig, self.contig_length(shard.contig))
        marker = document["attributes"]
        if made_of is not None and marker["made_of"] != made_of:
            raise StoreError(f"{self.url}: shard {shard.name} {OTHER_FILES}. {REMAKE}")
        found = self._objects.get_all(marker["chunks"])
        faults = _faults(marker, found)
        if faults:
            raise StoreError(f"{self.url}: shard {shard.name} is damaged: {'; '.join(faults)}. {REMAKE}")
        content = {path: data for path, data in found.items() if isinstance(data, bytes)}
        try:
            return self._unpack(shard, document, content, buffers or PlaneBuffers())
        except (DamagedChunk, KeyError) as error:
            raise StoreError(f"{self.url}: shard {shard.name} is damaged ({error}). {REMAKE}") from error

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
        reference: list[np.ndarray] = []

        def planes() -> Iterator[ShardPlanes]:
            buffers = PlaneBuffers()
            for shard in shards:
                found = self.read(shard, buffers)
                cores = found.reference[:, self.grid.halo : self.grid.halo + self.grid.reference_length]
                reference.append(cores.reshape(-1))
                yield found

        if len(shards) > 1:
            missing = [shard.name for shard in shards if self.marker(shard) is None]
            if missing:
                raise self._missing(contig, start, stop, missing)
        try:
            found = cut_reads(planes(), start, stop, read_length)
        except StoreError as error:
            if len(shards) == 1 and self.marker(shards[0]) is None:
                raise self._missing(contig, start, stop, [shards[0].name]) from error
            raise
        first = shards[0].first_window * self.grid.reference_length
        codes = np.concatenate(reference)[start - first : stop - first]
        return {**found, "reference": np.eye(N_BASE + 1, N_BASE, dtype=np.float32)[codes]}

    def contig_length(self, contig: str) -> int:
        """Length of a contig (bp).

        Raises:
            StoreError: The store does not hold it.
        """
        return int(self._contig_attributes(contig)["contig_length"])

    def free(self, shard: Shard) -> None:
        """Delete what the store holds of the grid's shard that these windows belong to, the marker first."""
        group = shard_group(shard)
        self._objects.remove(f"{group}/zarr.json")
        chunks = [*plane_chunks(shard).values(), reference_chunk(shard)]
        for folder in (*(f"{chunk.split('/c/')[0]}/c/{shard.index}" for chunk in chunks), group):
            self._objects.remove_folder(folder)

    def marker(self, shard: Shard) -> dict[str, Any] | None:
        """What a shard's marker says; None where the shard's windows are not all there."""
        marker = self.grid_marker(shard)
        return marker if marker is not None and _covers(marker, shard) else None

    def grid_marker(self, shard: Shard) -> dict[str, Any] | None:
        """What the marker of the grid's shard says, whichever of its windows are there; None where none are."""
        document = self._shard_document(shard)
        return None if document is None else document["attributes"]

    def markers(self, contig: str) -> dict[int, dict[str, Any]]:
        """Markers of the shards of a contig that are there, by their place in the contig's grid, in order."""
        folder = f"{group_name(contig)}/{SHARDS}"
        names = [name for name in self._objects.names(folder) if name.isdigit()]
        found = self._objects.get_all(f"{folder}/{name}/zarr.json" for name in names)
        documents = map(_shard_document, found.values())
        return {doc["attributes"]["index"]: doc["attributes"] for doc in documents if doc is not None}

    def shards(self, contig: str) -> list[Shard]:
        """Shards of a contig that are there, in order."""
        return [
            Shard(contig, marker["index"], marker["first_window"], marker["last_window"])
            for marker in self.markers(contig).values()
        ]

    def bases(self, contig: str, start: int, stop: int) -> str:
        """Reference bases of ``[start, stop)`` of a contig, 0-based half-open; N where the store holds no window.

        Raises:
            StoreError: The store does not hold the contig, or a chunk is damaged.
        """
        grid, codes = self.grid, np.full(max(0, stop - start), N_BASE, np.uint8)
        for shard in grid.shards(contig, self.contig_length(contig), [(start, stop)]):
            first, last = grid.core(shard, self.contig_length(contig))
            low, high = max(first, start), min(last, stop)
            row = shard.first_window - shard.index * grid.windows_per_shard
            cores = self._cores(reference_chunk(shard))[row * grid.reference_length :]
            codes[low - start : high - start] = cores[low - first : high - first]
        return "".join(BASES[code] for code in codes)

    def _cores(self, chunk: str) -> np.ndarray:
        """Base codes under the cores of a shard's windows; the last one asked for is kept."""
        if self._last_cores is None or self._last_cores[0] != chunk:
            grid, content = self.grid, self._objects.get(chunk)
            codes = np.full((grid.windows_per_shard, grid.positions), N_BASE, np.uint8)
            try:
                if content is not None:
                    unpack_array(content, codes)
            except DamagedChunk as error:
                raise StoreError(f"{self.url}: chunk {chunk} is damaged ({error}). {REMAKE}") from error
            cores = codes[:, grid.halo : grid.halo + grid.reference_length]
            self._last_cores = chunk, cores.reshape(-1)
        return self._last_cores[1]

    def faults(self, shards: Iterable[Shard], made_of: Mapping[str, Any] | None = None) -> dict[Shard, list[str]]:
        """What is missing or damaged of some shards that should be there, as half sentences, by shard with a fault.

        On a local path checksums are compared, elsewhere sizes alone: what a checksum shows there, reading tells.

        Args:
            shards: Which.
            made_of: What their markers must tell of where they come from; anything if not given.
        """
        faulty: dict[Shard, list[str]] = {}
        markers: dict[str, dict[int, dict[str, Any]]] = {}
        sizes: dict[str, dict[str, int]] = {}
        for shard in shards:
            if shard.contig not in markers:
                markers[shard.contig] = self.markers(shard.contig)
            marker = markers[shard.contig].get(shard.index)
            if marker is None or not _covers(marker, shard):
                faulty[shard] = [self.ABSENT]
                continue
            if made_of is not None and marker["made_of"] != made_of:
                faulty[shard] = [OTHER_FILES]
                continue
            if self._objects.folder is not None:
                found = _faults(marker, self._objects.get_all(marker["chunks"]))
            else:
                if shard.contig not in sizes:
                    sizes[shard.contig] = self._objects.sizes(group_name(shard.contig))
                found = _size_faults(marker, sizes[shard.contig])
            if found:
                faulty[shard] = found
        return faulty

    def _missing(self, contig: str, start: int, stop: int, names: list[str]) -> StoreError:
        asked = f"{contig}:{start + 1}-{stop}"
        what = f"{self.url} does not hold all windows of {asked}; they are missing in {', '.join(names)}"
        return StoreError(f"{what}: fill it with diffbio ingest --region {asked}")

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

    def _unpack(
        self, shard: Shard, document: Mapping[str, Any], content: Mapping[str, bytes], buffers: PlaneBuffers
    ) -> ShardPlanes:
        grid, marker = self.grid, document["attributes"]
        offset = shard.first_window - shard.index * grid.windows_per_shard
        layout, chunks = PlaneLayout.of(grid), plane_chunks(shard) if marker["lanes"] else {}
        planes = buffers.take(marker["lanes"] // LANES_PER_BLOCK, shard.num_windows, grid.positions, clear=False)
        for name, path in chunks.items():
            layout.unpack(content[path], planes[name], offset, PLANES[name][1])
        reference = np.empty((grid.windows_per_shard, grid.positions), np.uint8)
        unpack_array(content[reference_chunk(shard)], reference)
        arrays: dict[str, np.ndarray] = {}
        for name, about in document["consolidated_metadata"]["metadata"].items():
            arrays[name] = np.empty(about["shape"], about["data_type"])
        for name, path in table_chunks(shard, arrays).items():
            unpack_array(content[path], arrays[name])
        if missing := TABLES.keys() - arrays:
            raise DamagedChunk(f"its marker lacks {', '.join(sorted(missing))}")
        first = shard.first_window - marker["first_window"]
        reads, indels, candidates = tables_of(arrays, marker["lanes"], first, first + shard.num_windows)
        return ShardPlanes(
            shard,
            grid,
            self.contig_length(shard.contig),
            reference[offset : offset + shard.num_windows],
            planes["base"],
            planes["base_quality"],
            reads,
            indels,
            candidates,
            marker["read_counts"],
            Slippage(**marker["slippage"]),
        )

    def _shard_document(self, shard: Shard) -> dict[str, Any] | None:
        return _shard_document(self._objects.get(f"{shard_group(shard)}/zarr.json"))

    def _contig_attributes(self, contig: str) -> Mapping[str, Any]:
        group = group_name(contig)
        if group not in _members(self._root()):
            self._known = None
        members = _members(self._root())
        if group not in members:
            raise StoreError(f"{self.url} holds no contig {contig}: fill it with diffbio ingest")
        return members[group]["attributes"]

    def _check_contig(self, contig: str, length: int) -> None:
        if (contig, length) in self._checked:
            return
        attributes = self._contig_attributes(contig)
        wanted = {"contig_length": length, **asdict(self.grid)}
        differing = [
            f"{name} {attributes.get(name)}, not {value}"
            for name, value in wanted.items()
            if attributes.get(name) != value
        ]
        if differing:
            raise StoreError(f"{self.url}: contig {contig} is laid out with {'; '.join(differing)}")
        self._checked.add((contig, length))

    def _root(self) -> dict[str, Any] | None:
        """The root's document; None where there is none."""
        if self._known is None:
            content = self._objects.get(_ROOT)
            self._known = None if content is None else _checked_root(self.url, content)
        return self._known


OTHER_FILES = "was made of other reads or another reference than the store tells"
REMAKE = "A run of diffbio ingest with the same reads and region makes it again."


def _checked_root(url: str, content: bytes) -> dict[str, Any]:
    try:
        root = json.loads(content)
        attributes, members = root["attributes"], root["consolidated_metadata"]["metadata"]
        oldest = any("format" in member.get("attributes", {}) for member in members.values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{url} is not a window store: its zarr.json cannot be read ({error!r})") from error
    found = attributes.get("format", 1 if oldest or not members else None)
    if found is None:
        raise StoreError(f"{url} is not a window store: its zarr.json tells no format")
    if found != FORMAT:
        what = f"{url} is a window store of format {found}, and this version of diffbio reads and writes {FORMAT}"
        raise StoreError(f"{what}: remove it, or choose another place, and run diffbio ingest on the reads again")
    return root


def _members(root: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if root is None else dict(root["consolidated_metadata"]["metadata"])


def _shard_document(content: Content | None) -> dict[str, Any] | None:
    """A shard's document; None where there is none, or only part of one."""
    try:
        document = json.loads(content) if isinstance(content, bytes) else None
        return document if document and document["attributes"]["format"] == FORMAT else None
    except (ValueError, TypeError, KeyError):
        return None


def _covers(marker: Mapping[str, Any], shard: Shard) -> bool:
    return marker["first_window"] <= shard.first_window and shard.last_window <= marker["last_window"]


def _faults(marker: Mapping[str, Any], found: Mapping[str, Content]) -> list[str]:
    """Chunks that are not what the marker says, as half sentences."""
    faults = []
    for path, (size, checksum) in marker["chunks"].items():
        content = found[path]
        if isinstance(content, FileNotFoundError | NotADirectoryError):
            faults.append(f"chunk {path} is missing")
        elif isinstance(content, OSError):
            faults.append(f"chunk {path} cannot be read ({content})")
        elif len(content) != size or crc32c(content) != checksum:
            faults.append(f"chunk {path} does not match its checksum")
    return faults


def _size_faults(marker: Mapping[str, Any], sizes: Mapping[str, int]) -> list[str]:
    faults = []
    for path, (size, _) in marker["chunks"].items():
        if path not in sizes:
            faults.append(f"chunk {path} is missing")
        elif sizes[path] != size:
            faults.append(f"chunk {path} has {sizes[path]} bytes, not {size}")
    return faults
