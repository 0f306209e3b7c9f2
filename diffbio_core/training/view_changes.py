"""Views as another library, sequencer or sample would have shown them, changed while they are read.

The changes are made by compiled loops on the threads that read ahead: inside the jitted step they took three times as
long as the network. What becomes of a view follows from its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import UInt64

from diffbio_core.candidates.view_encoding import DELETION_AFTER, DIFFERS, FLANK, INSERTION_AFTER, WIDTH
from diffbio_core.candidates.views import CandidateViews
from diffbio_core.windows.encoding import CODE_MASK, DELETED, NO_READ

_MAX_QUALITY = 45


@dataclass(frozen=True)
class AugmentationConfig:
    """How often, and how far, a view is changed.

    Attributes:
        thinned: Share of views from which reads are taken.
        least_kept: Smallest share of reads that such a view keeps.
        shifted: Share of views whose base qualities are all shifted.
        quality_shift: Standard deviation of the shift (Phred).
        binned: Share of views whose base qualities are put into bins.
        bins: Sets of bins (Phred), as newer sequencers report them.
        second_allele: Share of views whose other reads are made to show a second alternative allele: such sites are
            few, and without them the classifier takes the absence of the reference for a homozygous call.
        one_sided: Share of views from one of whose strands reads are taken, as in captured and amplified libraries.
        least_of_strand: Smallest share of that strand's reads that such a view keeps.
    """

    thinned: float = 0.5
    least_kept: float = 0.4
    shifted: float = 0.5
    quality_shift: float = 3.0
    binned: float = 0.3
    bins: tuple[tuple[int, ...], ...] = ((2, 12, 23, 37), (2, 15, 25, 37), (2, 11, 25, 40))
    second_allele: float = 0.03
    one_sided: float = 0.1
    least_of_strand: float = 0.0


def change_views(views: CandidateViews, config: AugmentationConfig, seeds: UInt64[np.ndarray, "candidates"]) -> None:
    """Changes views in place.

    Args:
        views: Some candidates.
        config: How often, and how far. ``thinned`` takes single reads, beyond what a window was thinned by name.
        seeds: Of each view.
    """
    _change(
        seeds,
        np.array([config.thinned, config.least_kept, config.shifted, config.quality_shift, config.binned]),
        np.array([config.second_allele, config.one_sided, config.least_of_strand]),
        np.array(config.bins, np.int64),
        *views.seen(),
    )


@numba.njit(cache=True, nogil=True)
def _uniform(seed, counter):
    """A number in [0, 1) by seed and counter (splitmix64: Steele, Lea and Flood 2014)."""
    z = seed + np.uint64(counter + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@numba.njit(cache=True, nogil=True)
def _change(
    seeds,
    chances,
    more,
    bins,
    symbol,
    base_quality,
    mapping_quality,
    group,
    reference,
    allele,
    length,
    tract,
    crowd,
    rival,
    lengths,
):
    thinned, least_kept, shifted, quality_shift, binned = chances
    second_allele, one_sided, least_of_strand = more
    for view in range(seeds.size):
        seed = seeds[view]
        if _uniform(seed, 0) < second_allele:
            _show_second_allele(seed, symbol[view], group[view], reference[view], allele[view], length[view])
        kept = 1.0
        if _uniform(seed, 1) < thinned:
            kept = least_kept + (1 - least_kept) * _uniform(seed, 2)
        of_strand = np.ones(2)
        if _uniform(seed, 3) < one_sided:
            side = 0 if _uniform(seed, 4) < 0.5 else 1
            of_strand[side] = least_of_strand + (1 - least_of_strand) * _uniform(seed, 5)
        shift = 0.0
        if _uniform(seed, 6) < shifted:
            # Box and Muller's normal deviate.
            radius = np.sqrt(-2 * np.log(max(1e-300, 1 - _uniform(seed, 7))))
            shift = quality_shift * radius * np.cos(2 * np.pi * _uniform(seed, 8))
        levels = bins[int(_uniform(seed, 9) * bins.shape[0])]
        into_bins = _uniform(seed, 10) < binned
        before = 0
        after = 0
        for row in range(group.shape[1]):
            if group[view, row] == 0:
                continue
            before += 1
            strand = (group[view, row] - 1) % 2
            if _uniform(seed, 32 + row) >= kept * of_strand[strand]:
                group[view, row] = 0
                mapping_quality[view, row] = 0
                symbol[view, row, :] = NO_READ
                base_quality[view, row, :] = 0
                continue
            after += 1
            if shift == 0.0 and not into_bins:
                continue
            for column in range(WIDTH):
                if symbol[view, row, column] == NO_READ:
                    continue
                quality = base_quality[view, row, column] + shift
                if into_bins:
                    nearest = levels[0]
                    for level in levels:
                        if abs(quality - level) < abs(quality - nearest):
                            nearest = level
                    quality = float(nearest)
                base_quality[view, row, column] = np.uint8(min(_MAX_QUALITY, max(2, round(quality))))
        if after < before:
            rival[view] = rival[view] * after // before
            lengths[view] = lengths[view] * after // before


@numba.njit(cache=True, nogil=True)
def _show_second_allele(seed, symbol, group, reference, allele, length):
    """Has reads that show the reference show another allele of the candidate's kind in its place.

    The number of copies of the candidate's own allele stays what it was.
    """
    other = (reference[FLANK] + 1 + int(_uniform(seed, 11) * 3)) % 4
    # Neither the reference nor the allele: of four bases two are left at least.
    while other == allele[FLANK] or other == reference[FLANK]:
        other = (other + 1) % 4
    inserts = _uniform(seed, 12) < 0.5
    gap = 1 + int(_uniform(seed, 13) * 4)
    for row in range(group.size):
        if group[row] == 0 or (np.int64(group[row]) - 1) // 2 != DIFFERS or symbol[row, FLANK] != reference[FLANK]:
            continue
        if length == 0:
            symbol[row, FLANK] = other
        elif inserts:
            symbol[row, FLANK] |= np.uint8(INSERTION_AFTER)
        else:
            symbol[row, FLANK] |= np.uint8(DELETION_AFTER)
            for column in range(FLANK + 1, FLANK + 1 + gap):
                if symbol[row, column] & CODE_MASK != NO_READ:
                    symbol[row, column] = DELETED
