"""Where Numba keeps compiled kernels: a folder for each state of the sources.

Numba compiles a kernel again when the kernel's own file changes. The constants and the inlined functions that it took
from other modules may change without that, and the old kernel would go on to run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from diffbio_core.cache_folders import cache_folder, is_writable

PACKAGES = "diffbio_core", "diffbio_io"
"""Packages that have kernels, or what kernels are made of."""

KEPT = 8
"""States of the sources whose kernels are kept at least, by when they were last used."""

_VARIABLE = "NUMBA_CACHE_DIR"
_IN_USE_SECONDS = 24 * 3600
_NAME = re.compile(r"diffbio-[0-9a-f]{16}")
# At the start of a line: what a function imports, or a type checker alone, no kernel is made of.
_IMPORT = re.compile(r"^(?:from|import)\s+(diffbio_[\w.]+)(?:\s+import\s+(\([^)]*\)|[^\n]*))?", re.MULTILINE)


def use_kernel_cache(environment: MutableMapping[str, str] = os.environ) -> None:
    """Has Numba keep kernels in this state's folder, within ``NUMBA_CACHE_DIR`` where the user has set it.

    Where no folder can be written, nothing is set, and Numba looks for one itself.

    Args:
        environment: Where Numba looks, in this process and in those that it starts.
    """
    given = environment.get(_VARIABLE)
    root = None
    if given:
        # A process that was started by one of another state of the sources inherits that one's folder.
        root = Path(given).parent if _NAME.fullmatch(Path(given).name) else Path(given)
    if root is None or not _made(root):
        root = cache_folder("numba", environment)
    if root is None:
        return
    folder = root / f"diffbio-{source_state()[:16]}"
    if not folder.exists():
        prune(root, KEPT - 1)
    if not _made(folder):
        return
    environment[_VARIABLE] = str(folder)
    numba = sys.modules.get("numba")
    if numba is not None and environment is os.environ:
        numba.config.CACHE_DIR = str(folder)


def source_state(packages: Iterable[str] = PACKAGES, also: Iterable[str] = ()) -> str:
    """What tells the kernels' sources from any others: SHA-256 of the modules that have kernels and all they import.

    Other modules of the packages cannot show in a kernel, so that a change to them costs no new compilation.

    Args:
        packages: Where the modules are.
        also: Modules that count, too, with all they import.
    """
    files = {name: path for package in packages for name, path in modules(package)}
    contents = {name: path.read_bytes() for name, path in files.items()}
    waiting = [name for name, content in contents.items() if b"njit" in content] + [*also]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in contents and name not in found:
            found.add(name)
            waiting += _imported(contents[name].decode())
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name} {len(contents[name])}\n".encode())
        digest.update(contents[name])
    return digest.hexdigest()


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """Modules of a package by name."""
    spec = find_spec(package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in files:
                if name.endswith(".py"):
                    path = Path(folder, name)
                    parts = path.relative_to(root).with_suffix("").parts
                    yield ".".join((package, *(part for part in parts if part != "__init__"))), path


def _imported(source: str) -> Iterator[str]:
    """Names that may be those of modules which a source imports, with the packages that they are in."""
    for whole, names in _IMPORT.findall(source):
        steps = whole.split(".")
        yield from (".".join(steps[:number]) for number in range(1, len(steps) + 1))
        yield from (f"{whole}.{name}" for name in re.findall(r"\w+", names))


def prune(root: Path, kept: int) -> None:
    """Deletes the kernels of all but the states that were used last, and of none that was used within a day.

    Args:
        root: Folder of the states' folders.
        kept: How many stay.
    """
    try:
        states = [(path.stat().st_mtime, path) for path in root.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return
    states.sort(reverse=True)
    for used, path in states[kept:]:
        # A process that lives long still writes to its own.
        if used < time.time() - _IN_USE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _made(folder: Path) -> bool:
    """Makes a folder, or notes that it is in use; whether it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    with suppress(OSError):  # another user's, who lets this one write there
        os.utime(folder)
    return is_writable(folder)
