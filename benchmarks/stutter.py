"""Slippage of a library: reads that show a wrong length of a repeat, by the repeat's unit and length.

    python benchmarks/stutter.py READS REFERENCE [--truth VCF] [--regions BED] [--name NAME]

Counts each read that covers a repeat with five aligned bases beside it on either side, and the net length of the
indels that the aligner put there. Repeats within ten bases of a true variant are left out. Prints Markdown: reads,
share of them of a wrong length, share of the wrong ones that are longer, and that are off by two units or more.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from diffbio_core.simulation.repeats import find_tracts
from diffbio_io.reference import Reference
from diffbio_io.regions import read_bed

BANDS = {
    1: ((8, 9), (10, 11), (12, 13), (14, 16), (17, 20), (21, 30)),
    2: ((8, 11), (12, 17), (18, 25), (26, 40), (41, 60)),
    3: ((10, 17), (18, 29), (30, 60)),
    4: ((13, 23), (24, 35), (36, 60)),
    5: ((16, 29), (30, 60)),
}
"""Lengths (bp) of the tracts of each unit length that share a row."""

BESIDE = 5
"""Aligned bases (bp) that a read must have on either side of a tract."""

APART = 10
"""Distance (bp) from a tract within which a true variant leaves it out."""

MIN_MAPPING_QUALITY = 20


@dataclass
class Tally:
    """Reads of the repeats of one row."""

    reads: int = 0
    longer: int = 0
    shorter: int = 0
    by_more: int = 0

    @property
    def wrong(self) -> int:
        """Reads of a wrong length."""
        return self.longer + self.shorter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reads", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--truth", type=Path, help="VCF of true variants, whose repeats are left out")
    parser.add_argument("--regions", type=Path, help="BED to look at; all if not given")
    parser.add_argument("--name", default="", help="what the table's heading says")
    arguments = parser.parse_args()
    tallies = count_lengths(arguments.reads, arguments.reference, arguments.truth, arguments.regions)
    print(f"| {arguments.name or arguments.reads.name} | reads | wrong (%) | of these longer (%) | by 2+ units (%) |")
    print("|---|---:|---:|---:|---:|")
    for (unit, low, high), tally in sorted(tallies.items()):
        wrong = max(tally.wrong, 1)
        print(
            f"| unit {unit}, {low}-{high} bp | {tally.reads} | {100 * tally.wrong / tally.reads:.2f} "
            f"| {100 * tally.longer / wrong:.0f} | {100 * tally.by_more / wrong:.0f} |"
        )


def count_lengths(reads: Path, reference: Path, truth: Path | None, regions: Path | None) -> dict[tuple, Tally]:
    """Tallies by (unit, shortest, longest tract)."""
    tallies: dict[tuple, Tally] = defaultdict(Tally)
    with Reference(reference) as fasta, pysam.AlignmentFile(str(reads)) as file:
        wanted = read_bed(regions, fasta.contigs) if regions else {c: [(0, n)] for c, n in fasta.contigs.items()}
        for contig, intervals in wanted.items():
            taken = _variants(truth, contig)
            codes = fasta.codes(contig, 0, fasta.contigs[contig])
            for start, stop in intervals:
                tracts = find_tracts(codes[start:stop]) + np.array([start, start, 0])
                _count(file, contig, tracts[_apart(tracts, taken)], tallies)
    return tallies


def _variants(truth: Path | None, contig: str) -> np.ndarray:
    """Start and stop of true variants, by start."""
    if truth is None:
        return np.empty((0, 2), np.int64)
    with pysam.VariantFile(str(truth)) as vcf:
        records = [(record.start, record.stop) for record in vcf if record.chrom == contig]
    return np.array(records, np.int64).reshape(-1, 2)


def _apart(tracts: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Tracts that no variant and no other tract is near."""
    near = np.zeros(len(tracts), bool)
    for start, stop in taken:
        near |= (tracts[:, 0] < stop + APART) & (tracts[:, 1] > start - APART)
    beside = (tracts[1:, 0] - tracts[:-1, 1]) < BESIDE
    near[1:] |= beside
    near[:-1] |= beside
    return ~near


def _count(file: pysam.AlignmentFile, contig: str, tracts: np.ndarray, tallies: dict[tuple, Tally]) -> None:
    for start, stop, unit in tracts.tolist():
        band = next((band for band in BANDS[unit] if band[0] <= stop - start <= band[1]), None)
        if band is None:
            continue
        tally = tallies[unit, *band]
        for change in _changes(file, contig, start, stop):
            tally.reads += 1
            tally.longer += change > 0
            tally.shorter += change < 0
            tally.by_more += abs(change) >= 2 * unit


def _changes(file: pysam.AlignmentFile, contig: str, start: int, stop: int) -> Iterator[int]:
    """Net inserted bases in a tract, of each read that covers it."""
    for read in file.fetch(contig, start, stop):
        unfit = read.is_secondary or read.is_supplementary or read.is_duplicate or read.is_qcfail
        if unfit or read.mapping_quality < MIN_MAPPING_QUALITY or not read.cigartuples:
            continue
        blocks = read.get_blocks()
        if blocks[0][0] > start - BESIDE or blocks[-1][1] < stop + BESIDE:
            continue
        yield _net_length(read, start, stop)


def _net_length(read: pysam.AlignedSegment, start: int, stop: int) -> int:
    place, change = read.reference_start, 0
    for operation, length in read.cigartuples or ():
        if operation == pysam.CINS:
            change += length if start <= place <= stop else 0
        elif operation == pysam.CDEL:
            change -= max(0, min(stop, place + length) - max(start, place))
            place += length
        elif operation in (pysam.CMATCH, pysam.CEQUAL, pysam.CDIFF, pysam.CREF_SKIP):
            place += length
    return change


if __name__ == "__main__":
    main()
