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
        categories: The vocabulary, sorted, every word once.
    """

    codes: Int[np.ndarray, "cells"]
    categories: np.ndarray

    @classmethod
    def of(cls, values: Iterable[Any]) -> Labels:
        """Labels from one value per cell, bytes or anything with a text form.

        Raises:
            ValueError: Some are missing (None or NaN), with how many and the first.
        """
        values = np.asarray(values)
        if values.dtype.kind in "Of":
            missing = np.fromiter((value is None or value != value for value in values), bool, len(values))
            if missing.any():
                raise ValueError(f"{missing.sum()} of {len(values)} are missing, first that of {missing.argmax()}")
        categories, codes = np.unique(safe_decode_array(values), return_inverse=True)
        return cls(codes.astype(np.int32), categories.astype(object))

    @property
    def names(self) -> np.ndarray:
        """One name per cell."""
        return self.categories[self.codes]

    def code(self, name: str) -> int | None:
        """Place of a name in the vocabulary, or None."""
        place = int(np.searchsorted(self.categories, name)) if len(self.categories) else 0
        return place if place < len(self.categories) and self.categories[place] == name else None

    def isin(self, names: Iterable[str]) -> np.ndarray:
        """Which cells have one of these labels."""
        codes = [code for code in map(self.code, names) if code is not None]
        return np.isin(self.codes, codes)

    def in_vocabulary(self, categories: np.ndarray) -> Labels:
        """The same labels as places in a larger vocabulary, sorted."""
        return Labels(np.searchsorted(categories, self.categories).astype(np.int32)[self.codes], categories)


def stack_labels(parts: Iterable[Labels]) -> Labels:
    """Labels of several groups of cells one after the other, in one vocabulary."""
    parts = list(parts)
    categories = np.array(sorted(set().union(*(part.categories for part in parts))), dtype=object)
    return Labels(np.concatenate([part.in_vocabulary(categories).codes for part in parts]), categories)


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
