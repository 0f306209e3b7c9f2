"""The slippage of a sample's reads, from a part of them that depends on the files alone.

Neither what is called nor how it is worked off shows in it, and so not in the records either.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from diffbio_core.reads.records import MalformedRecords
from diffbio_core.reads.slippage import Slippage, SlippageCounts
from diffbio_core.reads.thinning import Interval
from diffbio_io.alignments.bgzf import CorruptBlock
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.reference import Reference

TILE = 1 << 14
"""Positions (bp) of a piece that is looked at: those of the smallest bins of a BAI."""

ENOUGH_READS = 4_000
"""Reads over homopolymers after which no further piece is looked at."""

MOST_TILES = 384
"""Pieces with reads after which none is looked at, however few homopolymers they had."""

MOST_EMPTY = 1_000
"""Pieces without reads after which none is looked at: an index tells of few of them that they may hold some."""


def measure_slippage(reads: AlignmentReader, reference: Reference) -> Slippage:
    """The slippage of a sample.

    Pieces are taken in an order that looks random and is the same for every index of the file; a piece that cannot be
    read is passed over: a call of it tells why.

    Args:
        reads: The reads.
        reference: What they were aligned to.
    """
    counts, with_reads, empty = SlippageCounts(), 0, 0
    for contig, tile in _tiles(reads, reference):
        start, stop = tile * TILE, min((tile + 1) * TILE, reference.contigs[contig])
        interval = Interval(reads.contig_number(contig), start, stop, start, stop)
        try:
            found = reads.read(interval)
        except (CorruptBlock, MalformedRecords, OSError):
            continue
        inside = (found.start >= start) & (found.end <= stop)
        if not inside.any():
            empty += 1
            if empty == MOST_EMPTY:
                break
            continue
        with_reads += 1
        counts.add(found, reference.codes(contig, start, stop), start)
        if counts.reads >= ENOUGH_READS or with_reads == MOST_TILES:
            break
    return counts.rates()


def _tiles(reads: AlignmentReader, reference: Reference) -> Iterator[tuple[str, int]]:
    """Contig and number of every tile that may hold reads."""
    contigs = [contig for contig in reads.contigs if contig in reference.contigs]
    tiles = [reads.tiles(contig, TILE) for contig in contigs]
    number = np.concatenate([np.full(found.size, place) for place, found in enumerate(tiles)] or [np.zeros(0, int)])
    tile = np.concatenate(tiles or [np.zeros(0, int)])
    names = np.array([zlib.crc32(contig.encode()) for contig in contigs] or [0], np.uint64)
    order = np.argsort(_mixed(names[number] << np.uint64(32) | tile.astype(np.uint64)), kind="stable")
    for place in order:
        yield contigs[number[place]], int(tile[place])


def _mixed(values: np.ndarray) -> np.ndarray:
    """Splitmix64 (Steele, Lea and Flood 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
