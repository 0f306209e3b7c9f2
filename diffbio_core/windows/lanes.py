"""What the planes of a shard hold once a read or once an indel, not once a cell: tables by window and lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Int32, UInt8


@dataclass
class LaneReads:
    """The reads of each lane of each window, from left to right; a read has a row in every window where it has a cell.

    Rows and cells with the bit ``READ_START`` are the same in number and order.

    Attributes:
        first: First row of each lane, window after window; the next lane's is the end.
        column: Column of the read's first cell in the window.
        mapping_quality: Phred.
        rank: Number below ``NUM_RANKS`` from the hash of the read's name: which reads are looked at where there are
            more than a model was trained on.
    """

    first: Int32[np.ndarray, "windows*lanes+1"]
    column: Int32[np.ndarray, "reads"]
    mapping_quality: UInt8[np.ndarray, "reads"]
    rank: UInt8[np.ndarray, "reads"]

    @classmethod
    def none(cls, lanes: int) -> LaneReads:
        """A table of empty lanes, those of all windows counted."""
        return cls(np.zeros(lanes + 1, np.int32), np.empty(0, np.int32), *np.empty((2, 0), np.uint8))

    def lanes(self, start: int, stop: int) -> LaneReads:
        """The rows of some lanes."""
        rows = slice(self.first[start], self.first[stop])
        return LaneReads(
            _from_zero(self.first[start : stop + 1]), self.column[rows], self.mapping_quality[rows], self.rank[rows]
        )


@dataclass
class LaneIndels:
    """The indels of each lane of each window, as they were aligned, from left to right.

    Attributes:
        first: First row of each lane, window after window; the next lane's is the end.
        column: Column before the inserted or deleted bases. Two indels of a read may stand at one: its cell tells of
            the first.
        length: +inserted or -deleted bases.
        sequence_start: First of the inserted bases in ``sequence``; the next row's is the end.
        sequence: Base codes of the inserted bases.
    """

    first: Int32[np.ndarray, "windows*lanes+1"]
    column: Int32[np.ndarray, "indels"]
    length: Int32[np.ndarray, "indels"]
    sequence_start: Int32[np.ndarray, "indels+1"]
    sequence: UInt8[np.ndarray, "inserted"]

    @classmethod
    def none(cls, lanes: int) -> LaneIndels:
        """A table of empty lanes, those of all windows counted."""
        column = np.empty(0, np.int32)
        return cls(np.zeros(lanes + 1, np.int32), column, column, np.zeros(1, np.int32), np.empty(0, np.uint8))

    def lanes(self, start: int, stop: int) -> LaneIndels:
        """The rows of some lanes."""
        low, high = self.first[start], self.first[stop]
        begin, end = self.sequence_start[low], self.sequence_start[high]
        return LaneIndels(
            _from_zero(self.first[start : stop + 1]),
            self.column[low:high],
            self.length[low:high],
            _from_zero(self.sequence_start[low : high + 1]),
            self.sequence[begin:end],
        )


class LaneRows(NamedTuple):
    """Room for the rows of both tables in the order in which reads come.

    Attributes:
        read_lane: Window x lanes + lane.
        read_column: See ``LaneReads``.
        read_mapping: See ``LaneReads``.
        read_rank: See ``LaneReads``.
        indel_lane: Window x lanes + lane.
        indel_column: See ``LaneIndels``.
        indel_length: See ``LaneIndels``.
        inserted: Inserted bases, indel after indel.
        used: Rows of reads, rows of indels and inserted bases that are taken.
    """

    read_lane: np.ndarray
    read_column: np.ndarray
    read_mapping: np.ndarray
    read_rank: np.ndarray
    indel_lane: np.ndarray
    indel_column: np.ndarray
    indel_length: np.ndarray
    inserted: np.ndarray
    used: np.ndarray

    @classmethod
    def room(cls, reads: int, indels: int, inserted: int) -> LaneRows:
        """Room for a number of each."""
        return cls(
            np.empty(reads, np.int32),
            np.empty(reads, np.int32),
            np.empty(reads, np.uint8),
            np.empty(reads, np.uint8),
            np.empty(indels, np.int32),
            np.empty(indels, np.int32),
            np.empty(indels, np.int32),
            np.empty(inserted, np.uint8),
            np.zeros(3, np.int64),
        )

    def by_lane(self, lanes: int) -> tuple[LaneReads, LaneIndels]:
        """Both tables; rows of a lane stay in the order in which they came.

        Args:
            lanes: Lanes of all windows.
        """
        reads, indels, inserted = self.used.tolist()
        first, order = _sorted_by_lane(self.read_lane[:reads], lanes)
        found = LaneReads(first, self.read_column[order], self.read_mapping[order], self.read_rank[order])
        first, order = _sorted_by_lane(self.indel_lane[:indels], lanes)
        length = self.indel_length[:indels]
        ends = np.cumsum(np.maximum(length, 0), dtype=np.int32)
        length = length[order]
        sizes = np.maximum(length, 0)
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        source = np.arange(inserted) + np.repeat(ends[order] - start[1:], sizes)
        return found, LaneIndels(first, self.indel_column[order], length, start, self.inserted[source])


def _from_zero(starts: np.ndarray) -> np.ndarray:
    return starts - starts[0]


@numba.njit(cache=True, nogil=True)
def _sorted_by_lane(lane, lanes):
    """First row of each lane, and the rows' order, a counting sort."""
    first = np.zeros(lanes + 1, np.int32)
    for row in range(lane.size):
        first[lane[row] + 1] += 1
    for index in range(lanes):
        first[index + 1] += first[index]
    place = first[:-1].copy()
    order = np.empty(lane.size, np.int64)
    for row in range(lane.size):
        order[place[lane[row]]] = row
        place[lane[row]] += 1
    return first, order


@numba.njit(cache=True, nogil=True)
def row_at(first, column, lane, at):
    """Row of the last entry of a lane that lies at a column or before it; the lane must have one."""
    low, high = first[lane], first[lane + 1]
    while high - low > 1:
        middle = (low + high) // 2
        if column[middle] <= at:
            low = middle
        else:
            high = middle
    return low
