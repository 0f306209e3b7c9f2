"""Cells at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from diffbio_core.splitters.base import TEST, TRAIN, VALID, Assignment, SplitterConfig, SplitterModule, part_of


@dataclass(frozen=True)
class RandomSplitterConfig(SplitterConfig):
    """Configuration of `RandomSplitter`: fractions and a seed."""


class RandomSplitter(SplitterModule):
    """Every cell into a split at random, in the fractions of the configuration."""

    def assign(self, data_source: Any) -> Assignment:
        """Split of every element of anything that has a length."""
        config, found = self.config, Assignment.empty(len(data_source))
        cells = self._shuffled(np.arange(len(data_source)))
        train, valid = part_of(len(cells), config.train_frac), part_of(len(cells), config.valid_frac)
        if np.isclose(config.test_frac, 0):  # what rounding leaves over is not to become a test set
            valid = len(cells) - train
        found.assign(cells[:train], TRAIN, f"random, {config.train_frac:g}")
        found.assign(cells[train : train + valid], VALID, f"random, {config.valid_frac:g}")
        found.assign(cells[train + valid :], TEST, f"random, {config.test_frac:g}")
        return found
