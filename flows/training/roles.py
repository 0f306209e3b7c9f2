"""Which part of a set is trained on, and which is kept apart to measure by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from diffbio_flows.training.sets import TrainingSet
from diffbio_io.regions import Intervals

APART = 500
"""Positions (bp) around a validation region that are not trained on, since reads reach over its ends."""


@dataclass(frozen=True)
class PlannedSet:
    """A set with its regions resolved.

    Attributes:
        source: As the user gave it.
        training: Intervals to train on, by contig.
        validation: Intervals kept apart, by contig.
    """

    source: TrainingSet
    training: Mapping[str, Intervals]
    validation: Mapping[str, Intervals]


def trained_on(
    planned: PlannedSet, contig: str, positions: Int64[np.ndarray, "candidates"]
) -> Bool[np.ndarray, "candidates"]:
    """Which positions (0-based) of a contig are to be trained on."""
    apart = [(low - APART, high + APART) for low, high in planned.validation.get(contig, ())]
    return _inside(planned.training.get(contig, ()), positions) & ~_inside(apart, positions)


def measured_by(
    planned: PlannedSet, contig: str, positions: Int64[np.ndarray, "candidates"]
) -> Bool[np.ndarray, "candidates"]:
    """Which positions (0-based) of a contig are for validation."""
    return _inside(planned.validation.get(contig, ()), positions)


def _inside(intervals: Sequence[tuple[int, int]], positions: np.ndarray) -> np.ndarray:
    found = np.zeros(positions.size, bool)
    for start, stop in intervals:
        found |= (positions >= start) & (positions < stop)
    return found
