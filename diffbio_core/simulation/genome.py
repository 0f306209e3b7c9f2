"""Random references with the repeats of real ones, and diverged copies of their segments."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

TRACTS_PER_BASE = {1: 1 / 900, 2: 1 / 3_500, 3: 1 / 9_000, 4: 1 / 9_000, 5: 1 / 25_000}
"""Extra homopolymers and short tandem repeats per base, by length of the unit (bp)."""

FAMILY_LENGTHS = (300, 1_200, 3_000)
"""Consensus lengths of the families of interspersed repeats (bp)."""


@dataclass(frozen=True)
class DivergedCopy:
    """A copy of a reference segment that lies outside the simulated regions.

    Attributes:
        sequence: Base codes, flanked by sequence of its own.
        origin: Where in the reference the segment lies that it is a copy of, 0-based half-open.
        known: Whether the aligner's reference holds it; reads of a copy that it does not hold pile up on the original.
        copies: Haplotypes that carry it, 1 or 2.
    """

    sequence: UInt8[np.ndarray, " length"]
    origin: tuple[int, int]
    known: bool
    copies: int


def random_reference(length: int, rng: np.random.Generator) -> UInt8[np.ndarray, " length"]:
    """Base codes of a random contig: wandering GC content, tandem repeats, interspersed and segmental duplications.

    Args:
        length: Length (bp), at least 1,000.
        rng: Source of randomness.

    Raises:
        ValueError: The length is below 1,000.
    """
    if length < 1_000:
        raise ValueError(f"a random reference is at least 1,000 bp long, got {length}")
    sequence = _random_bases(length, rng)
    _plant_families(sequence, rng)
    _plant_segmental_duplications(sequence, rng)
    _plant_tracts(sequence, rng)
    return sequence


def draw_slices(
    genome: Mapping[str, UInt8[np.ndarray, " length"]], bases: int, rng: np.random.Generator, longest: int = 200_000
) -> list[tuple[str, int, int]]:
    """Random slices of a genome's known sequence that sum to about this many bases.

    Args:
        genome: Base codes by contig.
        bases: Bases wanted in all; fewer come out of a shorter genome.
        rng: Source of randomness.
        longest: Longest slice (bp); runs of known sequence under a tenth of it are left out.

    Returns:
        (contig, start, stop), 0-based half-open, in the genome's order.
    """
    pieces = []
    for contig, codes in genome.items():
        edges = np.flatnonzero(np.diff(codes < 4, prepend=False, append=False)).tolist()
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            cuts = [*range(start, stop, longest), stop]
            pieces += [(contig, low, high) for low, high in itertools.pairwise(cuts) if high - low > longest // 10]
    total, chosen = 0, []
    for place in rng.permutation(len(pieces)).tolist():
        if total < bases:
            chosen.append(place)
            total += pieces[place][2] - pieces[place][1]
    return [pieces[place] for place in sorted(chosen)]


def diverge(
    sequence: UInt8[np.ndarray, " length"], divergence: float, rng: np.random.Generator
) -> UInt8[np.ndarray, " copy_length"]:
    """A copy with substitutions at this rate per base and indels of 1 to some bp at a tenth of it."""
    copy = sequence.copy()
    hit = np.flatnonzero((rng.random(len(copy)) < divergence) & (copy < 4))
    copy[hit] = (copy[hit] + rng.integers(1, 4, len(hit))) % 4
    pieces, at = [], 0
    for position in np.flatnonzero(rng.random(len(copy)) < divergence / 10).tolist():
        size = int(rng.geometric(0.5))
        if position < at:
            continue
        pieces.append(copy[at:position])
        if rng.random() < 0.5:
            pieces.append(rng.integers(0, 4, size).astype(np.uint8))
            at = position
        else:
            at = position + size
    return np.concatenate([*pieces, copy[at:]])


def draw_diverged_copies(
    reference: UInt8[np.ndarray, " length"], per_megabase: float, known: bool, rng: np.random.Generator
) -> list[DivergedCopy]:
    """Copies of random segments of 1 to 5 kb, 0.1 to 4 % diverged, at this many per Mb of the reference."""
    copies = []
    for _ in range(rng.poisson(len(reference) * per_megabase / 1e6)):
        size = min(int(rng.integers(1_000, 5_001)), len(reference) // 4)
        start = int(rng.integers(0, len(reference) - size + 1))
        divergence, carriers = float(np.exp(rng.uniform(np.log(0.001), np.log(0.04)))), int(rng.integers(1, 3))
        segment, flanks = reference[start : start + size], _random_bases(1_200, rng)
        if segment.max() < 4:
            copy = diverge(segment, divergence, rng)
            flanked = np.concatenate([flanks[:600], copy, flanks[600:]])
            copies.append(DivergedCopy(flanked, (start, start + size), known, carriers))
    return copies


def _random_bases(length: int, rng: np.random.Generator) -> np.ndarray:
    """Bases whose GC content wanders between 0.3 and 0.6 over kilobases, with CpG as rare as in a human genome."""
    knots = rng.normal(0.41, 0.06, length // 2_000 + 2).clip(0.3, 0.6)
    gc = np.interp(np.arange(length), np.arange(len(knots)) * 2_000, knots)
    strong = rng.random(length) < gc
    second = rng.random(length) < 0.5
    sequence = np.where(strong, np.where(second, 1, 2), np.where(second, 0, 3)).astype(np.uint8)
    cpg = np.flatnonzero((sequence[:-1] == 1) & (sequence[1:] == 2))
    decayed = cpg[rng.random(len(cpg)) < 0.75]
    forward = rng.random(len(decayed)) < 0.5
    sequence[decayed[forward]] = 3
    sequence[decayed[~forward] + 1] = 0
    return sequence


def _plant_families(sequence: np.ndarray, rng: np.random.Generator) -> None:
    """Copies of a few consensus sequences, 5 to 25 % diverged, over about a third of the contig."""
    consensus = [_random_bases(size, rng) for size in FAMILY_LENGTHS]
    for family in consensus:
        for _ in range(int(0.11 * len(sequence) / len(family))):
            first = int(rng.integers(0, len(family) // 2))
            copy = diverge(family[first:], float(rng.uniform(0.05, 0.25)), rng)
            _place(sequence, copy, rng)


def _plant_segmental_duplications(sequence: np.ndarray, rng: np.random.Generator) -> None:
    """Segments copied elsewhere, 1 to 5 % diverged, over about 2 % of the contig."""
    for _ in range(int(len(sequence) * 0.02 / 3_000)):
        size = min(int(rng.integers(1_000, 5_001)), len(sequence) // 4)
        start = int(rng.integers(0, len(sequence) - size + 1))
        _place(sequence, diverge(sequence[start : start + size], float(rng.uniform(0.01, 0.05)), rng), rng)


def _plant_tracts(sequence: np.ndarray, rng: np.random.Generator) -> None:
    for unit, rate in TRACTS_PER_BASE.items():
        for _ in range(rng.poisson(len(sequence) * rate)):
            shortest = 7 if unit == 1 else 5 * unit if unit < 3 else 4 * unit
            size = min(shortest + int(rng.geometric(0.2 if unit == 1 else 0.4 / unit)) - 1, 60)
            # Poly-A and poly-T are by far the most common homopolymers.
            motif = rng.choice([0, 3, 1, 2], unit, p=[0.4, 0.4, 0.1, 0.1]).astype(np.uint8)
            _place(sequence, np.resize(motif, size), rng)


def _place(sequence: np.ndarray, piece: np.ndarray, rng: np.random.Generator) -> None:
    size = min(len(piece), len(sequence))
    start = int(rng.integers(0, len(sequence) - size + 1))
    sequence[start : start + size] = piece[:size]
