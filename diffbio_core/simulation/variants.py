"""Variants of a simulated individual: drawn on a reference, phased, and applied to make its two haplotypes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from diffbio_core.simulation.repeats import find_tracts
from diffbio_core.simulation.sequence import decode_bases, encode_bases

TRANSITION = np.array([2, 3, 0, 1], np.uint8)
"""Base that a transition makes of A, C, G, T."""


@dataclass(frozen=True)
class VariantModel:
    """Rates at which variants are drawn, those of a human genome by default.

    Attributes:
        snv_rate: SNVs per base.
        transitions: Share of SNVs that are transitions.
        indel_rate: Indels per base outside repeats, half of them insertions, half of those tandem duplications.
        repeat_scale: Multiplies the odds that a homopolymer or short tandem repeat differs in length.
        homozygous: Share of variants on both haplotypes.
        second_allele: Share of variable repeats where both haplotypes differ from the reference and from each other.
        neighbours: Share of variants that have another drawn within 20 bp, one in four an indel; most share haplotypes.
        longest_indel: Longest indel (bp).

    Raises:
        ValueError: A rate is negative, a share is not within [0, 1], or `longest_indel` is below 1.
    """

    snv_rate: float = 1.1e-3
    transitions: float = 2 / 3
    indel_rate: float = 1.2e-4
    repeat_scale: float = 1.0
    homozygous: float = 0.36
    second_allele: float = 0.25
    neighbours: float = 0.08
    longest_indel: int = 80

    def __post_init__(self) -> None:
        for name in ("snv_rate", "indel_rate", "repeat_scale"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("transitions", "homozygous", "second_allele", "neighbours"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.longest_indel < 1:
            raise ValueError(f"longest_indel must be at least 1, got {self.longest_indel}")

    def scaled(self, factor: float) -> VariantModel:
        """The same model with all rates multiplied, to make more of few bases."""
        return VariantModel(
            self.snv_rate * factor,
            self.transitions,
            self.indel_rate * factor,
            self.repeat_scale * factor,
            self.homozygous,
            self.second_allele,
            self.neighbours,
            self.longest_indel,
        )


@dataclass(frozen=True, order=True)
class Variant:
    """A site where an individual differs from the reference, left-aligned and minimal.

    Attributes:
        start: 0-based position of the first base of `ref`.
        ref: Reference bases; an indel's begin with the base before it.
        alts: One or two alternative alleles.
        genotype: Allele on the first and on the second haplotype, 0 for the reference.
    """

    start: int
    ref: str
    alts: tuple[str, ...]
    genotype: tuple[int, int]

    @property
    def stop(self) -> int:
        """One past the last base of `ref`."""
        return self.start + len(self.ref)

    def allele(self, haplotype: int) -> str:
        """Bases that a haplotype (0 or 1) has in place of `ref`."""
        copy = self.genotype[haplotype]
        return self.ref if copy == 0 else self.alts[copy - 1]


def draw_variants(
    reference: UInt8[np.ndarray, " length"],
    model: VariantModel,
    rng: np.random.Generator,
    interval: tuple[int, int] | None = None,
) -> list[Variant]:
    """Draw the variants of one individual.

    Args:
        reference: Base codes of a contig, A C G T = 0-3, N = 4.
        model: Rates.
        rng: Source of randomness.
        interval: 0-based half-open part of the contig to draw in, all of it by default.

    Returns:
        Variants in order, none overlapping another and none on an N.
    """
    start, stop = interval or (0, len(reference))
    drawn = _draw_repeat_variants(reference, start, stop, model, rng)
    drawn += _draw_indels(reference, _draw_positions(start, stop, model.indel_rate, rng), model, rng)
    drawn += _draw_snvs(reference, _draw_positions(start, stop, model.snv_rate, rng), model, rng)
    drawn += _draw_neighbours(reference, drawn, start, stop, model, rng)
    return _without_overlaps(drawn, start, stop)


def apply_variants(
    reference: UInt8[np.ndarray, " length"],
    variants: Sequence[Variant],
    haplotype: int,
    interval: tuple[int, int] | None = None,
) -> UInt8[np.ndarray, " haplotype_length"]:
    """Sequence of one haplotype (0 or 1): the reference with the alleles that it has.

    Raises:
        ValueError: Variants overlap or are not in order.
    """
    start, stop = interval or (0, len(reference))
    pieces, at = [], start
    for variant in variants:
        if variant.start < at:
            raise ValueError(f"the variant at {variant.start} overlaps one before it, which ends at {at}")
        pieces += [reference[at : variant.start], encode_bases(variant.allele(haplotype))]
        at = variant.stop
    return np.concatenate([*pieces, reference[at:stop]])


def repeat_variability(tract_length: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Probability that a repeat of this tract length (bp) and unit (bp) differs from the reference in an individual.

    Logistic in the length, for homopolymers steeper than for longer units, so that about as many indels fall into
    repeats as outside them, as in a human genome.
    """
    slope = np.where(unit == 1, 0.75, np.where(unit == 2, 0.42, 0.34))
    middle = np.where(unit == 1, 16.0, np.where(unit == 2, 26.0, 32.0))
    return 0.5 / (1.0 + np.exp(-slope * (tract_length - middle)))


