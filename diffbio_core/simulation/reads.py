"""Read pairs of fragments, with the errors of library preparation and of sequencing.

Errors of the library sit on the fragment, so both mates show them where they overlap and duplicates repeat them: repeat
slippage, oxidised guanines (Costello 2013, doi:10.1093/nar/gks1443), deaminated cytosines, PCR errors, chimeras, and
ends that folded back on themselves (Star 2014, doi:10.1371/journal.pone.0089676).
Errors of the sequencer sit on the read: substitutions by quality, indels, bases that are misread on one strand after
certain sequences, and clusters that lose their phase after others or in long homopolymers, so that the rest of the read
mixes in the neighbouring bases at low quality (Nakamura 2011, doi:10.1093/nar/gkr344).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from diffbio_core.simulation.coverage import Fragments
from diffbio_core.simulation.repeats import find_tracts
from diffbio_core.simulation.sequence import encode_bases
from diffbio_core.simulation.sequencing import SequencingModel

ADAPTERS = np.stack(
    [encode_bases("AGATCGGAAGAGCACACGTCTGAACTCCAGTCAC"), encode_bases("AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGTA")]
)
"""What mate 1 and mate 2 read past the end of a fragment (Illumina TruSeq)."""

MAX_SLIP = 12
"""Units that a repeat gains or loses at most."""

CONTEXT = 10
"""Bases before a base that decide whether it is misread systematically."""

OVERHANG, COPIED = 60, 28
"""Bases of a fragment's end that may pair with themselves, and mean number that is copied on from there."""

MIN_STEM, MIN_LOOP, MAX_LOOP = 3, 3, 60
"""Paired bases, and bases between the two stems, of an end that folds back."""

STEM, LOOP = 1.4, 10.0
"""Logarithm of how much likelier one more paired base makes a fold, and bases of the loop that make it so much (e) less
likely. So drawn, the clipped ends of a PCR library of HG002 come out in number, length, stem and distance."""

HALF, TRIED = 5_000.0, 4.0
"""Sum of the folds' weights at which an end folds every second time, and how many more ends are tried than fold."""


@dataclass(frozen=True)
class ReadPairs:
    """Reads as a sequencer gives them: 5' to 3' of the strand read.

    Attributes:
        bases: Base codes, (pair, mate, cycle).
        qualities: Phred, (pair, mate, cycle).
        fragment: Row of the fragment that a pair comes from; its first pair is no duplicate.
        duplicate: Whether a pair repeats the fragment of the pair before it.
    """

    bases: UInt8[np.ndarray, "pairs 2 cycles"]
    qualities: UInt8[np.ndarray, "pairs 2 cycles"]
    fragment: Int32[np.ndarray, " pairs"]
    duplicate: Bool[np.ndarray, " pairs"]


@dataclass(frozen=True)
class SequencerBias:
    """Sequences at which a library and a sequencer err more than elsewhere: the same for every read of a run.

    Attributes:
        misread: Probability that a base is misread after each 10-mer in the direction of the read; mostly 0.
        misread_doubt: Share of the usual loss of quality that such bases have.
        stall: Probability that a cluster loses its phase after each 10-mer; mostly 0.
        oxidation: Rate of oxidation of the middle G of each 5-mer, as multiple of the model's.
    """

    misread: Float32[np.ndarray, " contexts"]
    misread_doubt: Float32[np.ndarray, " contexts"]
    stall: Float32[np.ndarray, " contexts"]
    oxidation: Float32[np.ndarray, " pentamers"]

    @classmethod
    def draw(cls, model: SequencingModel, rng: np.random.Generator) -> SequencerBias:
        """Draw the biases of a run."""
        misread, stall = np.zeros((2, 4**CONTEXT), np.float32)
        prone = rng.random(len(misread)) < model.systematic
        misread[prone] = 0.02 + 0.45 * rng.random(int(prone.sum())) ** 2
        prone = rng.random(len(stall)) < model.stalls
        stall[prone] = 0.3 + 0.6 * rng.random(int(prone.sum()))
        oxidation = rng.lognormal(-0.7, 1.2, 4**5).astype(np.float32)
        # In real libraries a quarter of the bases that are misread on one strand have the highest quality.
        doubt = np.minimum(1.4 * rng.random(len(misread)), 1.0).astype(np.float32)
        return cls(misread, doubt, stall, oxidation)


class _Rates(NamedTuple):
    """The model's numbers in the form that compiled code takes."""

    quality_level: float
    error_scale: float
    error_floor: float
    indel_errors: float
    oxidation: float
    deamination: float
    pcr_errors: float
    stalls: float
    slippage_gains: float
    further_slippage: float
    foldbacks: float
    misread: np.ndarray
    misread_doubt: np.ndarray
    stall: np.ndarray
    oxidation_context: np.ndarray


