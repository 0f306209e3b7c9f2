"""Tandem repeats of a sequence: homopolymers and short tandem repeats, where indels and slippage happen."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8

MAX_UNIT = 5
"""Longest repeat unit that is looked for (bp)."""

SHORTEST_TRACT = {1: 5, 2: 8, 3: 10, 4: 13, 5: 16}
"""Shortest tract of each unit length that counts as a repeat (bp)."""


def find_tracts(sequence: UInt8[np.ndarray, " length"]) -> Int64[np.ndarray, "tracts 3"]:
    """Maximal tandem repeats of units of 1 to 5 bp.

    A tract is maximal: the base before it breaks its period, so inserting a unit at its start is left-aligned.

    Args:
        sequence: Base codes, A C G T = 0-3, N = 4.

    Returns:
        Rows of (start, stop, unit), 0-based half-open, in order of start.
    """
    tracts = [_tracts_of_unit(sequence, unit) for unit in range(1, MAX_UNIT + 1)]
    rows = np.concatenate(tracts)
    return rows[np.lexsort((rows[:, 2], rows[:, 0]))]


def _tracts_of_unit(sequence: np.ndarray, unit: int) -> np.ndarray:
    if len(sequence) <= unit:
        return np.empty((0, 3), np.int64)
    same = (sequence[:-unit] == sequence[unit:]) & (sequence[unit:] < 4)
    edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2] + unit
    long_enough = stops - starts >= SHORTEST_TRACT[unit]
    starts, stops = starts[long_enough], stops[long_enough]
    primitive = np.ones(len(starts), bool)
    for divisor in (d for d in range(1, unit) if unit % d == 0):
        offsets = np.arange(unit - divisor)
        pairs = starts[:, None] + offsets
        primitive &= np.any(sequence[pairs] != sequence[pairs + divisor], axis=1)
    starts, stops = starts[primitive], stops[primitive]
    return np.stack([starts, stops, np.full(len(starts), unit)], axis=1).astype(np.int64)
