"""What every splitter is: it says of each cell which split it belongs to, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from jaxtyping import Bool, Int

from diffbio_core.operators.validation import check_fraction
from diffbio_core.structural import StructuralConfig

TRAIN, VALID, TEST, NO_SPLIT = 0, 1, 2, -1
"""Split of a cell in an assignment."""

SPLIT_NAMES = {TRAIN: "train", VALID: "valid", TEST: "test", NO_SPLIT: "none"}


class SplitResult(NamedTuple):
    """Cells of each split, by number, ascending.

    Attributes:
        train_indices: Cells to train on.
        valid_indices: Cells to choose by.
        test_indices: Cells to measure on.
    """

    train_indices: Int[np.ndarray, "train"]
    valid_indices: Int[np.ndarray, "valid"]
    test_indices: Int[np.ndarray, "test"]

    @property
    def train_size(self) -> int:
        """Number of cells to train on."""
        return len(self.train_indices)

    @property
    def valid_size(self) -> int:
        """Number of cells to choose by."""
        return len(self.valid_indices)

    @property
    def test_size(self) -> int:
        """Number of cells to measure on."""
        return len(self.test_indices)


@dataclass
class Assignment:
    """Split of every cell, and why.

    Attributes:
        split: `TRAIN`, `VALID`, `TEST` or `NO_SPLIT` of every cell.
        why: Place of every cell's reason among the reasons.
        reasons: Reasons as text.
    """

    split: Int[np.ndarray, "cells"]
    why: Int[np.ndarray, "cells"]
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls, cells: int) -> Assignment:
        """No cell in any split, for no reason."""
        return cls(np.full(cells, NO_SPLIT, np.int8), np.zeros(cells, np.int32), ["not assigned"])

    def assign(self, cells: Bool[np.ndarray, "cells"] | Int[np.ndarray, "n"], split: int, reason: str) -> None:
        """Put cells into a split."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.split[cells], self.why[cells] = split, self.reasons.index(reason)

    def result(self) -> SplitResult:
        """Cells of each split."""
        return SplitResult(*(np.flatnonzero(self.split == split) for split in (TRAIN, VALID, TEST)))


@dataclass(frozen=True)
class SplitterConfig(StructuralConfig):
    """Configuration of splitters.

    Attributes:
        train_frac: Fraction to train on.
        valid_frac: Fraction to choose by.
        test_frac: Fraction to measure on.
        seed: Seed of the draw; 0 if None.

    Raises:
        ValueError: Fractions that are none, or that do not sum to 1.
    """

    train_frac: float = 0.8
    valid_frac: float = 0.1
    test_frac: float = 0.1
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("splitter", train_frac=self.train_frac, valid_frac=self.valid_frac, test_frac=self.test_frac)
        total = self.train_frac + self.valid_frac + self.test_frac
        if not np.isclose(total, 1.0):
            raise ValueError(f"train_frac, valid_frac and test_frac must sum to 1, got {total}")


class SplitterModule:
    """Base of splitters; a subclass implements `assign`.

    Args:
        config: What to split how.
        rngs: Not used: the draw comes from the configuration's seed.
        name: For messages.
    """

    def __init__(self, config: SplitterConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        del rngs
        self.config, self.name = config, name or type(self).__name__

    def assign(self, data_source: Any) -> Assignment:
        """Split of every cell that a source yields, and why."""
        raise NotImplementedError(f"{type(self).__name__} has no assign")

    def split(self, data_source: Any) -> SplitResult:
        """Cells of each split, by the numbers by which the source yields them."""
        return self.assign(data_source).result()

    def process(self, data_source: Any) -> SplitResult:
        """Same as `split`."""
        return self.split(data_source)

    def _shuffled(self, cells: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        return np.random.default_rng(self.config.seed or 0).permutation(cells)


def part_of(cells: int, fraction: float) -> int:
    """A fraction of a number of cells, rounded down, but for what rounding of the fraction itself takes away."""
    return int(cells * fraction + 1e-9)
