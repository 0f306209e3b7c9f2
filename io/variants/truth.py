"""Genotyped variants of a VCF, a truth set's or a caller's, one contig at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path

from diffbio_core.calling.alleles import Bases, normalise
from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.problems import InputError, Problem
from diffbio_io.variants.vcf_text import VcfRecord, VcfText

_DIFFERENCES_TOLD = 5
_ABSENT = ("*", "<*>", "<NON_REF>")
_MEANT = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip

_LEFT_OUT = {
    "no GT": "without a genotype (no GT in FORMAT)",
    "ploidy": "with a genotype of more than two alleles",
    "symbolic": "with an allele in the genotype that is not spelt out (such as <DEL>)",
    "IUPAC": "with a letter in the genotype's alleles that is none of A, C, G, T and N",
    "telomere": "at POS 0, before the contig,",
}


class GenotypedVcf:
    """A VCF or BCF with genotypes of the sample asked for, read whole; an index is neither needed nor believed.

    What hap.py does is done: an allele ``*``, which a deletion of another record has taken away, and the ``<*>`` or
    ``<NON_REF>`` of a gVCF say nothing of their own, so that haplotype is as the other records leave it; so does a
    missing allele (``./1``).

    Attributes:
        path: The file.
        sample: Name of the sample whose genotypes are read.
        contigs: Contigs that have records; without any, those that the header names.
        lengths: Length (bp) of contigs for which the header gives one.
        warnings: What was left out of the comparison, and how often.

    Args:
        path: VCF, plain or compressed with bgzip or gzip, or BCF.
        sample: Its sample; None for the only one.
        option: How a user names the sample, for the message that asks for it.
        only: Contigs whose records are wanted; None for all.

    Raises:
        InputError: The file is missing, is not VCF or is damaged, does not hold that sample (or, without one, holds
            several), or holds no genotypes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample: str | None = None,
        option: str = "",
        only: Container[str] | None = None,
    ) -> None:
        self.path = Path(path)
        text = VcfText(path)
        self.sample = _chosen(self.path, text.samples, sample, option)
        self.lengths = text.lengths
        self._by_contig: dict[str, list[VcfRecord]] = {}
        counts: Counter[str] = Counter()
        first: dict[str, int] = {}
        for record in text.records(self.sample, only):
            counts["all"] += 1
            fault = _left_out(record)
            if fault:
                counts[fault] += 1
                first.setdefault(fault, record.line)
            elif any(record.genotype or ()):
                self._by_contig.setdefault(record.contig, []).append(record)
        self.contigs = text.contigs or list(text.lengths)
        if counts["all"] == counts["no GT"] > 0:
            what = f"none of its {counts['all']:,} records has a genotype (GT in FORMAT)"
            raise InputError([Problem(str(path), what, "Give a VCF with genotypes.")])
        self.warnings = tuple(
            Problem(
                str(path),
                f"{count:,} record{'s' * (count > 1)} {_LEFT_OUT[fault]} {'were' if count > 1 else 'was'} left out, "
                f"the first in line {first[fault]}",
                "See that this does not matter.",
            )
            for fault, count in counts.items()
            if fault in _LEFT_OUT
        )

    def variants(
        self, contig: str, bases: Bases, length: int | None = None, within: tuple[int, int] | None = None
    ) -> list[GenotypedVariant]:
        """Variants of a contig with their alleles normalised, in the file's order.

        Records whose genotype has no alternative allele are left out.

        Args:
            contig: Name of the contig.
            bases: Its reference bases.
            length: Its length (bp); None where no record can lie beyond its end.
            within: 0-based half-open interval whose records are wanted, by their first base; None for all.

        Raises:
            InputError: Reference alleles differ from the reference, or lie beyond the contig's end.
        """
        variants, differences = [], []
        for record in self._by_contig.get(contig, ()):
            if within is not None and not within[0] <= record.position < within[1]:
                continue
            ref = record.alleles[0].upper()
            stop = record.position + len(ref)
            if length is not None and stop > length:
                differences.append(f"{contig}:{record.position + 1} {_short(ref)} (the contig ends at {length})")
                continue
            expected = bases(record.position, stop)
            if not all(b == "N" or b in _MEANT.get(a, "") for a, b in zip(ref, expected, strict=True)):
                differences.append(f"{contig}:{record.position + 1} {_short(ref)} (reference {_short(expected)})")
                continue
            variant = _genotyped(record, "".join(map(_known_base, ref, expected)), bases)
            if variant is not None:
                variants.append(variant)
        if differences:
            told = "; ".join(differences[:_DIFFERENCES_TOLD])
            what = f"{len(differences)} reference alleles differ from the reference, among them {told}"
            raise InputError([Problem(str(self.path), what, "Give the reference that the VCF was made with.")])
        return variants


def _chosen(path: Path, samples: list[str], wanted: str | None, option: str) -> str:
    """The sample to read."""
    named = ", ".join(samples[:8]) + (", ..." if len(samples) > 8 else "")
    if wanted is not None and wanted not in samples:
        remedy = f"It has: {named}." if samples else "Give a VCF with a FORMAT/GT column."
        raise InputError([Problem(str(path), f"has no sample {wanted!r}", remedy)])
    if wanted is None and len(samples) != 1:
        what = f"holds {len(samples)} samples" if samples else "holds no sample, so no genotypes"
        remedy = f"Name one of: {named}{f' ({option})' if option else ''}."
        raise InputError([Problem(str(path), what, remedy if samples else "Give a VCF with a FORMAT/GT column.")])
    return samples[0] if wanted is None else wanted


def _left_out(record: VcfRecord) -> str | None:
    """Why a record cannot be compared, as a key of the counts; None where it can, or says nothing."""
    if record.genotype is None:
        return "no GT"
    if not any(record.genotype):
        return None
    if len(record.genotype) > 2:
        return "ploidy"
    if record.position < 0:
        return "telomere"
    for allele in _called(record):
        if not allele.isalpha():
            return "symbolic"
        if set(allele.upper()) - set("ACGTN"):
            return "IUPAC"
    return None


def _called(record: VcfRecord) -> Iterator[str]:
    """Alternative alleles of the genotype that say something."""
    for number in record.genotype or ():
        if number and record.alleles[number] not in _ABSENT:
            yield record.alleles[number]


def _genotyped(record: VcfRecord, ref: str, bases: Bases) -> GenotypedVariant | None:
    """The variant that a record's genotype makes; None where it makes none."""
    called = tuple(_called(record))
    used = sorted({allele.upper() for allele in called} - {ref})
    if not used:
        return None
    first, last = (record.genotype or (0,))[0], (record.genotype or (0,))[-1]
    position, short_ref, alts = normalise(record.position, ref, used, bases)
    spelt = dict(zip(used, alts, strict=True))
    pair = [spelt.get(record.alleles[number].upper(), short_ref) if number else short_ref for number in (first, last)]
    return GenotypedVariant(position, short_ref, (pair[0], pair[1]), record.passed)


def _known_base(told: str, expected: str) -> str:
    """A base of REF; the reference's where REF has a code for several."""
    return told if told in "ACGT" else expected


def _short(allele: str) -> str:
    return allele if len(allele) <= 20 else f"{allele[:17]}..."
