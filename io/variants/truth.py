"""Genotyped variants of a VCF, a truth set's or a caller's, one contig at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pysam

from diffbio_core.calling.alleles import Bases, normalise
from diffbio_core.evaluation.records import GenotypedVariant
from diffbio_core.problems import InputError, Problem

_DIFFERENCES_TOLD = 5


class GenotypedVcf:
    """A VCF or BCF with genotypes of the sample asked for.

    Without an index the whole file is read at the first use, and kept.

    Attributes:
        path: The file.
        sample: Name of the sample whose genotypes are read.

    Args:
        path: VCF, plain or bgzipped, or BCF.
        sample: Its sample; None for the only one.

    Raises:
        InputError: The file is missing, is not VCF, or does not hold that sample (or, without one, holds several).
    """

    def __init__(self, path: str | os.PathLike[str], sample: str | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError([Problem(str(path), "no such file", "Give a VCF file.")])
        try:
            verbosity = pysam.set_verbosity(0)
            try:
                self._file = pysam.VariantFile(str(self.path))
            finally:
                pysam.set_verbosity(verbosity)
        except (OSError, ValueError) as error:
            raise InputError([Problem(str(path), f"cannot be read as VCF ({error})", "Give a VCF file.")]) from error
        samples = list(self._file.header.samples)
        if sample is None and len(samples) != 1:
            what = f"holds {len(samples)} samples" if samples else "holds no sample, so no genotypes"
            remedy = f"Name one of: {', '.join(samples[:8])}." if samples else "Give a VCF with a FORMAT/GT column."
            raise InputError([Problem(str(path), what, remedy)])
        if sample is not None and sample not in samples:
            raise InputError([Problem(str(path), f"has no sample {sample!r}", f"It has: {', '.join(samples)}.")])
        self.sample = sample or samples[0]
        self._file.subset_samples([self.sample])
        self._by_contig: dict[str, list[pysam.VariantRecord]] | None = None

    def variants(self, contig: str, bases: Bases) -> list[GenotypedVariant]:
        """Variants of a contig with their alleles normalised, in the file's order.

        Records without an alternative allele in the genotype, and those whose genotype has an allele that is not a
        sequence (``*``, ``<DEL>``), are left out; a missing allele (``.``) counts as the reference.

        Args:
            contig: Name of the contig.
            bases: Its reference bases.

        Raises:
            InputError: Reference alleles differ from the reference, or the file is damaged.
        """
        variants, differences = [], []
        for record in self._records(contig):
            ref = (record.ref or "N").upper()
            expected = bases(record.start, record.start + len(ref))
            if ref != expected and any(a != b and b != "N" for a, b in zip(ref, expected, strict=True)):
                differences.append(f"{contig}:{record.pos} {ref} (reference {expected})")
                continue
            variant = _genotyped(record, ref, bases)
            if variant is not None:
                variants.append(variant)
        if differences:
            told = "; ".join(differences[:_DIFFERENCES_TOLD])
            what = f"{len(differences)} reference alleles differ from the reference, among them {told}"
            raise InputError([Problem(str(self.path), what, "Give the reference that the VCF was made with.")])
        return variants

    @property
    def contigs(self) -> list[str]:
        """Contigs that the header names, and so all that have records."""
        return [str(contig) for contig in self._file.header.contigs]

    def _records(self, contig: str) -> Iterator[pysam.VariantRecord]:
        try:
            if self._file.index is not None:
                if contig in self._file.index:
                    yield from self._file.fetch(contig)
                return
            if self._by_contig is None:
                self._by_contig = {}
                for record in self._file:
                    self._by_contig.setdefault(record.contig, []).append(record)
        except (OSError, ValueError) as error:
            raise InputError(
                [Problem(str(self.path), f"cannot be read to its end ({error})", "Make it again.")]
            ) from error
        yield from self._by_contig.get(contig, ())


def _genotyped(record: pysam.VariantRecord, ref: str, bases: Bases) -> GenotypedVariant | None:
    genotype = [allele or 0 for allele in record.samples[0].get("GT") or ()]
    if not any(genotype):
        return None
    alleles = [ref, *((alt or "").upper() for alt in record.alts or ())]
    used = sorted(set(genotype) - {0})
    if not all(set(alleles[number]) <= set("ACGTN") and alleles[number] for number in used):
        return None
    position, ref, alts = normalise(record.start, ref, [alleles[number] for number in used], bases)
    spelt = {0: ref, **dict(zip(used, alts, strict=True))}
    first, last = genotype[0], genotype[-1]
    passed = not set(record.filter.keys()) - {"PASS", "."}
    return GenotypedVariant(position, ref, (spelt[first], spelt[last]), passed)
