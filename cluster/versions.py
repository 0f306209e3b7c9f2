"""What a worker has in common with the process that leads a run, so that both compute the same."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from diffbio_core import __version__
from diffbio_core.kernel_cache import modules

PACKAGES = "diffbio_core", "diffbio_io", "diffbio_cluster", "diffbio_flows"

# By how many parts of a version two processes must agree: XLA may round otherwise from one patch to the next.
_PARTS = {"jax": 3, "jaxlib": 3, "numpy": 2, "numba": 2}


class OtherVersionError(RuntimeError):
    """A worker runs other versions than the process that leads the run."""


@lru_cache(maxsize=1)
def own_versions() -> dict[str, str]:
    """Versions of this process, by name, without importing what they are of."""
    found = {"diffbio": f"{__version__} (sources {_sources()[:8]})", "Python": _cut(platform.python_version(), 2)}
    for package, parts in _PARTS.items():
        try:
            found[package] = _cut(version(package), parts)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def differing(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """What differs, as text: ``diffbio 0.0.9, not 0.1.0``; empty where nothing does."""
    return ", ".join(
        f"{name} {theirs.get(name, 'unknown')}, not {value}"
        for name, value in ours.items()
        if theirs.get(name) != value
    )


def check_versions(leader: Mapping[str, str]) -> None:
    """Refuses to work for a leader of other versions; for workers that come when a run has begun.

    Raises:
        OtherVersionError: They differ.
    """
    told = differing(own_versions(), leader)
    if told:
        raise OtherVersionError(f"a worker on {platform.node()} has other versions than this run: {told}")


def _sources() -> str:
    """SHA-256 of all modules of diffbio: two states of it may have one version number."""
    digest = hashlib.sha256()
    for name, path in sorted(module for package in PACKAGES for module in modules(package)):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _cut(text: str, parts: int) -> str:
    return ".".join(text.split(".")[:parts])
