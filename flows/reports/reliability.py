"""Whether QUAL and GQ mean what they say: records in error, by band, beside the errors that they state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pysam

from diffbio_core.evaluation.comparison import Verdict
from diffbio_core.evaluation.records import GenotypedVariant

STEP = 5
"""Width of a band of QUAL or GQ (Phred)."""

LAST = 60
"""Where the last band begins (Phred)."""


@dataclass(frozen=True)
class JudgedCall:
    """A record inside the confident regions.

    Attributes:
        kind: ``SNP`` or ``INDEL``.
        qual: Its QUAL.
        gq: Its GQ.
        false: Whether the truth has none of its haplotypes: QUAL's error.
        wrong: Whether its genotype is not the truth's: GQ's error, and hap.py's.
    """

    kind: str
    qual: float
    gq: float
    false: bool
    wrong: bool


Band = dict[str, float | int | str]
"""``kind``, ``from`` (Phred), ``records``, ``errors`` and the errors ``expected``."""


def reliability(calls: Iterable[JudgedCall]) -> dict[str, list[Band]]:
    """Of ``qual`` and of ``gq``: bands of SNPs and of indels that hold a record, in order; calls may come lazily."""
    bands: dict[tuple[str, str, int], list[float]] = {}
    for call in calls:
        for name, phred, error in (("qual", call.qual, call.false), ("gq", call.gq, call.wrong)):
            low = min(int(phred) // STEP * STEP, LAST)
            counts = bands.setdefault((name, call.kind, low), [0, 0, 0.0])
            counts[0] += 1
            counts[1] += error
            counts[2] += 10 ** (-phred / 10)
    return {
        name: [
            {"kind": kind, "from": low, "records": int(found[0]), "errors": int(found[1]), "expected": found[2]}
            for kind in ("SNP", "INDEL")
            for low in range(0, LAST + 1, STEP)
            if (found := bands.get((name, kind, low)))
        ]
        for name in ("qual", "gq")
    }


def judge(
    variants: Sequence[GenotypedVariant],
    verdicts: Sequence[Verdict],
    qualities: Mapping[tuple[int, str], tuple[float, float]],
) -> Iterator[JudgedCall]:
    """Calls that were compared with a truth, but for those outside its confident regions.

    Args:
        variants: Calls of a contig.
        verdicts: On each.
        qualities: As `stated_qualities` gives them.
    """
    for variant, verdict in zip(variants, verdicts, strict=True):
        stated = qualities.get((variant.position, variant.ref))
        if verdict is not Verdict.UNKNOWN and stated is not None:
            yield JudgedCall(variant.kind, *stated, verdict is Verdict.FALSE, verdict is not Verdict.MATCHED)


def stated_qualities(vcf: Path, contig: str) -> Mapping[tuple[int, str], tuple[float, float]]:
    """QUAL and GQ of each record of a contig by 0-based position and reference allele; 0 where there is none."""
    with pysam.VariantFile(str(vcf)) as file:
        if contig not in file.header.contigs:
            return {}
        records = file.fetch(contig) if file.index is not None else (one for one in file if one.contig == contig)
        return {
            (record.start, str(record.ref)): (record.qual or 0.0, float(record.samples[0].get("GQ") or 0))
            for record in records
        }