def draw_read_pairs(
    sequence: UInt8[np.ndarray, " length"],
    fragments: Fragments,
    model: SequencingModel,
    bias: SequencerBias,
    rng: np.random.Generator,
) -> ReadPairs:
    """Sequence both ends of every fragment.

    Args:
        sequence: Base codes of the haplotype or copy that the fragments come from; those with an N give no pair.
        fragments: Where they lie.
        model: Rates of errors.
        bias: Which sequences err more.
        rng: Source of randomness.
    """
    unknown = np.concatenate([[0], np.cumsum(sequence > 3)])
    times = np.where(unknown[fragments.start + fragments.length] > unknown[fragments.start], 0, fragments.times)
    joined = unknown[fragments.partner + fragments.length] > unknown[np.maximum(fragments.partner, 0)]
    partner = np.where(joined, -1, fragments.partner)
    tracts, odds = _tracts_near(sequence, fragments, model)
    pairs = int(times.sum())
    bases = np.empty((pairs, 2, model.read_length), np.uint8)
    qualities = np.empty((pairs, 2, model.read_length), np.uint8)
    rates = _Rates(
        model.quality_level,
        model.error_scale,
        model.error_floor,
        model.indel_errors,
        model.oxidation,
        model.deamination,
        model.pcr_errors,
        model.stalls,
        model.slippage_gains,
        model.further_slippage,
        model.foldbacks,
        bias.misread,
        bias.misread_doubt,
        bias.stall,
        bias.oxidation,
    )
    places = (fragments.start, fragments.length, fragments.reverse, times, partner, fragments.cut)
    _sequence_fragments(sequence, places, tracts, odds, rates, ADAPTERS, rng, bases, qualities)
    fragment = np.repeat(np.arange(len(times)), times).astype(np.int32)
    duplicate = np.zeros(pairs, bool)
    duplicate[1:] = fragment[1:] == fragment[:-1]
    return ReadPairs(bases, _report(qualities, model.quality_bins), fragment, duplicate)


def slippage_odds(tract_length: np.ndarray, unit: np.ndarray, steepness: float = 1.0) -> np.ndarray:
    """Probability that a fragment's repeat of this tract length (bp) and unit (bp) has gained or lost units.

    Args:
        tract_length: Length of each repeat (bp).
        unit: Length of its unit (bp).
        steepness: Multiplies how steeply the probability grows with the length.
    """
    base = np.select([unit == 1, unit == 2], [0.0010, 0.0020], 0.0008)
    growth = np.select([unit == 1, unit == 2, unit == 3], [0.37, 0.13, 0.10], 0.08)
    return np.minimum(base * np.exp(steepness * growth * (tract_length - 5 * np.minimum(unit, 2))), 0.4)


def _tracts_near(sequence: np.ndarray, fragments: Fragments, model: SequencingModel) -> tuple[np.ndarray, np.ndarray]:
    """Repeats of the part of the sequence that the fragments cover, with the odds that they slip."""
    if not len(fragments.start):
        return np.empty((0, 3), np.int64), np.empty(0)
    low, high = int(fragments.start.min()), int((fragments.start + fragments.length).max())
    tracts = find_tracts(sequence[low:high])
    odds = slippage_odds(tracts[:, 1] - tracts[:, 0], tracts[:, 2], model.slippage_growth)
    odds *= model.slippage * np.where(tracts[:, 2] == 1, model.homopolymer_slippage, 1.0)
    return tracts + np.array([low, low, 0]), np.minimum(odds, 0.6)


def _report(qualities: np.ndarray, bins: tuple[int, ...]) -> np.ndarray:
    """Qualities as the sequencer reports them: the nearest of its bins, if it has any."""
    if not bins:
        return qualities
    levels = np.array(bins)
    nearest = np.abs(np.arange(94)[:, None] - levels).argmin(axis=1)
    return levels[nearest].astype(np.uint8)[qualities]


