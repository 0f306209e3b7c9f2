"""How likely each read is of each haplotype of a cluster: its bases held against the haplotype's, base for base.

The classifier looks at one allele at a time, and at a column where another haplotype lacks the base it has nothing to
hold the allele against. Here a read speaks for whole haplotypes, as in freebayes (Garrison & Marth 2012,
arXiv:1207.3907). A read may differ from its haplotype by errors of sequencing, and by slips in one repeat of it. One
that fits no haplotype says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Float64, UInt8

from diffbio_core.calling.repeat_lengths import FITTED, share_of_gains, slip_rates
from diffbio_core.reads.slippage import Slippage
from diffbio_core.simulation.repeats import find_tracts
from diffbio_core.windows.encoding import CODE_MASK, DELETED, INSERTION_FOLLOWS, N_BASE, NO_READ, READ_START
from diffbio_core.windows.lanes import row_at
from diffbio_core.windows.planes import LANES_PER_BLOCK, ShardPlanes

BESIDE = 14
"""Bases (bp) on either side of the changed ones that a read is held against."""

MIN_MAPPING_QUALITY = 10

_MOST_SLIPS = 2

_STRAY = math.log(0.02)
"""Probability (logarithm) that a read is of neither haplotype: mapped wrongly, chimeric, or of an allele that no
candidate tells of."""

_STRAY_BASE = math.log(0.1)
"""Probability (logarithm) that a base of such a read differs from the haplotype that it is nearest to."""

_WORST, _BEST = 5, 40
"""Phred qualities that bases are taken to have at least and at most."""

_ERROR = 10.0 ** (-np.clip(np.arange(256), _WORST, _BEST) / 10)
_DIFFERS = np.log(_ERROR / 3) - np.log1p(-_ERROR)
"""Logarithm of how much likelier a base is that agrees than one that differs, by Phred quality."""


@dataclass(frozen=True)
class Stretch:
    """Columns of a window that the reads of a cluster are held against.

    Attributes:
        window: Window of the shard.
        start: First column.
        stop: One past the last column.
        first_change: Column from which haplotypes may differ.
        last_change: Column from which they do not any more.
        spare: Bases of the reference that haplotypes are spelled with beyond both ends.
    """

    window: int
    start: int
    stop: int
    first_change: int
    last_change: int
    spare: int


def log_likelihoods(
    planes: ShardPlanes, stretch: Stretch, haplotypes: list[UInt8[np.ndarray, " bases"]]
) -> Float64[np.ndarray, "reads haplotypes"]:
    """Natural logarithms of the likelihoods of reads, each up to a constant of the read.

    Args:
        planes: The shard.
        stretch: Where reads are looked at.
        haplotypes: Base codes of each, from ``stretch.spare`` columns before the stretch to as many behind it.
    """
    spelled, owner, prior = _with_slips(haplotypes, stretch.spare, planes.slippage)
    length = np.array([codes.size for codes in spelled])
    table = np.full((len(spelled), length.max()), N_BASE, np.uint8)
    for place, codes in enumerate(spelled):
        table[place, : codes.size] = codes
    return _hold_against(
        planes.base,
        planes.base_quality,
        planes.reads.first,
        planes.reads.column,
        planes.reads.mapping_quality,
        planes.indels.first,
        planes.indels.column,
        planes.indels.sequence_start,
        planes.indels.sequence,
        stretch.window,
        stretch.start,
        stretch.stop,
        stretch.first_change,
        stretch.last_change,
        stretch.spare,
        table,
        length,
        np.array(owner),
        np.array(prior),
        len(haplotypes),
    )


def _with_slips(
    haplotypes: list[np.ndarray], spare: int, slippage: Slippage
) -> tuple[list[np.ndarray], list[int], list[float]]:
    """What reads of each haplotype show: itself, and with one of its repeats longer or shorter by a few units.

    Returns:
        The sequences, the haplotype of each, and the logarithm of how often its reads show that.
    """
    spelled, owner, prior = [], [], []
    gains = share_of_gains(slippage)
    for number, codes in enumerate(haplotypes):
        unslipped = 1.0
        for begin, end, unit in find_tracts(codes).tolist():
            if end <= spare or begin >= codes.size - spare:
                continue
            rate = float(slip_rates(end - begin, unit, slippage))
            unslipped -= rate
            for steps in range(1, _MOST_SLIPS + 1):
                share = FITTED.further ** (steps - 1) * (1 - FITTED.further) * rate
                changed = steps * unit
                copied = codes[begin : begin + unit]
                longer = np.concatenate([codes[:begin], np.tile(copied, steps), codes[begin:]])
                spelled.append(longer)
                owner.append(number)
                prior.append(math.log(share * gains))
                if end - begin > changed:
                    spelled.append(np.concatenate([codes[:begin], codes[begin + changed :]]))
                    owner.append(number)
                    prior.append(math.log(share * (1 - gains)))
        spelled.append(codes)
        owner.append(number)
        prior.append(math.log(max(unslipped, 0.3)))
    return spelled, owner, prior


@numba.njit(cache=True, nogil=True)
def _hold_against(
    base,
    base_quality,
    read_first,
    read_column,
    read_mapping,
    indel_first,
    indel_column,
    sequence_start,
    sequence,
    window,
    start,
    stop,
    first_change,
    last_change,
    spare,
    table,
    length,
    owner,
    prior,
    haplotypes,
):
    """Logarithms of the likelihoods, one row a read.

    A read lies where its alignment says on at least one side of what haplotypes differ by; from there its bases follow
    one another without a gap. If that holds of both sides, the one from which it fits better counts.
    """
    lanes = base.shape[0] * LANES_PER_BLOCK
    # In a lane one read lies over where haplotypes begin to differ, and one over where they no longer do.
    found = np.empty((lanes * 2, haplotypes), np.float64)
    codes = np.empty(4096, np.uint8)
    qualities = np.empty(4096, np.uint8)
    number = 0
    for lane in range(lanes):
        cells = base[lane // LANES_PER_BLOCK, window, lane % LANES_PER_BLOCK]
        phred = base_quality[lane // LANES_PER_BLOCK, window, lane % LANES_PER_BLOCK]
        row = window * lanes + lane
        begin = start
        while begin < stop:
            if cells[begin] & CODE_MASK == NO_READ:
                begin += 1
                continue
            end = begin + 1
            while end < stop and cells[end] & CODE_MASK != NO_READ and not cells[end] & READ_START:
                end += 1
            from_left, from_right = begin <= first_change, end >= last_change
            low, begin = begin, end
            if end <= first_change or low >= last_change or not (from_left or from_right):
                continue
            if read_mapping[row_at(read_first, read_column, row, low)] < MIN_MAPPING_QUALITY:
                continue
            size = 0
            indel = indel_first[row]
            for column in range(low, end):
                if cells[column] & CODE_MASK != DELETED and size < codes.size:
                    codes[size] = cells[column] & CODE_MASK
                    qualities[size] = phred[column]
                    size += 1
                if not cells[column] & INSERTION_FOLLOWS or column + 1 >= stop:
                    continue
                while indel < indel_first[row + 1] and indel_column[indel] < column:
                    indel += 1
                while indel < indel_first[row + 1] and indel_column[indel] == column:
                    for place in range(sequence_start[indel], sequence_start[indel + 1]):
                        if size < codes.size:
                            codes[size] = sequence[place]
                            qualities[size] = phred[column]
                            size += 1
                    indel += 1
            nearest = np.int64(size)
            for haplotype in range(haplotypes):
                found[number, haplotype] = -np.inf
            for place in range(length.size):
                fits, differ = -np.inf, np.int64(size)
                if from_left:
                    fits, differ = _fit(codes, qualities, size, table[place], length[place], spare + low - start)
                if from_right:
                    other, others = _fit(
                        codes, qualities, size, table[place], length[place], length[place] - spare - (stop - end) - size
                    )
                    if other > fits:
                        fits, differ = other, others
                fits += prior[place]
                nearest = min(nearest, differ)
                found[number, owner[place]] = max(found[number, owner[place]], fits)
            stray = _STRAY + nearest * _STRAY_BASE
            for haplotype in range(haplotypes):
                found[number, haplotype] = np.logaddexp(found[number, haplotype], stray)
            number += 1
    return found[:number]


@numba.njit(cache=True, nogil=True)
def _fit(codes, qualities, size, haplotype, length, first):
    """Logarithm of the likelihood of bases at a place of a haplotype, and how many differ."""
    fits = 0.0
    differ = 0
    if first < 0 or first + size > length:
        return -np.inf, size
    for step in range(size):
        code = codes[step]
        if code >= N_BASE or haplotype[first + step] >= N_BASE:
            continue
        if code != haplotype[first + step]:
            fits += _DIFFERS[qualities[step]]
            differ += 1
    return fits, differ
