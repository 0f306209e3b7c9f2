"""One way to write an allele: minimal and left-aligned, as ``bcftools norm`` leaves a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Bases = Callable[[int, int], str]
"""Upper-case reference bases of one contig in ``[start, stop)``, 0-based."""

_SEQUENCE = re.compile("[ACGTN]+")
_STRIDE = 128  # bases that one look to the left reads: longer than nearly every repeat


def normalise(position: int, ref: str, alts: Sequence[str], bases: Bases) -> tuple[int, str, tuple[str, ...]]:
    """A record's minimal, left-aligned form (Tan, Abecasis and Kang 2015), all alternative alleles moved together.

    Args:
        position: 0-based position of the first base of ``ref``.
        ref: Reference allele.
        alts: Alternative alleles; where one is not a sequence (``*``, ``<DEL>``), the record is left as it is.
        bases: Reference bases of the contig.

    Returns:
        Position, reference allele and alternative alleles, in their order, each of at least one base. At the contig's
        first base, where nothing stands to the left, an indel keeps the base after it.
    """
    alleles = [ref.upper(), *(alt.upper() for alt in alts)]
    if len(alleles) < 2 or not all(map(_SEQUENCE.fullmatch, alleles)) or len(set(alleles)) == 1:
        return position, ref, tuple(alts)
    if len({allele[-1] for allele in alleles}) == 1:
        position, alleles = _shift_left(position, alleles, bases)
    shared = _shared_prefix(alleles)
    shared = min(shared, min(map(len, alleles)) - 1)
    return position + shared, alleles[0][shared:], tuple(allele[shared:] for allele in alleles[1:])


def edit(position: int, ref: str, alt: str) -> tuple[int, int, str]:
    """What one allele does to the reference: it puts the returned bases in place of ``[start, stop)``.

    Bases that both alleles share are trimmed, at the end first, so that an indel keeps its place; either side may be
    empty.
    """
    suffix = _shared_prefix([ref[::-1], alt[::-1]])
    ref, alt = ref[: len(ref) - suffix], alt[: len(alt) - suffix]
    prefix = _shared_prefix([ref, alt])
    return position + prefix, position + len(ref), alt[prefix:]


def _shift_left(position: int, alleles: list[str], bases: Bases) -> tuple[int, list[str]]:
    """Drop last bases that all alleles share, taking bases from the left wherever one would become empty."""
    while True:
        low = max(0, position - _STRIDE)
        left = bases(low, position)
        texts = [left + allele for allele in alleles]
        shortest = min(map(len, texts))
        shared = min(_shared_prefix([text[::-1] for text in texts]), shortest - 1)
        trimmed = [text[: len(text) - shared] for text in texts]
        # Bases read but not needed stay with the reference.
        spare = max(0, min(len(left), min(map(len, trimmed)) - 1))
        position, alleles = low + spare, [text[spare:] for text in trimmed]
        if shared < shortest - 1 or low == 0:
            return position, alleles


def _shared_prefix(texts: Sequence[str]) -> int:
    """Number of first letters that all texts share."""
    first, last = min(texts), max(texts)
    for index, letter in enumerate(first):
        if index == len(last) or letter != last[index]:
            return index
    return len(first)
