"""Loci at which alleles hide each other from aligners and callers, drawn, aligned by bwa, and called.

    python benchmarks/hard_loci.py REFERENCE FOLDER [--depth 30] [--read-length 150] [--each 30] [--seed 1] [--others]

Each locus lies in a piece of the reference of its own. What passes (of freebayes, with ``--others``, what has a QUAL of
20) is right at a locus if its genotypes, phased in some way, spell both haplotypes. Prints Markdown: right loci of each
kind. Needs bwa and samtools.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pysam

from diffbio_io.reference import Reference

PIECE = 700
"""Bases of the reference around each locus."""

FREEBAYES_QUAL = 20

Edit = tuple[int, str, str]
"""Position, bases of the reference, bases of a haplotype."""


@dataclass
class Draw:
    """One locus while it is drawn.

    Attributes:
        bases: All pieces.
        at: Its position.
        random: Source of randomness.
        haplotypes: What both haplotypes change.
    """

    bases: str
    at: int
    random: np.random.Generator
    haplotypes: tuple[list[Edit], list[Edit]] = field(default_factory=lambda: ([], []))

    def between(self, low: int, high: int) -> int:
        """A number from both ends and between."""
        return int(self.random.integers(low, high + 1))

    def letters(self, number: int) -> str:
        """Random bases."""
        return "".join(self.random.choice(list("ACGT"), number))

    def other(self, base: str) -> str:
        """Another base."""
        return str(self.random.choice([each for each in "ACGT" if each != base]))

    def change(self, at: int, *carriers: int) -> None:
        """An SNV."""
        self._add((at, self.bases[at], self.other(self.bases[at])), carriers)

    def insert(self, at: int, length: int, *carriers: int) -> None:
        """Random bases behind a position."""
        self._add((at, self.bases[at], self.bases[at] + self.letters(length)), carriers)

    def delete(self, at: int, length: int, *carriers: int) -> None:
        """So many bases less behind a position."""
        self._add((at, self.bases[at : at + length + 1], self.bases[at]), carriers)

    def replace(self, at: int, length: int, new: str, *carriers: int) -> None:
        """Other bases in place of some."""
        self._add((at, self.bases[at : at + length], new), carriers)

    def _add(self, edit: Edit, carriers: tuple[int, ...]) -> None:
        for carrier in carriers:
            self.haplotypes[carrier].append(edit)


def _changed_insertion(draw: Draw, *carriers: int) -> None:
    new = draw.other(draw.bases[draw.at]) + draw.letters(draw.between(5, 14))
    draw.replace(draw.at, 1, new, *carriers)


def _behind_deletion(draw: Draw) -> None:
    length = draw.between(1, 5)
    draw.delete(draw.at, length, 0)
    draw.insert(draw.at + length, draw.between(1, 4), 1)


def _under_deletion(draw: Draw) -> None:
    length = draw.between(2, 10)
    draw.delete(draw.at, length, 0)
    draw.change(draw.at + draw.between(1, length), 1)


def _beside_indel(draw: Draw, carrier: int) -> None:
    length = draw.between(1, 6)
    (draw.delete if draw.random.random() < 0.5 else draw.insert)(draw.at, length, 0)
    draw.change(draw.at + length + draw.between(1, 4), carrier)


def _two_deletions(draw: Draw) -> None:
    draw.delete(draw.at, draw.between(1, 6), 0)
    draw.delete(draw.at + draw.between(0, 3), draw.between(1, 9), 1)


def _two_insertions(draw: Draw) -> None:
    draw.insert(draw.at, draw.between(1, 8), 0)
    draw.insert(draw.at + draw.between(0, 4), draw.between(1, 8), 1)


KINDS: dict[str, Callable[[Draw], None]] = {
    "SNV and insertion behind it, one copy": lambda draw: _changed_insertion(draw, 0),
    "SNV and insertion behind it, both copies": lambda draw: _changed_insertion(draw, 0, 1),
    "deletion, insertion at its end on the other copy": _behind_deletion,
    "SNV under a deletion of the other copy": _under_deletion,
    "SNV near an indel, one copy": lambda draw: _beside_indel(draw, 0),
    "SNV near an indel of the other copy": lambda draw: _beside_indel(draw, 1),
    "two deletions": _two_deletions,
    "two insertions": _two_insertions,
    "2 to 6 bases in place of as many": lambda draw: draw.replace(
        draw.at, draw.between(2, 6), draw.letters(draw.between(2, 8)), 0
    ),
    "insertion of 15 to 45 bp, one copy": lambda draw: draw.insert(draw.at, draw.between(15, 45), 0),
    "insertion of 15 to 45 bp, both copies": lambda draw: draw.insert(draw.at, draw.between(15, 45), 0, 1),
    "deletion of 15 to 60 bp, one copy": lambda draw: draw.delete(draw.at, draw.between(15, 60), 0),
}


def main() -> None:
    """Draws, aligns, calls and tells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--depth", type=float, default=30.0)
    parser.add_argument("--read-length", type=int, default=150)
    parser.add_argument("--each", type=int, default=30, help="loci of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--others", action="store_true", help="freebayes, too")
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    kinds = [kind for kind in KINDS for _ in range(arguments.each)]
    bases = "".join(_pieces(arguments.reference, len(kinds), random))
    loci = []
    for number, kind in enumerate(kinds):
        draw = Draw(bases, number * PIECE + PIECE // 2 + int(random.integers(-20, 21)), random)
        KINDS[kind](draw)
        loci.append(draw)
    haplotypes = [
        _spell(bases, [edit for draw in loci for edit in draw.haplotypes[copy]], 0, len(bases)) for copy in (0, 1)
    ]
    if not all(haplotypes):
        sys.exit("drawn changes overlap: take another seed")
    fasta, bam = _align(arguments, bases, [each or "" for each in haplotypes], random)
    calls = {"diffbio": _diffbio(arguments.folder, fasta, bam)}
    if arguments.others:
        calls["freebayes"] = _freebayes(arguments.folder, fasta, bam)
    right = {caller: _right(bases, kinds, loci, found) for caller, found in calls.items()}
    print(f"| {arguments.each} each, {arguments.depth:g}x, 2x{arguments.read_length} |", " | ".join(calls), "|")
    print("|---|" + "---:|" * len(calls))
    for kind in KINDS:
        print(f"| {kind} |", " | ".join(str(found[kind]) for found in right.values()), "|")
    print(f"| all {len(kinds)} |", " | ".join(str(found.total()) for found in right.values()), "|")


def _pieces(reference: Path, number: int, random: np.random.Generator) -> Iterator[str]:
    with Reference(reference) as fasta:
        contig, length = next(iter(fasta.contigs.items()))
        while number:
            start = int(random.integers(0, length - PIECE))
            piece = fasta.sequence(contig, start, start + PIECE)
            if "N" not in piece:
                number -= 1
                yield piece


def _spell(bases: str, edits: list[Edit], start: int, stop: int) -> str | None:
    """A haplotype of a stretch; None where its changes overlap."""
    spelled, cursor = "", start
    for at, old, new in sorted(edits):
        if old[0] == new[0]:
            at, old, new = at + 1, old[1:], new[1:]
        if at < cursor:
            return None
        spelled += bases[cursor:at] + new
        cursor = at + len(old)
    return spelled + bases[cursor:stop]


def _align(
    arguments: argparse.Namespace, bases: str, haplotypes: list[str], random: np.random.Generator
) -> tuple[Path, Path]:
    """The reference, and pairs of reads of both haplotypes, with errors by quality, as bwa aligns them."""
    folder, length = arguments.folder, arguments.read_length
    fasta, bam, reads = folder / "reference.fa", folder / "reads.bam", [folder / "1.fq", folder / "2.fq"]
    fasta.write_text(">c1\n" + bases + "\n")
    complement = str.maketrans("ACGT", "TGCA")
    with reads[0].open("w") as first, reads[1].open("w") as second:
        for number in range(int(len(bases) * arguments.depth / length / 2)):
            haplotype = haplotypes[int(random.integers(2))]
            fragment = max(length + 10, int(random.normal(2.6 * length, 0.4 * length)))
            start = int(random.integers(0, len(haplotype) - fragment))
            whole = haplotype[start : start + fragment]
            pair = [whole[:length], whole[-length:].translate(complement)[::-1]]
            for file, read in zip((first, second), pair if random.random() < 0.5 else pair[::-1], strict=True):
                phred = np.clip(random.normal(35 - 12 * (np.arange(length) / length) ** 2, 3), 12, 37).astype(int)
                wrong = random.random(length) < 10.0 ** (-phred / 10)
                shown = [
                    str(random.choice([each for each in "ACGT" if each != base])) if error else base
                    for base, error in zip(read, wrong, strict=True)
                ]
                file.write(f"@r{number}\n{''.join(shown)}\n+\n{''.join(chr(33 + value) for value in phred)}\n")
    _run(f"samtools faidx {fasta} && bwa index {fasta}")
    group = r"'@RG\tID:1\tSM:s'"
    _run(f"bwa mem -R {group} {fasta} {reads[0]} {reads[1]} | samtools sort -o {bam} - && samtools index {bam}")
    return fasta, bam


def _diffbio(folder: Path, fasta: Path, bam: Path) -> Path:
    output = folder / "diffbio.vcf.gz"
    shutil.rmtree(Path(f"{output}.work"), ignore_errors=True)
    files = f"--reads {bam} --reference {fasta} --output {output} --keep-windows no --force"
    _run(f"{sys.executable} -m diffbio_flows.command call {files}")
    return output


def _freebayes(folder: Path, fasta: Path, bam: Path) -> Path:
    output = folder / "freebayes.vcf"
    _run(f"freebayes -f {fasta} {bam} > {output}")
    return output


def _run(command: str) -> None:
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stderr[-2000:]}")


