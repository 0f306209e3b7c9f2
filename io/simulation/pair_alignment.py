"""Alignment of read pairs with minimap2 (mappy), as SAM lines."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

import mappy

PAIRED, PROPER, UNMAPPED, MATE_UNMAPPED, REVERSE, MATE_REVERSE, FIRST, LAST, DUPLICATE = (
    0x1,
    0x2,
    0x4,
    0x8,
    0x10,
    0x20,
    0x40,
    0x80,
    0x400,
)
"""Bits of a SAM flag (SAM specification 1.4)."""

LONGEST_PROPER_PAIR = 1_500
"""Longest template that still counts as a proper pair (bp)."""

_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


@dataclass(frozen=True)
class Mate:
    """One read of a pair, 5' to 3' as sequenced; qualities in SAM's letters."""

    bases: str
    qualities: str


@dataclass(frozen=True)
class _Placement:
    """Where a read lies: 0-based half-open on the contig, CIGAR with its soft clips."""

    contig: str
    start: int
    stop: int
    reverse: bool
    mapping_quality: int
    cigar: str


class PairAligner:
    """Places read pairs on a reference with minimap2's short-read settings; safe to use from several threads.

    Args:
        fasta: Reference to align to, plain or gzipped.
        hidden: Contigs of it that the output must not name: pairs that lie there are left out.
        read_group: Read group of every record.

    Raises:
        ValueError: The file cannot be indexed.
    """

    def __init__(self, fasta: str | os.PathLike[str], hidden: Collection[str], read_group: str) -> None:
        self._index = mappy.Aligner(str(fasta), preset="sr")
        if not self._index:
            raise ValueError(f"{fasta}: minimap2 cannot index it; is it a FASTA file?")
        self._hidden = frozenset(hidden)
        self._read_group = read_group

    def sam_lines(
        self, name: str, mates: tuple[Mate, Mate], duplicate: bool, buffer: mappy.ThreadBuffer
    ) -> tuple[str, str] | tuple[()]:
        """The pair's two SAM lines, or none if it lies on a hidden contig.

        Args:
            name: Name of the pair.
            mates: First and last read.
            duplicate: Whether to flag both as duplicates.
            buffer: Working memory of the calling thread.
        """
        hits: list[mappy.Alignment | None] = [None, None]
        for hit in self._index.map(mates[0].bases, mates[1].bases, buf=buffer):
            if hit.is_primary and hits[hit.read_num - 1] is None:
                hits[hit.read_num - 1] = hit
        placed = [None if hit is None else _place(hit, len(mates[hit.read_num - 1].bases)) for hit in hits]
        visible = [place if place and place.contig not in self._hidden else None for place in placed]
        if any(placed) and not any(visible):
            return ()
        first, last = visible
        shared = PAIRED | (DUPLICATE if duplicate else 0) | (PROPER if _is_proper(first, last) else 0)
        return (
            self._line(name, mates[0], first, last, shared | FIRST),
            self._line(name, mates[1], last, first, shared | LAST),
        )

    def _line(self, name: str, read: Mate, own: _Placement | None, mate: _Placement | None, flag: int) -> str:
        flag |= (UNMAPPED if own is None else 0) | (MATE_UNMAPPED if mate is None else 0)
        flag |= (REVERSE if own and own.reverse else 0) | (MATE_REVERSE if mate and mate.reverse else 0)
        # A read that does not map is filed beside its mate.
        shown, other = own or mate, mate or own
        contig, start = (shown.contig, shown.start + 1) if shown else ("*", 0)
        next_contig, next_start = (other.contig, other.start + 1) if other else ("*", 0)
        if other and next_contig == contig:
            next_contig = "="
        reverse = own is not None and own.reverse
        fields = (
            name,
            flag,
            contig,
            start,
            own.mapping_quality if own else 0,
            own.cigar if own else "*",
            next_contig,
            next_start,
            _template_length(own, mate, bool(flag & FIRST)),
            read.bases.translate(_COMPLEMENT)[::-1] if reverse else read.bases,
            read.qualities[::-1] if reverse else read.qualities,
            f"RG:Z:{self._read_group}",
        )
        return "\t".join(map(str, fields))


def _place(hit: mappy.Alignment, length: int) -> _Placement:
    start, stop = hit.q_st, hit.q_en
    if hit.read_num == 2:
        # minimap2 maps the second read of a pair turned round, and mappy turns back the strand but not these two.
        start, stop = length - stop, length - start
    left, right = (start, length - stop) if hit.strand > 0 else (length - stop, start)
    cigar = f"{left}S" * (left > 0) + hit.cigar_str + f"{right}S" * (right > 0)
    return _Placement(hit.ctg, hit.r_st, hit.r_en, hit.strand < 0, hit.mapq, cigar)


def _is_proper(first: _Placement | None, last: _Placement | None) -> bool:
    if first is None or last is None or first.contig != last.contig or first.reverse == last.reverse:
        return False
    forward, backward = (last, first) if first.reverse else (first, last)
    return forward.start < backward.stop <= forward.start + LONGEST_PROPER_PAIR


def _template_length(own: _Placement | None, mate: _Placement | None, first: bool) -> int:
    if own is None or mate is None or own.contig != mate.contig:
        return 0
    length = max(own.stop, mate.stop) - min(own.start, mate.start)
    leftmost = own.start < mate.start or (own.start == mate.start and first)
    return length if leftmost else -length