@numba.njit(cache=True, nogil=True)
def _sequence_fragments(sequence, places, tracts, odds, rates, adapters, rng, bases, qualities):  # pragma: no cover
    starts, lengths, reverse, times, partners, cuts = places
    template = np.empty(4 * lengths.max() + 400 if len(lengths) else 1, np.uint8)
    ceiling = np.empty(len(template), np.uint8)
    turned, turned_ceiling = np.empty_like(template), np.empty_like(ceiling)
    row = 0
    for i in range(len(starts)):
        if times[i] == 0:
            continue
        if partners[i] < 0:
            size = _copy_with_slippage(sequence, starts[i], lengths[i], tracts, odds, rates, rng, template, 0)
        else:
            size = _copy_with_slippage(sequence, starts[i], cuts[i], tracts, odds, rates, rng, template, 0)
            rest = max(lengths[i] - cuts[i], 0)
            joined = _copy_with_slippage(sequence, partners[i], rest, tracts, odds, rates, rng, template, size)
            if rng.random() < 0.5:
                _reverse_complement(template[size : size + joined].copy(), template[size : size + joined])
            size += joined
        for _ in range(2):  # at each end
            if rng.random() < TRIED * rates.foldbacks:
                size = _fold_back(template, size, rng)
            _reverse_complement(template[:size].copy(), template[:size])
        if reverse[i]:
            _reverse_complement(template[:size].copy(), template[:size])
        ceiling[:size] = 255
        _damage(template, ceiling, size, rates, rng)
        _reverse_complement(template[:size], turned[:size])
        turned_ceiling[:size] = ceiling[:size][::-1]
        for _ in range(times[i]):
            _read(template, ceiling, size, rates, 0.0, adapters[0], rng, bases[row, 0], qualities[row, 0])
            _read(turned, turned_ceiling, size, rates, 0.7, adapters[1], rng, bases[row, 1], qualities[row, 1])
            row += 1


@numba.njit(cache=True, nogil=True)
def _reverse_complement(source, target):  # pragma: no cover
    n = len(source)
    for i in range(n):
        target[n - 1 - i] = 3 - source[i]


@numba.njit(cache=True, nogil=True)
def _fold_back(template, size, rng):  # pragma: no cover
    """Pair the last bases with others before them, cut what lies behind, and copy on from there; returns the new size.

    Two stems of reverse complements with a loop between them are likelier the longer they are and the closer; an end
    without a good pair of them stays as it is more often than not.
    """
    total, stem, stop = 0.0, -1, -1
    for end in range(max(size - OVERHANG, 2 * MIN_STEM + MIN_LOOP), size + 1):
        for first in range(max(end - 2 * MIN_STEM - MAX_LOOP, 0), end - 2 * MIN_STEM - MIN_LOOP + 1):
            paired = 0
            while (
                first + 2 * paired + MIN_LOOP + 2 <= end and template[first + paired] == 3 - template[end - 1 - paired]
            ):
                paired += 1
            if paired < MIN_STEM:
                continue
            weight = np.exp(STEM * paired - (end - first - 2 * paired) / LOOP)
            total += weight
            if rng.random() * total < weight:
                stem, stop = first, end
    if stem < 1 or rng.random() * (total + HALF) > total:
        return size
    copied = min(1 + int(rng.exponential(COPIED)), stem, len(template) - stop)
    for k in range(copied):
        template[stop + k] = 3 - template[stem - 1 - k]
    return stop + copied


