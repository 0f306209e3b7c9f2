"""F1 by class of ``diffbio call``, beside freebayes and bcftools where they are installed.

    python benchmarks/accuracy.py FOLDER... [--regions BED] [--reads NAME] [--others] [--model DIR] [--keep DIR]

A folder holds ``reads.bam``, ``reference.fa.gz``, ``truth.vcf.gz`` and ``confident.bed``, as ``diffbio simulate``
writes them. What passes is judged by haplotypes, as ``diffbio evaluate`` does; of the other callers what has a QUAL of
20. Prints Markdown: F1, missed and false of SNVs and indels, and of records in and out of repeats; and of the records
whose QUAL or GQ is 20 or more, how many are wrong. With ``--verbose``, every missed or false record follows.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pysam

from diffbio_core.evaluation.comparison import Verdict, compare, holds
from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.simulation.repeats import find_tracts
from diffbio_io.reference import Reference
from diffbio_io.regions import read_bed
from diffbio_io.variants.truth import GenotypedVcf

SURE = 20
"""QUAL and GQ from which a record's numbers are held to what they say: one in a hundred wrong."""

CLASSES = ("all", "SNV", "indel", "in repeats", "other")


@dataclass
class Outcome:
    """Counts of one caller on one set.

    Attributes:
        counts: By class and verdict, truth and calls apart.
        sure: Records of QUAL (first) and GQ (second) of at least ``SURE``, and those of them that are wrong.
        faults: One line a missed or false record.
    """

    counts: dict[str, Counter] = field(default_factory=lambda: {name: Counter() for name in CLASSES})
    sure: dict[str, list[int]] = field(default_factory=lambda: {"QUAL": [0, 0], "GQ": [0, 0]})
    faults: list[str] = field(default_factory=list)

    def f1(self, name: str) -> str:
        """F1, and missed + false."""
        found = self.counts[name]
        missed, false = found["FN"], found["FP"]
        total = 2 * found["TP"] + missed + false
        return f"{2 * found['TP'] / total:.4f} ({missed}+{false})" if total else "-"

    def wrong(self, name: str) -> str:
        """Share of wrong records among the sure ones."""
        number, wrong = self.sure[name]
        return f"{wrong}/{number}" if number else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--reads", default="reads.bam", help="name of the reads in each folder")
    parser.add_argument("--regions", type=Path, help="BED in place of each folder's confident.bed")
    parser.add_argument("--model", type=Path, help="model folder; the shipped one if not given")
    parser.add_argument("--others", action="store_true", help="freebayes and bcftools, too")
    parser.add_argument("--keep", type=Path, help="folder to keep the calls in")
    parser.add_argument("--verbose", action="store_true", help="list missed and false records")
    arguments = parser.parse_args()
    print(f"| set | caller | {' | '.join(CLASSES)} | QUAL >= {SURE} wrong | GQ >= {SURE} wrong |")
    print("|---|---|" + "---:|" * (len(CLASSES) + 2))
    with tempfile.TemporaryDirectory() as scratch:
        place = arguments.keep or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        for folder in arguments.folders:
            for name, calls in _called(folder, arguments, place):
                confident = arguments.regions or folder / "confident.bed"
                outcome = judge(folder, calls, confident, calibrated=name == "diffbio")
                cells = [*map(outcome.f1, CLASSES), outcome.wrong("QUAL"), outcome.wrong("GQ")]
                print(f"| {folder.name} | {name} | {' | '.join(cells)} |", flush=True)
                if arguments.verbose:
                    print("\n".join(outcome.faults), file=sys.stderr)


def _called(folder: Path, arguments: argparse.Namespace, place: Path) -> Iterator[tuple[str, Path]]:
    """Calls of each program."""
    reads, reference = folder / arguments.reads, folder / "reference.fa.gz"
    stem = place / f"{folder.name}.{arguments.reads}"
    output = Path(f"{stem}.diffbio.vcf.gz")
    model = ["--model", str(arguments.model)] if arguments.model else []
    files = ["--reads", str(reads), "--reference", str(reference), "--output", str(output)]
    command = [sys.executable, "-m", "diffbio_flows.command", "call", *files, *model]
    _run([*command, "--workers", "1", "--keep-windows", "no", "--force"], output)
    yield "diffbio", output
    bed = str(folder / "confident.bed")
    others = {
        "freebayes": f"freebayes -f {_plain(reference, place)} -t {bed} {reads} | bcftools norm -f {reference} - ",
        "bcftools": f"bcftools mpileup -a AD -f {reference} -R {bed} {reads} | bcftools call -mv - | bcftools norm "
        f"-f {reference} - ",
    }
    for name, pipe in others.items() if arguments.others else ():
        if all(shutil.which(tool) for tool in (name, "bcftools")):
            output = Path(f"{stem}.{name}.vcf.gz")
            filtered = "bcftools view -i 'QUAL>=20' | bcftools sort -Oz -o"
            piped = f"{pipe} | {filtered} {output} && bcftools index -ft {output}"
            _run(["bash", "-o", "pipefail", "-c", piped], output)
            yield name, output


