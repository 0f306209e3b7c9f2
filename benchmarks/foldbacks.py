"""How many reads end in the reverse complement of what lies nearby: ends of fragments that folded back and were copied.

    python benchmarks/foldbacks.py READS REFERENCE [CONTIG:START-END...]

Of reads that are mapped surely: ends of 10 or more clipped bases, and those of them whose ten clipped bases next to the
aligned ones are, turned, within 150 bp; as a measure of chance the same not turned. Then quantiles of the clipped bases
and of the paired bases (the stem), and how many places (of 5 bp) have how many such ends.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pysam

CLIPPED = 10
"""Clipped bases from which an end is looked at, and as many are looked for."""

NEAR, LONGEST_STEM = 150, 60

FLAGS_LEFT_OUT = pysam.FUNMAP | pysam.FDUP | pysam.FSECONDARY | pysam.FSUPPLEMENTARY | pysam.FQCFAIL

_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def main() -> None:
    reads, reference, *regions = sys.argv[1:]
    clipped, stems = [], []
    places: Counter[tuple[str, int]] = Counter()
    number = ends = by_chance = 0
    with pysam.AlignmentFile(reads) as alignments, pysam.FastaFile(reference) as fasta:
        contigs = {str(contig): fasta.fetch(contig).upper() for contig in fasta.references}
        for region in regions or alignments.references:
            for read in alignments.fetch(region=region):
                if read.flag & FLAGS_LEFT_OUT or read.mapping_quality < 20 or not read.query_sequence:
                    continue
                number += 1
                contig = str(read.reference_name)
                bases = contigs[contig]
                for clip, at, beside in _clips(read):
                    ends += 1
                    low = max(at - NEAR, 0)
                    near = bases[low : at + NEAR]
                    by_chance += near.find(beside) >= 0
                    found = near.find(_turned(beside))
                    if found >= 0:
                        clipped.append(clip)
                        stems.append(_stem(bases, at, low + found, at == read.reference_start))
                        places[contig, at // 5] += 1
    print(f"{number:,} reads, {ends / number:.2%} clipped ends; {len(clipped) / number:.2%} fold back", end="")
    print(f" ({by_chance / number:.2%} by chance)")
    if clipped:
        for name, values in (("clipped bases", clipped), ("stem", stems)):
            print(f"{name}: {np.percentile(values, [5, 25, 50, 75, 95]).astype(int).tolist()} (5 to 95 %)")
        print("places by ends:", dict(sorted(Counter(min(value, 10) for value in places.values()).items())))


def _clips(read: pysam.AlignedSegment) -> list[tuple[int, int, str]]:
    """Clipped bases of each clipped end, where it is clipped, and its bases next to the aligned ones."""
    cigar, bases = read.cigartuples or [(0, 0)], read.query_sequence or ""
    found = []
    if cigar[0][0] == pysam.CSOFT_CLIP and cigar[0][1] >= CLIPPED:
        clip = cigar[0][1]
        found.append((clip, read.reference_start, bases[clip - CLIPPED : clip]))
    if cigar[-1][0] == pysam.CSOFT_CLIP and cigar[-1][1] >= CLIPPED:
        clip, start = cigar[-1][1], len(bases) - cigar[-1][1]
        found.append((clip, read.reference_end or 0, bases[start : start + CLIPPED]))
    return found


def _stem(bases: str, at: int, found: int, at_start: bool) -> int:
    """Aligned bases next to a clip that pair with those next to what it is the turned copy of."""
    inwards, outwards = range(at, len(bases)), range(found - 1, -1, -1)
    if not at_start:
        inwards, outwards = range(at - 1, -1, -1), range(found + CLIPPED, len(bases))
    stem = 0
    for here, there in zip(inwards, outwards, strict=False):
        if stem == LONGEST_STEM or bases[here] != _turned(bases[there]):
            break
        stem += 1
    return stem


def _turned(bases: str) -> str:
    return bases.translate(_COMPLEMENT)[::-1]


if __name__ == "__main__":
    main()
