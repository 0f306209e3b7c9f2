"""The tables of a shard as arrays of the store: what is one number per read, per indel or per candidate.

============== =================== ==================================================================================
array          dimensions          meaning
============== =================== ==================================================================================
reads          read_field, read    reads of each lane of each window, in order of window, lane and column
indels         indel_field, indel  indels of single reads, in the same order
inserted_base  inserted            base codes that the indels insert, one after the other
candidates     candidate_field,    alleles that the reads propose, in order of window and column
               candidate
support_lane   support             lanes of the reads that show the candidates that are indels, one after the other
candidate_base alternative         base codes that the candidates insert, one after the other
============== =================== ==================================================================================

The attribute ``fields`` of a two-dimensional array names its rows. Windows count from the shard's first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from diffbio_core.candidates.discovery import CandidateTable
from diffbio_core.windows.lanes import LaneIndels, LaneReads
from diffbio_core.windows.planes import ShardPlanes


def _columns(table: type[Any], without: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(table) if field.name not in without)


_READ = _columns(LaneReads, ("first",))
_INDEL = _columns(LaneIndels, ("first", "sequence_start", "sequence"))
_CANDIDATE = _columns(CandidateTable, ("support_start", "sequence_start", "support_lane", "sequence"))

TABLES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "reads": ("read", ("window", "lane", *_READ), "Reads of each lane of each window; column: of the first cell"),
    "indels": ("indel", ("window", "lane", *_INDEL), "Indels of single reads; length: +inserted or -deleted bases"),
    "inserted_base": ("inserted", (), "Base codes that the indels insert, one after the other"),
    "candidates": ("candidate", (*_CANDIDATE, "supports"), "Alleles that the reads propose"),
    "support_lane": ("support", (), "Lanes of the reads that show each candidate indel, one after the other"),
    "candidate_base": ("alternative", (), "Base codes that the candidates insert, one after the other"),
}
"""Last dimension, fields and meaning of each array; those with fields are int32, the others uint8."""


def table_arrays(planes: ShardPlanes) -> dict[str, np.ndarray]:
    """The arrays of a shard by name."""
    table = planes.candidates
    return {
        "reads": _stack(*_places(planes.reads.first, planes.num_lanes), *(getattr(planes.reads, n) for n in _READ)),
        "indels": _stack(*_places(planes.indels.first, planes.num_lanes), *(getattr(planes.indels, n) for n in _INDEL)),
        "inserted_base": planes.indels.sequence,
        "candidates": _stack(*(getattr(table, name) for name in _CANDIDATE), np.diff(table.support_start)),
        "support_lane": table.support_lane,
        "candidate_base": table.sequence,
    }


def tables_of(
    arrays: Mapping[str, np.ndarray], lanes: int, first: int, last: int
) -> tuple[LaneReads, LaneIndels, CandidateTable]:
    """The tables of some windows of a shard, as `table_arrays` wrote them.

    Args:
        arrays: Of the whole shard.
        lanes: Lanes of each window.
        first: First window.
        last: One past the last.
    """
    found = []
    for name, kind in (("reads", LaneReads), ("indels", LaneIndels)):
        rows = arrays[name]
        low, high = np.searchsorted(rows[0], (first, last))
        place = (rows[0, low:high] - first) * lanes + rows[1, low:high]
        starts = _starts(np.bincount(place, minlength=(last - first) * lanes))
        columns = dict(zip(TABLES[name][1][2:], rows[2:, low:high], strict=True))
        if kind is LaneIndels:
            inserted = np.maximum(rows[3], 0)
            begin = int(inserted[:low].sum())
            columns["sequence_start"] = _starts(inserted[low:high])
            columns["sequence"] = arrays["inserted_base"][begin : begin + int(inserted[low:high].sum())]
        found.append(kind(first=starts, **_typed(kind, columns)))
    return found[0], found[1], _candidates(arrays, first, last)


def _candidates(arrays: Mapping[str, np.ndarray], first: int, last: int) -> CandidateTable:
    rows = arrays["candidates"]
    low, high = np.searchsorted(rows[0], (first, last))
    columns = dict(zip(_CANDIDATE, rows[:-1], strict=True))
    supports, inserted = _starts(rows[-1]), _starts(np.maximum(columns["length"], 0))
    columns = {name: column[low:high] for name, column in columns.items()}
    return CandidateTable(
        **_typed(CandidateTable, columns | {"window": columns["window"] - first}),
        support_start=supports[low : high + 1] - supports[low],
        sequence_start=inserted[low : high + 1] - inserted[low],
        support_lane=arrays["support_lane"][supports[low] : supports[high]],
        sequence=arrays["candidate_base"][inserted[low] : inserted[high]],
    )


def _typed(table: type[Any], columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns in the types that a table's fields are annotated with."""
    kinds = {field.name: "uint8" if str(field.type).startswith("UInt8") else "int32" for field in fields(table)}
    return {name: column.astype(kinds[name]) for name, column in columns.items()}


def _places(first: np.ndarray, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Window and lane of each row."""
    place = np.repeat(np.arange(first.size - 1), np.diff(first))
    return divmod(place, max(lanes, 1))


def _stack(*columns: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(column, np.int32) for column in columns])


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
