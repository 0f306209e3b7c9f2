"""Labels of cells as codes into a sorted vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Labels:
    """One label per cell.

    Attributes:
        codes: Place of every cell's label in the vocabulary.
        categories: The vocabulary as text, sorted, every word once.
        numeric: Whether the labels were numbers, which are sorted as such: 2 comes before 10.
    """

    codes: Int[np.ndarray, "cells"]
    categories: np.ndarray
    numeric: bool = False

    @classmethod
    def of(cls, values: Iterable[Any]) -> Labels:
        """Labels from one value per cell, bytes or anything with a text form.

        Raises:
            ValueError: Some are missing (None, NaN, pandas' NA), with how many and the first.
        """
        values = np.asarray(values)
        if values.dtype.kind in "Of":
            missing = np.fromiter(map(_is_missing, values), bool, len(values))
            if missing.any():
                raise ValueError(f"{missing.sum()} of {len(values)} are missing, first that of {missing.argmax()}")
        numeric = values.dtype.kind in "iuf"
        categories, codes = np.unique(values if numeric else safe_decode_array(values), return_inverse=True)
        return cls(codes.astype(np.int32), safe_decode_array(categories).astype(object), numeric)

    @classmethod
    def coded(cls, codes: Int[np.ndarray, "cells"], categories: Iterable[Any]) -> Labels:
        """Labels that are codes already, into a vocabulary in any order.

        Args:
            codes: Place of every cell's label among the categories.
            categories: Each once; those that no cell has are left out.
        """
        found = Labels.of(categories)
        used = np.unique(found.codes[codes])
        place = np.full(len(found.categories), -1, np.int32)
        place[used] = np.arange(len(used), dtype=np.int32)
        return cls(place[found.codes[codes]], found.categories[used], found.numeric)

    @property
    def names(self) -> np.ndarray:
        """One name per cell."""
        return self.categories[self.codes]

    def code(self, name: str) -> int | None:
        """Place of a name in the vocabulary, or None."""
        found = np.flatnonzero(self.categories == name)
        return int(found[0]) if len(found) else None

    def isin(self, names: Iterable[str]) -> np.ndarray:
        """Which cells have one of these labels."""
        codes = [code for code in map(self.code, names) if code is not None]
        return np.isin(self.codes, codes)


def _is_missing(value: Any) -> bool:
    """None, NaN, which differs from itself, or pandas' NA, of which nobody knows whether it does."""
    differs = value != value
    return value is None or not isinstance(differs, (bool, np.bool_)) or bool(differs)


def stack_labels(parts: Iterable[Labels]) -> Labels:
    """Labels of several groups of cells one after the other, in one vocabulary."""
    parts = list(parts)
    numeric = all(part.numeric for part in parts)
    words = set().union(*(part.categories for part in parts))
    # A number is one label, whether a file keeps it as 1 or, beside gaps that were filled since, as 1.0.
    spelled: dict[float, str] = {}
    for name in sorted(words, key=len) if numeric else ():
        spelled.setdefault(float(name), name)
    categories = [spelled[value] for value in sorted(spelled)] if numeric else sorted(words)
    place = {name: code for code, name in enumerate(categories)}
    place |= {name: place[spelled[float(name)]] for name in words if numeric}
    codes = [np.array([place[name] for name in part.categories], np.int32)[part.codes] for part in parts]
    return Labels(np.concatenate(codes), np.array(categories, dtype=object), numeric)


def safe_decode_array(values: Any) -> np.ndarray:
    """Values as text: bytes as UTF-8, what is no UTF-8 in it left out, other things by their text form.

    Args:
        values: Array of bytes, text or other things.

    Returns:
        Array of text of the same length.
    """
    values = np.asarray(values)
    if values.dtype.kind == "U":
        return values
    return np.array(
        [value.decode("utf-8", errors="ignore") if isinstance(value, bytes) else str(value) for value in values],
        dtype=str,
    )
