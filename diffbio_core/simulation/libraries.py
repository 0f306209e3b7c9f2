"""Libraries of a range: sequencing models drawn at random, to train on more than a few known ones."""

from __future__ import annotations

import math

import numpy as np

from diffbio_core.simulation.sequencing import BINNED_QUALITIES, SequencingModel

DEPTHS = (3.0, 1_000.0)
"""Mean depth, log-uniform."""

SLIPPAGE = (0.3, 10.0)
"""Multiple of typical slippage, log-uniform."""

HOMOPOLYMER_SLIPPAGE = (0.7, 4.0)
"""Further multiple in homopolymers, log-uniform: a PCR library of HG002 slips about 15 times as often as is
typical in those of 8-9 bp, and four times in repeats of two bases."""

FOLDBACKS = (3e-4, 0.12)
"""Share of fragments' ends that folded back, log-uniform: 7 % in that PCR library of HG002, hardly any where
fragments were sheared and blunt."""


def draw_library(
    rng: np.random.Generator, depths: tuple[float, float] = DEPTHS, slippage: tuple[float, float] = SLIPPAGE
) -> SequencingModel:
    """Draw how a library was made and sequenced.

    Args:
        rng: Source of randomness.
        depths: Least and most mean depth.
        slippage: Least and most multiple of typical slippage.
    """
    read_length = int(rng.choice([75, 100, 125, 150, 150, 150, 250]))
    fragment_mean = read_length * rng.uniform(1.6, 3.2)
    bins = list(BINNED_QUALITIES.values())
    return SequencingModel(
        depth=_log_uniform(rng, depths),
        read_length=read_length,
        fragment_mean=fragment_mean,
        fragment_deviation=fragment_mean * rng.uniform(0.15, 0.3),
        quality_level=rng.uniform(35, 40),
        quality_bins=bins[rng.integers(len(bins))] if rng.random() < 0.5 else (),
        error_scale=_log_uniform(rng, (0.6, 1.8)),
        oxidation=_log_uniform(rng, (3e-5, 4e-4)),
        deamination=_log_uniform(rng, (3e-6, 5e-5)),
        pcr_errors=_log_uniform(rng, (1e-6, 3e-5)),
        slippage=_log_uniform(rng, slippage),
        homopolymer_slippage=_log_uniform(rng, HOMOPOLYMER_SLIPPAGE),
        slippage_growth=rng.uniform(0.65, 1.1),
        slippage_gains=rng.uniform(0.2, 0.8),
        further_slippage=rng.uniform(0.05, 0.35),
        systematic=_log_uniform(rng, (5e-5, 4e-4)),
        stalls=_log_uniform(rng, (1e-4, 6e-4)),
        duplicates=rng.uniform(0.0, 0.25),
        unevenness=rng.uniform(0.08, 0.3),
        gc_bias=rng.uniform(0.5, 2.0),
        foldbacks=_log_uniform(rng, FOLDBACKS),
    )


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    low, high = map(math.log, bounds)
    return math.exp(rng.uniform(low, high))