def _right(bases: str, kinds: list[str], loci: list[Draw], calls: Path) -> Counter[str]:
    """Loci of each kind whose haplotypes are spelled by what was called there."""
    records = defaultdict(list)
    with pysam.VariantFile(str(calls)) as file:
        for record in file:
            passed = {"PASS"} >= set(record.filter.keys()) and (
                "diffbio" in calls.name or (record.qual or 0) >= FREEBAYES_QUAL
            )
            genotype = record.samples[0]["GT"]
            if passed and None not in genotype:
                records[record.start // PIECE].append((record.start, record.alleles, genotype))
    right: Counter[str] = Counter()
    for number, (kind, draw) in enumerate(zip(kinds, loci, strict=True)):
        start, stop = number * PIECE + 150, (number + 1) * PIECE - 150
        truth = sorted(str(_spell(bases, edits, start, stop)) for edits in draw.haplotypes)
        phased = itertools.product(*((genotype, genotype[::-1]) for _, _, genotype in records[number]))
        right[kind] += any(
            _spelled(bases, records[number], genotypes, start, stop) == truth for genotypes in phased
        )  # fmt: skip
    return right


def _spelled(bases: str, records: list, genotypes: tuple, start: int, stop: int) -> list[str]:
    """Both haplotypes by records with their genotypes phased so; one less where its records overlap."""
    haplotypes = []
    for copy in (0, 1):
        edits = []
        for (position, alleles, _), genotype in zip(records, genotypes, strict=True):
            old, new = alleles[0], alleles[genotype[copy]]
            if new in (old, "*"):
                continue
            while min(len(old), len(new)) > 1 and old[-1] == new[-1]:
                old, new = old[:-1], new[:-1]
            edits.append((position, old, new))
        haplotypes.append(_spell(bases, edits, start, stop))
    return sorted(each for each in haplotypes if each is not None)


if __name__ == "__main__":
    main()
