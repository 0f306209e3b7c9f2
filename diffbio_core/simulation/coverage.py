"""Where the fragments of a library come from: uneven depth, fragment lengths, duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from diffbio_core.simulation.sequencing import SequencingModel

BIN = 100
"""Bases over which local depth is constant."""


@dataclass(frozen=True)
class Fragments:
    """Pieces of one sequence that were sequenced, one row each.

    Attributes:
        start: First base, 0-based.
        length: Length (bp).
        reverse: Whether the first mate reads the reverse strand.
        times: How often it was sequenced; more than once makes duplicates.
        partner: Start of the piece that a chimera goes on with, -1 for none.
        cut: Bases of a chimera before it goes on there.
    """

    start: Int64[np.ndarray, " fragments"]
    length: Int64[np.ndarray, " fragments"]
    reverse: Bool[np.ndarray, " fragments"]
    times: Int64[np.ndarray, " fragments"]
    partner: Int64[np.ndarray, " fragments"]
    cut: Int64[np.ndarray, " fragments"]


def depth_field(length: int, model: SequencingModel, rng: np.random.Generator) -> Float64[np.ndarray, " bins"]:
    """Relative depth along a contig apart from GC content, a value per 100 bp, mean about 1."""
    places = np.arange(length // BIN + 1)
    spread = np.zeros(len(places))
    for scale in (3, 20):
        knots = np.arange(0, len(places) + scale, scale)
        spread += np.interp(places, knots, rng.standard_normal(len(knots)))
    spread *= 0.85 * model.unevenness
    return np.exp(spread - spread.var() / 2)


def bin_weights(
    sequence: UInt8[np.ndarray, " length"], field: Float64[np.ndarray, " bins"], model: SequencingModel
) -> Float64[np.ndarray, " sequence_bins"]:
    """Relative number of fragments that start in each 100 bp of a haplotype, mean about 1.

    Depth falls with the distance of local GC content from 0.45 (Benjamini and Speed 2012, doi:10.1093/nar/gks001).
    """
    bins = -(-len(sequence) // BIN)
    strong = np.bincount(np.arange(len(sequence)) // BIN, (sequence == 1) | (sequence == 2), minlength=bins)
    known = np.bincount(np.arange(len(sequence)) // BIN, sequence < 4, minlength=bins)
    # Sums over four bins; numpy's own mode "same" would be longer than a shorter sequence.
    strong_near, known_near = (np.convolve(counts, np.ones(4))[1 : 1 + bins] for counts in (strong, known))
    gc = strong_near / np.maximum(known_near, 1)
    bias = np.exp(-model.gc_bias * ((gc - 0.45) / 0.3) ** 2)
    weights = np.resize(field, bins) * bias * (known > 0)
    return weights / max(weights[known > 0].mean() if np.any(known) else 1.0, 1e-9)


def draw_fragments(
    length: int,
    weights: Float64[np.ndarray, " bins"],
    bins: tuple[int, int],
    depth: float,
    model: SequencingModel,
    rng: np.random.Generator,
) -> Fragments:
    """Draw the fragments that start in a run of bins of a sequence.

    Args:
        length: Length of the sequence (bp).
        weights: Relative number of starts per bin of the whole sequence.
        bins: First bin and one past the last.
        depth: Mean depth that the whole sequence is to get.
        model: Lengths, duplicates, chimeras.
        rng: Source of randomness.
    """
    share = weights[bins[0] : bins[1]]
    total = share.sum()
    count = rng.poisson(depth * BIN * total / (2 * model.read_length)) if total > 0 else 0
    shape = (model.fragment_mean / max(model.fragment_deviation, 1e-3)) ** 2
    sizes = rng.gamma(shape, model.fragment_mean / shape, count).astype(np.int64).clip(35, max(35, length))
    chosen = rng.choice(len(share), count, p=share / total) if count else np.empty(0, np.int64)
    starts = (bins[0] + chosen) * BIN + rng.integers(0, BIN, count)
    inside = starts + sizes <= length
    starts, sizes = starts[inside], sizes[inside]
    count = len(starts)
    times = 1 + rng.poisson(model.duplicates, count)
    joined = (rng.random(count) < model.chimeras) & (sizes > 80)
    # Most chimeras join places near each other, so that a mate still maps where it is expected.
    near = starts + rng.integers(-3_000, 3_001, count)
    partner = np.where(rng.random(count) < 0.7, near, rng.integers(0, max(length - 1, 1), count))
    partner = np.where(joined, partner.clip(0, np.maximum(length - sizes, 0)), -1)
    cut = 20 + (rng.random(count) * (sizes - 40).clip(1)).astype(np.int64)
    return Fragments(starts, sizes, rng.random(count) < 0.5, times, partner, cut)
