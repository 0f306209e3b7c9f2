"""The choices that a perturbation experiment's configuration has."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum


class OutputSpaceMode(StrEnum):
    """What a cell's counts are: its highly variable genes, all genes, or nothing beside an embedding."""

    GENE = "gene"
    ALL = "all"
    EMBEDDING = "embedding"


class MappingStrategy(StrEnum):
    """Which controls a perturbed cell is paired with: of its batch and cell type, or of its cell type."""

    BATCH = "batch"
    RANDOM = "random"


def check_mode(field: str, value: str, modes: Iterable[str]) -> None:
    """Refuse a value that is none of the modes.

    Raises:
        ValueError: It is none, with the field's name.
    """
    modes = [str(mode) for mode in modes]
    if value not in modes:
        raise ValueError(f"{field} must be one of {', '.join(modes)}; got {value!r}")


def unknown(names: Iterable[str], known: Iterable[str]) -> str:
    """Names that do not exist, each with what looks like it; empty if all exist.

    Args:
        names: Names that a configuration gives.
        known: Names that there are.
    """
    known = list(known)
    told = []
    for name in names:
        if name not in known:
            near = get_close_matches(name.lower(), [other.lower() for other in known], n=1, cutoff=0.6)
            meant = next((other for other in known if near and other.lower() == near[0]), None)
            told.append(repr(name) + (f" (is {meant!r} meant?)" if meant else ""))
    return ", ".join(told)
