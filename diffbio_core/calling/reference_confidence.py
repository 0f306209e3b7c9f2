"""How sure it is that an individual carries the reference: blocks of positions that no record covers, for gVCF.

A position's likelihoods are those of one unseen alternative allele, ``<*>``, against the reference. A read that covers
the position shows the reference (its base is the reference's and no indel follows it) or it does not; e, the chance
that it misleads, comes from the lower of its base quality and its mapping quality. With g of m copies alternative, the
likelihood of a read that shows the reference is ((m - g)(1 - e) + g e) / m, and that of any other read has e and 1 - e
exchanged; reads multiply (Li 2011, Bioinformatics 27:2987, equation 2). Reads of Phred 3 or less, and those that show
N, tell nothing. Reads count as independent here, so what is systematic lowers the confidence more than it should, never
less; the length of a repeat does not enter, so an indel that few reads span is not doubted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numba
import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from diffbio_core.calling.genotyping import genotypes
from diffbio_core.calling.sites import CalledSite
from diffbio_core.windows.encoding import CODE_MASK, INDEL_FOLLOWS, N_BASE, NO_READ
from diffbio_core.windows.planes import LANES_PER_BLOCK, ShardPlanes

UNSEEN = "<*>"
"""Any allele that no record names (VCF 4.3, 5.5)."""

BANDS = (5, 10, 20, 30, 40)
"""GQ at which one block ends and the next begins; positions of a block lie between two neighbours of these."""

MAX_GQ = 99
MAX_PL = 999

_HALF = 3010  # -10 log10 of 1/2, in thousandths of Phred
_ERROR = 0.01  # chance that a read shows an allele that is not its haplotype's, where only counts of reads are known


@dataclass(frozen=True)
class ReferenceBlocks:
    """Runs of positions of one contig, in order, none of them covered by a record.

    Attributes:
        start: First position of each (0-based).
        stop: One past its last.
        code: Base code of the reference at the first.
        known: Whether there are reads and a reference base; elsewhere the genotype is not known, and all below is 0.
        min_depth: Smallest number of reads that cover a position.
        pl: Smallest Phred-scaled likelihood of each genotype over the reference and ``<*>``, in VCF order, with that of
            the reference 0 at every position; one column less on a haploid contig.
    """

    start: Int64[np.ndarray, "blocks"]
    stop: Int64[np.ndarray, "blocks"]
    code: UInt8[np.ndarray, "blocks"]
    known: Bool[np.ndarray, "blocks"]
    min_depth: Int32[np.ndarray, "blocks"]
    pl: Int32[np.ndarray, "blocks genotypes"]

    def __len__(self) -> int:
        return self.start.size

    @property
    def gq(self) -> Int32[np.ndarray, "blocks"]:
        """Genotype quality: the likelihood of the best genotype that is not the reference's."""
        return np.minimum(self.pl[:, 1:].min(1), MAX_GQ)


def reference_blocks(
    planes: ShardPlanes, intervals: Iterable[tuple[int, int]], sites: Iterable[CalledSite], ploidy: int = 2
) -> ReferenceBlocks:
    """Blocks over the positions of some intervals that no site covers.

    Neighbouring positions share a block when their GQ lies in the same band; blocks end where intervals do, and do not
    depend on how the shard is cut into windows.

    Args:
        planes: A shard.
        intervals: Positions asked for within its core (0-based half-open), sorted.
        sites: The records that will be written.
        ploidy: Copies of the contig: 2, or 1.
    """
    grid, origin = planes.grid, planes.shard.first_window * planes.grid.reference_length
    core = slice(grid.halo, grid.halo + grid.reference_length)
    reference = np.ascontiguousarray(planes.reference[:, core]).reshape(-1)
    evidence = np.zeros(reference.size, np.int64)
    _add_evidence(
        planes.base,
        planes.base_quality,
        planes.reads.first,
        planes.reads.column,
        planes.reads.mapping_quality,
        reference,
        grid.halo,
        evidence,
        _TABLE,
    )
    wanted = np.zeros(reference.size, np.bool_)
    for start, stop in intervals:
        wanted[start - origin : stop - origin] = True
    for site in sites:
        wanted[max(site.position - origin, 0) : max(site.stop - origin, 0)] = False
    start, stop, known, min_depth, pl = _join(evidence, reference, wanted, np.array(BANDS), ploidy)
    return ReferenceBlocks(start + origin, stop + origin, reference[start], known, min_depth, pl)


