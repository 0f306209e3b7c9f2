"""Files of a simulated individual: its reference, truth VCF, haplotypes and confident regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pysam

from diffbio_core.simulation.sequence import decode_bases
from diffbio_core.simulation.variants import Variant

LINE = 60
"""Bases per line of a FASTA."""


def write_fasta(path: Path, sequences: Mapping[str, np.ndarray]) -> None:
    """Write base codes as FASTA; a name that ends in .gz gives a bgzipped file with .fai and .gzi beside it."""
    path = Path(path)
    compressed = path.suffix == ".gz"
    with pysam.BGZFile(str(path), "w") if compressed else path.open("wb") as file:
        for name, codes in sequences.items():
            text = decode_bases(codes)
            lines = [f">{name}", *(text[at : at + LINE] for at in range(0, len(text), LINE))]
            file.write(("\n".join(lines) + "\n").encode("ascii"))
    if compressed:
        pysam.faidx(str(path))


def write_truth(
    path: Path,
    variants: Mapping[str, Sequence[Variant]],
    contig_lengths: Mapping[str, int],
    sample: str = "simulated",
) -> None:
    """Write phased variants as a bgzipped VCF with its tabix index.

    Args:
        path: File to write, named .vcf.gz.
        variants: Per contig, in order of position.
        contig_lengths: Every contig of the reference, in its order (bp).
        sample: Name of the one sample.
    """
    header = pysam.VariantHeader()
    header.add_meta("source", "diffbio simulate")
    for contig, length in contig_lengths.items():
        header.contigs.add(contig, length=length)
    header.formats.add("GT", 1, "String", "Genotype")
    header.add_sample(sample)
    with pysam.VariantFile(str(path), "wz", header=header) as file:
        for contig in contig_lengths:
            for variant in variants.get(contig, ()):
                alleles = (variant.ref, *variant.alts)
                record = file.new_record(contig, variant.start, variant.stop, alleles, filter="PASS")
                record.samples[sample]["GT"] = variant.genotype
                record.samples[sample].phased = True
                file.write(record)
    pysam.tabix_index(str(path), preset="vcf", force=True)


def write_bed(path: Path, intervals: Iterable[tuple[str, int, int]]) -> None:
    """Write 0-based half-open (contig, start, stop) intervals."""
    Path(path).write_text("".join(f"{contig}\t{start}\t{stop}\n" for contig, start, stop in intervals))
