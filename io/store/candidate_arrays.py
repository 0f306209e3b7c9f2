"""A shard's candidates as arrays of the window store: a row per window, runs of values from its first column on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import zarr

from diffbio_core.candidates.discovery import CandidateTable
from diffbio_io.store.layout import CANDIDATE_COLUMNS, RAGGED_CHUNK


def write_candidates(
    arrays: Mapping[str, zarr.Array], rows: slice, table: CandidateTable, windows: int
) -> dict[str, int]:
    """Write the table, ragged by window; returns the longest run of a window, by name."""
    number = np.bincount(table.window, minlength=windows)
    supports = np.diff(table.support_start)
    values = dict(
        zip(CANDIDATE_COLUMNS, (table.column, table.length, table.code, table.thinned, supports), strict=True)
    )
    for name, column in values.items():
        _write_ragged(arrays[name], rows, column, number)
    totals = {
        "support_lane": np.bincount(table.window, supports, windows).astype(np.int64),
        "inserted_base": np.bincount(table.window, np.maximum(table.length, 0), windows).astype(np.int64),
    }
    _write_ragged(arrays["support_lane"], rows, table.support_lane, totals["support_lane"])
    _write_ragged(arrays["inserted_base"], rows, table.sequence, totals["inserted_base"])
    arrays["candidates"][rows] = number
    return {name: int(lengths.max(initial=0)) for name, lengths in {"candidate": number, **totals}.items()}


def read_candidates(arrays: Mapping[str, zarr.Array], rows: slice, longest: Mapping[str, int]) -> CandidateTable:
    """The table of a run of windows, as `write_candidates` left it."""
    number = np.asarray(arrays["candidates"][rows])
    columns = {name: _read_ragged(arrays[name], rows, number, longest["candidate"]) for name in CANDIDATE_COLUMNS}
    window = np.repeat(np.arange(number.size, dtype=np.int32), number)
    supports, inserted = columns["candidate_supports"], np.maximum(columns["candidate_length"], 0)
    ragged = {
        name: _read_ragged(
            arrays[name], rows, np.bincount(window, lengths, number.size).astype(np.int64), longest[name]
        )
        for name, lengths in (("support_lane", supports), ("inserted_base", inserted))
    }
    return CandidateTable(
        window,
        columns["candidate_column"],
        columns["candidate_length"],
        columns["candidate_code"],
        columns["candidate_thinned"],
        np.concatenate([[0], np.cumsum(supports)]).astype(np.int32),
        np.concatenate([[0], np.cumsum(inserted)]).astype(np.int32),
        ragged["support_lane"],
        ragged["inserted_base"],
    )


def _write_ragged(array: zarr.Array, rows: slice, values: np.ndarray, lengths: np.ndarray) -> None:
    """Write runs of values, one per window, from column 0 on, in whole chunks."""
    width = -(-int(lengths.max(initial=0)) // RAGGED_CHUNK) * RAGGED_CHUNK
    if width:
        table = np.zeros((lengths.size, width), array.dtype)
        table[np.arange(width) < lengths[:, None]] = values
        array[rows, :width] = table


def _read_ragged(array: zarr.Array, rows: slice, lengths: np.ndarray, longest: int) -> np.ndarray:
    table = np.asarray(array[rows, :longest])
    return table[np.arange(longest) < lengths[:, None]]