def with_unseen_allele(site: CalledSite) -> CalledSite:
    """A site with ``<*>`` as its last alternative allele, as records in a gVCF have it.

    A genotype with ``<*>`` is judged against the called one by the reads that show each allele, of which one in a
    hundred misleads; none of them shows ``<*>``. It is never likelier than GQ allows.
    """
    depths, ploidy = site.allele_depths, len(site.genotype)
    known = dict(zip(genotypes(len(depths), ploidy), site.pl, strict=True))

    def phred(genotype: tuple[int, ...]) -> float:
        shares = (genotype.count(allele) / ploidy for allele in range(len(depths)))
        return sum(
            -10 * depth * np.log10(share * (1 - _ERROR) + (1 - share) * _ERROR)
            for depth, share in zip(depths, shares, strict=True)
        )

    called = phred(site.genotype)
    pl = tuple(
        known[genotype] if genotype in known else min(MAX_PL, max(site.gq, round(phred(genotype) - called)))
        for genotype in genotypes(len(depths) + 1, ploidy)
    )
    return replace(site, alts=(*site.alts, UNSEEN), pl=pl, allele_depths=(*depths, 0))


def _table() -> Int64[np.ndarray, "256"]:
    """What one cell adds to a position's evidence: by its quality, ``_REFERENCE`` where it shows that, ``_NO_READ``.

    Three sums share an integer, so that one addition does for all: Phred-scaled likelihoods of no and of all copies
    alternative, in thousandths, in 24 bits each (256 reads of Phred 63 fit), and reads above them. Integers make the
    sum independent of the order of lanes.
    """
    error = np.minimum(10 ** (-0.1 * np.arange(64)), 0.5)
    right, wrong = (np.rint(-10_000 * np.log10(chance)).astype(np.int64) for chance in (1 - error, error))
    read = np.int64(1) << 48
    return np.concatenate([read + (right << 24) + wrong, read + (wrong << 24) + right, np.zeros(128, np.int64)])


_REFERENCE, _NO_READ = 64, 128
_TABLE = _table()


@numba.njit(cache=True, nogil=True)
def _add_evidence(base, base_quality, read_first, read_column, read_mapping, reference, halo, evidence, table):
    windows = base.shape[1]
    lanes = base.shape[0] * LANES_PER_BLOCK
    length = reference.size // windows
    mapping = np.zeros(length, np.uint8)
    entry = np.empty(length, np.uint8)
    for window in range(windows):
        sums = evidence[window * length : (window + 1) * length]
        bases = reference[window * length : (window + 1) * length]
        for block in range(base.shape[0]):
            for row in range(LANES_PER_BLOCK):
                cells = base[block, window, row, halo : halo + length]
                qualities = base_quality[block, window, row, halo : halo + length]
                lane = window * lanes + block * LANES_PER_BLOCK + row
                end = read_first[lane + 1]
                for read in range(read_first[lane], end):
                    # Up to the next read: past this one's end no cell is looked at.
                    next_column = read_column[read + 1] - halo if read + 1 < end else length
                    low, high = max(read_column[read] - halo, 0), min(next_column, length)
                    if low < high:
                        mapping[low:high] = read_mapping[read]
                # Bytes in, bytes out, no branch: this loop runs on vectors, which halves the time of both.
                for column in range(length):
                    code = cells[column] & np.uint8(CODE_MASK)
                    quality = min(min(qualities[column], mapping[column]), np.uint8(63))
                    quality = np.uint8(0) if code == N_BASE else quality
                    same = cells[column] & np.uint8(CODE_MASK | INDEL_FOLLOWS) == bases[column]
                    shown = np.uint8(_REFERENCE) if same else np.uint8(0)
                    entry[column] = np.uint8(_NO_READ) if code == NO_READ else quality | shown
                for column in range(length):
                    sums[column] += table[entry[column]]


@numba.njit(cache=True, nogil=True)
def _join(evidence, reference, wanted, bands, ploidy):
    size = evidence.size
    start = np.empty(size, np.int64)
    stop = np.empty(size, np.int64)
    known = np.empty(size, np.bool_)
    min_depth = np.empty(size, np.int32)
    pl = np.zeros((size, ploidy + 1), np.int32)
    number = 0
    last = -1
    for position in range(size):
        if not wanted[position]:
            last = -1
            continue
        depth = evidence[position] >> 48
        none = evidence[position] & 0xFFFFFF
        each = (evidence[position] >> 24) & 0xFFFFFF
        is_known = depth > 0 and reference[position] < N_BASE
        all_copies = min(max((each - none + 500) // 1000, 0), MAX_PL) if is_known else 0
        one_copy = all_copies
        if ploidy == 2:
            one_copy = min(max((depth * _HALF - none + 500) // 1000, 0), MAX_PL) if is_known else 0
        # 0 stands for what is not known.
        band = 1 + np.searchsorted(bands, min(one_copy, all_copies), "right") if is_known else 0
        if band != last:
            last = band
            start[number] = position
            known[number] = is_known
            min_depth[number] = depth if is_known else 0
            pl[number, 1] = one_copy
            pl[number, ploidy] = all_copies
            number += 1
        block = number - 1
        stop[block] = position + 1
        min_depth[block] = min(min_depth[block], depth)
        pl[block, 1] = min(pl[block, 1], one_copy)
        pl[block, ploidy] = min(pl[block, ploidy], all_copies)
    return start[:number], stop[:number], known[:number], min_depth[:number], pl[:number]
