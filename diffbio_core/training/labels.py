"""Labels for candidates: how many copies of each the truth has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int8

from diffbio_core.calling.alleles import Bases, edit, normalise
from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.windows.encoding import BASES
from diffbio_core.windows.planes import ShardPlanes

UNKNOWN = -1
"""Label of a candidate that the truth says nothing of."""

AlleleKey = tuple[int, int, str]
"""Position (0-based) of the changed base, or of the base before an indel; length as in a candidate; the new bases."""


class TruthAlleles:
    """Copies of every true allele of one contig.

    Args:
        variants: The truth.
        bases: Reference bases of the contig, to normalise with.

    Attributes:
        copies: Copies of each allele that candidates can name.
        complex_spans: Intervals of alleles that are neither single-base changes nor plain indels.
    """

    def __init__(self, variants: Iterable[GenotypedVariant], bases: Bases) -> None:
        self.copies: dict[AlleleKey, int] = {}
        self.complex_spans: list[tuple[int, int]] = []
        for variant in variants:
            for allele in variant.alleles:
                if allele != variant.ref:
                    position, ref, (alt,) = normalise(variant.position, variant.ref, (allele,), bases)
                    self._add(position, ref, alt)

    def _add(self, position: int, ref: str, alt: str) -> None:
        if len(ref) == len(alt):
            keys = [(position + at, 0, new) for at, (old, new) in enumerate(zip(ref, alt, strict=True)) if old != new]
        else:
            start, stop, new = edit(position, ref, alt)
            if new and stop > start:
                self.complex_spans.append((position, position + len(ref)))
                return
            keys = [(start - 1, len(new) if new else start - stop, new)]
        for key in keys:
            self.copies[key] = min(2, self.copies.get(key, 0) + 1)


def candidate_keys(planes: ShardPlanes) -> list[AlleleKey]:
    """The allele that each candidate of a shard stands for."""
    table = planes.candidates
    first = planes.shard.first_window * planes.grid.reference_length - planes.grid.halo
    positions = first + table.window.astype(np.int64) * planes.grid.reference_length + table.column
    keys: list[AlleleKey] = []
    for candidate, (position, length) in enumerate(zip(positions.tolist(), table.length.tolist(), strict=True)):
        if length == 0:
            new = BASES[table.code[candidate]]
        else:
            codes = table.sequence[table.sequence_start[candidate] : table.sequence_start[candidate + 1]]
            new = "".join(BASES[code] for code in codes)
        keys.append((position, length, new))
    return keys


def label_candidates(
    planes: ShardPlanes, truth: TruthAlleles, confident: list[tuple[int, int]]
) -> Int8[np.ndarray, "candidates"]:
    """Copies (0, 1, 2) of each candidate, or ``UNKNOWN`` outside the confident intervals and in complex records.

    Args:
        planes: The shard.
        truth: True alleles of its contig.
        confident: 0-based half-open intervals, sorted, where absence from the truth means absence.
    """
    keys = candidate_keys(planes)
    positions = np.array([key[0] for key in keys], np.int64)
    labels = np.array([truth.copies.get(key, 0) for key in keys], np.int8)
    starts = np.array([start for start, _ in confident], np.int64)
    stops = np.array([stop for _, stop in confident], np.int64)
    place = np.searchsorted(starts, positions, side="right") - 1
    labels[(place < 0) | (positions >= stops[np.maximum(place, 0)] if stops.size else True)] = UNKNOWN
    for start, stop in truth.complex_spans:
        labels[(positions >= start - 1) & (positions <= stop)] = UNKNOWN
    return labels