def _plain(reference: Path, place: Path) -> Path:
    """The reference uncompressed, which freebayes wants."""
    plain = place / f"{reference.parent.name}.fa"
    if not plain.exists():
        with pysam.BGZFile(str(reference)) as file:
            plain.write_bytes(file.read())
        pysam.faidx(str(plain))  # type: ignore[attr-defined]
    return plain


def _run(command: list[str], output: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed ({output} was not written):\n{done.stderr[-2000:]}")


def judge(folder: Path, calls: Path, confident: Path, *, calibrated: bool) -> Outcome:
    """Compare the calls of a set with its truth.

    Args:
        folder: The set.
        calls: VCF.
        confident: BED of where the truth is complete.
        calibrated: Whether the calls' QUAL and GQ say how likely a record is wrong.
    """
    outcome = Outcome()
    with Reference(folder / "reference.fa.gz") as fasta:
        regions = read_bed(confident, fasta.contigs)
        truth, called = GenotypedVcf(folder / "truth.vcf.gz"), GenotypedVcf(calls)
        qualities = _qualities(calls)
        for contig, intervals in regions.items():
            bases, length = partial(fasta.sequence, contig), fasta.contigs[contig]
            expected = truth.variants(contig, bases, length)
            found = called.variants(contig, bases, length)
            passed = [variant for variant in found if variant.passed]
            tracts = [(a - 1, b + 1) for a, b in _tracts(fasta, contig, intervals)]
            verdicts = compare(expected, passed, bases, intervals)
            _count(outcome, contig, expected, verdicts.truth, "FN", tracts, qualities)
            _count(outcome, contig, passed, verdicts.calls, "FP", tracts, qualities)
            if calibrated:
                _count_sure(outcome, contig, passed, verdicts.calls, qualities)
    return outcome


def _tracts(fasta: Reference, contig: str, intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Repeats of the intervals, joined where they overlap."""
    found: list[tuple[int, int]] = []
    for start, stop in intervals:
        for low, high in (find_tracts(fasta.codes(contig, start, stop))[:, :2] + start).tolist():
            if found and low <= found[-1][1] + 2:
                found[-1] = found[-1][0], max(high, found[-1][1])
            else:
                found.append((low, high))
    return found


def _qualities(calls: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """QUAL and GQ by place, where a record has both."""
    with pysam.VariantFile(str(calls)) as vcf:
        records = ((record, record.samples[0].get("GQ")) for record in vcf)
        return {(r.chrom, r.start): (r.qual or 0.0, float(gq)) for r, gq in records if gq is not None}


def _count(
    outcome: Outcome,
    contig: str,
    variants: list[GenotypedVariant],
    verdicts: list[Verdict],
    fault: str,
    tracts: list[tuple[int, int]],
    qualities: dict[tuple[str, int], tuple[float, float]],
) -> None:
    for variant, verdict in zip(variants, verdicts, strict=True):
        if verdict is Verdict.UNKNOWN:
            continue
        found = "TP" if verdict is Verdict.MATCHED else fault
        if fault == "FP" and found == "TP":
            continue  # counted on the side of the truth
        kind = "SNV" if variant.kind == "SNP" else "indel"
        place = "in repeats" if holds(tracts, variant.position) else "other"
        for name in ("all", kind, place):
            outcome.counts[name][found] += 1
        if found == fault:
            told = qualities.get((contig, variant.position), ("", "")) if fault == "FP" else ("", "")
            alleles = "/".join(variant.alleles)
            outcome.faults.append(f"{fault} {contig}:{variant.position + 1} {variant.ref} {alleles} {place} {told}")


def _count_sure(
    outcome: Outcome,
    contig: str,
    variants: list[GenotypedVariant],
    verdicts: list[Verdict],
    qualities: dict[tuple[str, int], tuple[float, float]],
) -> None:
    """QUAL says whether there is a variant, GQ whether its genotype is right."""
    for variant, verdict in zip(variants, verdicts, strict=True):
        qual, gq = qualities.get((contig, variant.position), (0.0, 0.0))
        if verdict is Verdict.UNKNOWN:
            continue
        for name, value, right in (
            ("QUAL", qual, verdict in (Verdict.MATCHED, Verdict.FALSE_GENOTYPE)),
            ("GQ", gq, verdict is Verdict.MATCHED),
        ):
            if value >= SURE:
                outcome.sure[name][0] += 1
                outcome.sure[name][1] += not right


if __name__ == "__main__":
    main()
