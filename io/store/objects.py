"""Where a store's objects lie: a folder here, or any place that fsspec knows, asked in few requests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from diffbio_core.whole_file import write_whole

Content = bytes | OSError


class Objects:
    """Named objects under one root.

    Attributes:
        url: The root.
        folder: The root as a folder of this machine; None where it is none.

    Args:
        url: Path or URL of the root.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._files, self._root = fsspec.core.url_to_fs(url)
        self.folder = Path(self._root) if isinstance(self._files, LocalFileSystem) else None

    def get(self, name: str) -> bytes | None:
        """An object; None where there is none."""
        found = self.get_all([name])[name]
        if isinstance(found, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            return None
        if isinstance(found, OSError):
            raise found
        return found

    def get_all(self, names: Iterable[str]) -> dict[str, Content]:
        """Some objects, asked for at once; what could not be read is its error."""
        names = list(names)
        if self.folder is not None:
            return {name: _read(self.folder / name) for name in names}
        paths = [f"{self._root}/{name}" for name in names]
        # `cat` would ask of every path first whether it is there, and whole objects for their size: so from byte 0 on.
        found = self._files.cat_ranges(paths, 0, None, on_error="return") if paths else []
        return {name: _content(path, content) for name, path, content in zip(names, paths, found, strict=True)}

    def put_all(self, objects: Mapping[str, bytes]) -> None:
        """Write some objects, each as `put` does; none must be relied on before one of `put` says so."""
        if self.folder is None:
            self._files.pipe({f"{self._root}/{name}": content for name, content in objects.items()})
            return
        for folder in {os.path.dirname(name) for name in objects}:
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        for name, content in objects.items():
            write_whole(self.folder / name, content, durable=False)

    def put(self, name: str, content: bytes) -> None:
        """Write an object that appears whole or not at all."""
        if self.folder is None:
            # An object store shows an object only when it is whole; a file has to be renamed to do so.
            self._files.pipe_file(f"{self._root}/{name}", content)
            return
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        # Not synced: checksums tell what a power cut took.
        write_whole(self.folder / name, content, durable=False)

    def remove(self, name: str) -> None:
        """Delete an object, if it is there."""
        self._remove(name, recursive=False)

    def remove_folder(self, name: str) -> None:
        """Delete all that lies in a folder, if it is there."""
        self._remove(name, recursive=True)

    def names(self, folder: str) -> list[str]:
        """Names of what lies in a folder, in order."""
        path = f"{self._root}/{folder}".rstrip("/")
        # Other processes write here, of which a listing from before knows nothing.
        self._files.invalidate_cache(path)
        try:
            found = self._files.ls(path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(filter(None, (os.path.basename(name.rstrip("/")) for name in found)))

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every object in a folder and the folders in it, by name."""
        path = f"{self._root}/{folder}".rstrip("/")
        self._files.invalidate_cache(path)
        found: Any = self._files.find(path, detail=True)
        prefix = self._root.rstrip("/") + "/"
        return {name.removeprefix(prefix): int(entry["size"]) for name, entry in found.items()}

    def _remove(self, name: str, *, recursive: bool) -> None:
        path = f"{self._root}/{name}"
        self._files.invalidate_cache(path)
        with suppress(FileNotFoundError):
            self._files.rm(path, recursive=recursive)


def _content(path: str, found: Any) -> Content:
    if isinstance(found, Exception) and not isinstance(found, OSError):
        return OSError(f"{path}: {found}")
    return found


def _read(path: Path) -> Content:
    try:
        return path.read_bytes()
    except OSError as error:
        return error