@numba.njit(cache=True, nogil=True)
def _copy_with_slippage(sequence, start, length, tracts, odds, rates, rng, out, at):  # pragma: no cover
    """Copy a piece into `out` from `at`, its repeats longer or shorter by chance; returns the bases written."""
    first, stop = at, start + length
    limit = at + 2 * length + 100
    position = start
    tract = np.searchsorted(tracts[:, 0], start)
    while tract < len(tracts) and tracts[tract, 0] < stop:
        begin, end, unit = tracts[tract, 0], tracts[tract, 1], tracts[tract, 2]
        if begin >= position and end <= stop and rng.random() < odds[tract]:
            out[at : at + begin - position] = sequence[position:begin]
            at += begin - position
            position = begin
            units = 1
            while units < MAX_SLIP and rng.random() < rates.further_slippage:
                units += 1
            if rng.random() >= rates.slippage_gains:
                position += min(units, (end - begin) // unit - 1) * unit
            elif at + units * unit + stop - position < limit:
                for k in range(units * unit):
                    out[at + k] = sequence[begin + k % unit]
                at += units * unit
        tract += 1
    out[at : at + stop - position] = sequence[position:stop]
    return at + stop - position - first


@numba.njit(cache=True, nogil=True)
def _damage(template, ceiling, size, rates, rng):  # pragma: no cover
    """Change bases as the library's chemistry does; `ceiling` is the quality that a mixed signal can still reach."""
    for i in range(2, size - 2):
        base = template[i]
        draw = rng.random()
        if base == 2:
            context = 0
            for k in range(-2, 3):
                context = context * 4 + template[i + k]
            if draw < rates.oxidation * rates.oxidation_context[context]:
                template[i] = 3
                if rng.random() < 0.8:
                    ceiling[i] = 4 + int(16 * rng.random())
                continue
        elif base == 1 and draw < rates.deamination:
            template[i] = 3
            continue
        if draw > 1.0 - rates.pcr_errors:
            template[i] = (base + 1 + int(3 * rng.random())) % 4


@numba.njit(cache=True, nogil=True)
def _read(template, ceiling, size, rates, handicap, adapter, rng, bases, qualities):  # pragma: no cover
    """Read one end of a template; past its end comes the adapter, then noise of low quality."""
    cycles = len(bases)
    level, decline, onset = _read_level(rates.quality_level, handicap, cycles, rng)
    collapse = int(cycles * rng.random()) if rng.random() < 0.01 * (1 + handicap) else cycles
    calibration = rates.error_scale * np.exp(0.3 * rng.standard_normal())
    position, wander, context, known, run, dip = 0, 0.0, 0, 0, 0, 0.0
    mixed, neighbour = 0.0, 0
    for i in range(cycles):
        wander = 0.85 * wander + rng.standard_normal()
        quality = level + wander - decline * max(0, i - onset) - (3.0 if i < 4 else 0.0)
        # A signal that dips recovers over a few cycles.
        if rng.random() < 0.004 + 0.002 * (rates.quality_level + 1 - level):
            dip = 8.0 + 20.0 * rng.random()
        quality -= dip
        dip = dip * 0.35 if dip > 1.0 else 0.0
        if run > 7:
            quality -= 0.8 * (run - 7)
        if mixed > 0:
            quality = min(quality, -10.0 * np.log10(mixed) + 2.0 * wander)
        if i >= collapse:
            quality = 2.0
        past = position - size
        if past < 0:
            base = template[position]
            quality = min(quality, ceiling[position] + 3.0 * rng.random())
        elif past < len(adapter):
            base = adapter[past]
        else:
            base = 2 if rng.random() < 0.6 else int(4 * rng.random())
            quality = min(quality, 14.0)
        reported = int(min(max(quality, 2.0), 41.0) + 0.5)
        error = min(calibration * 10.0 ** (-max(quality, 1.3) / 10.0) + rates.error_floor, 0.75)
        called = base
        # Some bases suffer more than others, the same ones in every read.
        share = mixed * 8.0 * ((((context * 2654435761) >> 12) & 1023) / 1023.0) ** 7
        if mixed > 0 and 0 <= position + neighbour < size and rng.random() < share:
            called = template[position + neighbour]
        elif rng.random() < error:
            # Phasing makes the base before the likeliest error.
            called = bases[i - 1] if i > 0 and rng.random() < 0.3 else int(4 * rng.random())
            if called == base:
                called = (base + 1 + int(3 * rng.random())) % 4
        elif known >= 10 and past < 0 and rates.misread[context] > 0:
            doubt = rates.misread_doubt[context]
            reported = max(2, reported - int(12 * doubt * rng.random()))
            if rng.random() < rates.misread[context]:
                last = context & 3
                called = last if last != base else (base + 1 + context % 3) % 4
                reported = max(2, reported - int(14 * doubt * rng.random()))
        bases[i], qualities[i] = called, reported
        if past < 0:
            run = run + 1 if position > 0 and template[position - 1] == base else 1
            context = ((context << 2) | base) & (len(rates.misread) - 1)
            known += 1
            lost = rates.stall[context] if known >= 10 else 0.0
            if run > 9:
                lost = max(lost, 40.0 * rates.stalls * (run - 9))
            if mixed == 0 and lost > 0 and rng.random() < lost:
                mixed = 0.03 + 0.15 * rng.random()
                neighbour = -1 if context % 4 else 1
        position += 1
        slip = rng.random()
        if slip < rates.indel_errors * (1 + run):
            position += 1 if slip < 0.6 * rates.indel_errors * (1 + run) else -1


@numba.njit(cache=True, nogil=True)
def _read_level(typical, handicap, cycles, rng):  # pragma: no cover
    """Quality of a read's start, its loss per cycle, and the cycle from which it loses."""
    level = typical - handicap - abs(rng.standard_normal())
    kind = rng.random()
    onset = cycles * (0.45 + 0.55 * rng.random())
    decline = 4.0 * rng.random() / cycles
    if kind < 0.12 + 0.08 * handicap:
        level -= 6.0 * rng.random()
        onset = cycles * rng.random()
        decline = (10.0 + 25.0 * rng.random()) / cycles
    if kind < 0.02 + 0.02 * handicap:
        level -= 6.0 + 10.0 * rng.random()
    return level, decline, onset