def left_align(reference: UInt8[np.ndarray, " length"], at: int, deleted: int, inserted: str) -> tuple[int, str, str]:
    """Leftmost way to write an indel, with the base before it.

    Args:
        reference: Base codes of the contig.
        at: 0-based position of the first deleted base, or of the base that an insertion comes before.
        deleted: Bases deleted; 0 for an insertion.
        inserted: Bases inserted; empty for a deletion.

    Returns:
        (start, ref, alt) with the anchor base.
    """
    moved = list(inserted) if inserted else list(decode_bases(reference[at : at + deleted]))
    first = 0
    while at > 1 and reference[at - 1] < 4 and "ACGT"[reference[at - 1]] == moved[first - 1]:
        # Rotating the sequence by one base is moving where it starts in a ring.
        first = (first - 1) % len(moved)
        at -= 1
    ring = "".join(moved[first:] + moved[:first])
    anchor = decode_bases(reference[at - 1 : at])
    return (at - 1, anchor, anchor + ring) if inserted else (at - 1, anchor + ring, anchor)


def _draw_positions(start: int, stop: int, rate: float, rng: np.random.Generator) -> list[int]:
    return rng.integers(start, stop, rng.poisson((stop - start) * rate)).tolist()


def _draw_genotype(model: VariantModel, rng: np.random.Generator) -> tuple[int, int]:
    if rng.random() < model.homozygous:
        return 1, 1
    return (0, 1) if rng.random() < 0.5 else (1, 0)


def _draw_snvs(
    reference: np.ndarray, positions: Iterable[int], model: VariantModel, rng: np.random.Generator
) -> list[Variant]:
    variants = []
    for position in positions:
        base = int(reference[position])
        transition, transversion = rng.random() < model.transitions, int(rng.integers(2))
        genotype = _draw_genotype(model, rng)
        if base < 4:
            # The two transversions of a base are its complement and the transition of its complement.
            alt = TRANSITION[base] if transition else (3 - base, TRANSITION[3 - base])[transversion]
            variants.append(Variant(position, "ACGT"[base], ("ACGT"[alt],), genotype))
    return variants


def _draw_neighbours(
    reference: np.ndarray,
    variants: Sequence[Variant],
    start: int,
    stop: int,
    model: VariantModel,
    rng: np.random.Generator,
) -> list[Variant]:
    """Variants near some of those drawn: what one event changed in several places lies on the same haplotypes."""
    drawn = []
    for variant in variants:
        if rng.random() >= model.neighbours:
            continue
        offset, before = int(rng.integers(1, 21)), rng.random() < 0.5
        position = variant.start - offset if before else variant.stop - 1 + offset
        if not start <= position < stop:
            continue
        draw = _draw_indels if rng.random() < 0.25 else _draw_snvs
        together = len(variant.alts) == 1 and rng.random() < 0.7
        for near in draw(reference, [position], model, rng):
            drawn.append(replace(near, genotype=variant.genotype) if together else near)
    return drawn


def _draw_indels(
    reference: np.ndarray, positions: Iterable[int], model: VariantModel, rng: np.random.Generator
) -> list[Variant]:
    variants = []
    for position in positions:
        length = min(int(rng.geometric(0.4 if rng.random() < 0.88 else 0.07)), model.longest_indel)
        insertion, tandem = rng.random() < 0.5, rng.random() < 0.5
        random_bases = rng.integers(0, 4, length).astype(np.uint8)
        genotype = _draw_genotype(model, rng)
        span = reference[max(position - 1, 0) : position + length]
        if position < 1 or len(span) <= length or span.max() > 3:
            continue
        inserted = decode_bases(span[1:] if tandem else random_bases) if insertion else ""
        begin, ref, alt = left_align(reference, position, 0 if insertion else length, inserted)
        if reference[begin] < 4:
            variants.append(Variant(begin, ref, (alt,), genotype))
    return variants


def _draw_repeat_variants(
    reference: np.ndarray, start: int, stop: int, model: VariantModel, rng: np.random.Generator
) -> list[Variant]:
    tracts = find_tracts(reference[start:stop])
    tracts[:, :2] += start
    odds = np.minimum(model.repeat_scale * repeat_variability(tracts[:, 1] - tracts[:, 0], tracts[:, 2]), 0.8)
    variants = []
    for begin, end, unit in tracts[rng.random(len(tracts)) < odds].tolist():
        steps = [_draw_step(end - begin, unit, model, rng) for _ in range(2)]
        both = rng.random() < model.second_allele
        genotype = _draw_genotype(model, rng)
        if begin <= start or reference[begin - 1] > 3:
            continue
        if both and steps[0] != steps[1]:
            variants.append(_repeat_variant(reference, begin, unit, steps, (1, 2)))
        else:
            variants.append(_repeat_variant(reference, begin, unit, steps[:1], genotype))
    return variants


def _draw_step(tract: int, unit: int, model: VariantModel, rng: np.random.Generator) -> int:
    """Units gained (positive) or lost (negative); longer tracts take longer steps."""
    most = max(1, min(model.longest_indel // unit, tract // unit - 1))
    typical = 0.8 if tract < 12 * unit else 0.55
    return min(int(rng.geometric(typical)), most) * (1 if rng.random() < 0.5 else -1)


def _repeat_variant(
    reference: np.ndarray, begin: int, unit: int, steps: Sequence[int], genotype: tuple[int, int]
) -> Variant:
    longest = max(0, -min(steps)) * unit
    anchor, tail = decode_bases(reference[begin - 1 : begin]), decode_bases(reference[begin : begin + longest])
    motif = decode_bases(reference[begin : begin + unit])
    alts = tuple(anchor + (motif * step + tail if step > 0 else tail[-step * unit :]) for step in steps)
    return Variant(begin - 1, anchor + tail, alts, genotype)


def _without_overlaps(variants: Iterable[Variant], start: int, stop: int) -> list[Variant]:
    """The variants in order, without those that reach into the one before or out of the interval."""
    kept: list[Variant] = []
    for variant in sorted(variants):
        if variant.start >= (kept[-1].stop if kept else start) and variant.stop <= stop:
            kept.append(variant)
    return kept
