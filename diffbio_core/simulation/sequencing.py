"""How a simulated library was made and sequenced: every rate that shapes its reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

BINNED_QUALITIES = {
    "novaseq": (2, 12, 23, 37),
    "novaseq-x": (2, 11, 25, 37),
    "hiseq-x": (2, 7, 11, 22, 27, 32, 37, 42),
}
"""Quality scores (Phred) of sequencers that report few different ones."""


@dataclass(frozen=True)
class SequencingModel:
    """Library and sequencer of a simulated run.

    Attributes:
        depth: Mean coverage by reads that are not duplicates.
        read_length: Length of both mates (bp).
        fragment_mean: Mean length of fragments (bp).
        fragment_deviation: Standard deviation of that length (bp); the distribution is a gamma's.
        quality_level: Typical quality at the start of a good read (Phred).
        quality_bins: Qualities that the sequencer reports (Phred), in rising order; empty for all.
        error_scale: True error probability as multiple of what the quality says.
        error_floor: Error probability that no quality tells of.
        indel_errors: Sequencing indels per base.
        oxidation: Guanines per guanine that read as T in both mates, mostly with low quality, in a typical context.
        deamination: Cytosines per cytosine that read as T in both mates, at good quality.
        pcr_errors: Substitutions per base that both mates share, at good quality.
        slippage: Multiplies the odds that a fragment's repeats have gained or lost units.
        homopolymer_slippage: Multiplies those of homopolymers once more.
        slippage_growth: Multiplies how steeply the odds grow with the repeat's length.
        slippage_gains: Share of the slips that make a repeat longer.
        further_slippage: Probability that a slip goes one unit further, again and again.
        systematic: Share of 10-mers after which a base is misread on that strand by part of the reads.
        stalls: Share of 10-mers after which part of the reads of that strand lose their phase; long homopolymers do
            so in proportion.
        duplicates: Duplicates per fragment, all flagged.
        chimeras: Share of fragments joined from two places.
        foldbacks: Share of a fragment's ends whose overhanging strand paired with itself and was copied from there: the
            read goes on with the reverse complement of what lies a few dozen bases inwards.
        unevenness: Standard deviation of the logarithm of local depth.
        gc_bias: Strength with which depth falls at high and low GC content; 0 for none.
        diverged_copies: Per Mb, segments with a copy elsewhere, 0.1 to 4 % diverged, that the aligner knows.
        collapsed_copies: Per Mb, segments with such a copy that the aligner does not know.

    Raises:
        ValueError: A number is negative or not finite, a share above 1, a length below 30 bp, or the qualities are not
            rising.
    """

    depth: float = 30.0
    read_length: int = 150
    fragment_mean: float = 380.0
    fragment_deviation: float = 95.0
    quality_level: float = 38.0
    quality_bins: tuple[int, ...] = ()
    error_scale: float = 1.1
    error_floor: float = 1e-4
    indel_errors: float = 2e-5
    oxidation: float = 1e-4
    deamination: float = 1e-5
    pcr_errors: float = 4e-6
    slippage: float = 1.0
    homopolymer_slippage: float = 1.0
    slippage_growth: float = 1.0
    slippage_gains: float = 0.4
    further_slippage: float = 0.2
    systematic: float = 1.5e-4
    stalls: float = 3e-4
    duplicates: float = 0.06
    chimeras: float = 0.01
    foldbacks: float = 0.003
    unevenness: float = 0.14
    gc_bias: float = 1.0
    diverged_copies: float = 2.0
    collapsed_copies: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "quality_bins" and not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must be a number of 0 or more, got {value}")
        for name in ("slippage_gains", "further_slippage", "foldbacks"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.read_length < 30 or self.fragment_mean < 30:
            raise ValueError(
                f"read_length and fragment_mean must be at least 30 bp, got {self.read_length} and {self.fragment_mean}"
            )
        if any(low >= high for low, high in zip(self.quality_bins, self.quality_bins[1:], strict=False)):
            raise ValueError(f"quality_bins must rise, got {self.quality_bins}")
