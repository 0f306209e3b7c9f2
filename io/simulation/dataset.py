"""Simulated datasets: a reference, aligned reads of an individual, its variants, and where they are known."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import mappy
import numpy as np
import pysam

from diffbio_core.simulation.coverage import bin_weights, depth_field, draw_fragments
from diffbio_core.simulation.genome import DivergedCopy, draw_diverged_copies, random_reference
from diffbio_core.simulation.pedigree import PERSONS, draw_trio
from diffbio_core.simulation.reads import SequencerBias, draw_read_pairs
from diffbio_core.simulation.sequence import decode_bases
from diffbio_core.simulation.sequencing import SequencingModel
from diffbio_core.simulation.variants import Variant, VariantModel, apply_variants, draw_variants
from diffbio_core.whole_file import put_in_place
from diffbio_io.files.locks import locked_folder
from diffbio_io.reference import Reference
from diffbio_io.regions import Intervals, resolve_regions
from diffbio_io.simulation.pair_alignment import Mate, PairAligner

MARGIN = 1_000
"""Bases at the ends of known sequence that are left out of the confident regions: coverage falls off there."""

BLOCK = 500
"""Bins of 100 bp whose fragments one task draws and aligns."""

LINE = 60
"""Bases per line of a FASTA file."""

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SimulatedDataset:
    """Files of a simulated individual, each with its index beside it.

    Attributes:
        reference: Bgzipped FASTA.
        reads: Sorted BAM.
        truth: Bgzipped VCF of all variants, phased.
        confident: BED of where the truth is complete and covered.
    """

    reference: Path
    reads: Path
    truth: Path
    confident: Path


def simulate_dataset(
    output: str | os.PathLike[str],
    *,
    reference: str | os.PathLike[str] | None = None,
    regions: Sequence[str] = (),
    length: int = 1_000_000,
    contigs: int = 1,
    depth: float = 30.0,
    read_length: int = 150,
    seed: int = 1,
    sample: str = "simulated",
    sequencing: SequencingModel | None = None,
    variants: VariantModel | Mapping[str, Sequence[Variant]] | None = None,
    threads: int | None = None,
    progress: Report = lambda stage, done, steps: None,
) -> SimulatedDataset:
    """Simulate an individual and its sequencing, and write what a caller and its judge need.

    The same arguments give the same bytes, whatever the number of threads.

    Args:
        output: Folder for the files, made if missing; files of the same names in it are replaced.
        reference: FASTA to draw variants on; a random genome with repeats by default.
        regions: Parts of the reference to simulate, such as ``chr20:1-2,000,000`` (1-based, both ends in); all of it
            by default. The dataset's reference holds the contigs that they touch, whole.
        length: Length of each contig of a random genome (bp).
        contigs: Number of contigs of a random genome, named chr1, chr2, ...
        depth: Mean coverage by reads that are not duplicates.
        read_length: Length of both mates (bp).
        seed: Seed of all randomness.
        sample: Name of the individual, in the BAM and in the VCF.
        sequencing: Library and sequencer; its depth and read length are replaced by those above.
        variants: Rates of variants, a human's by default; or the variants themselves, by contig, in order.
        threads: Threads to align with, one per CPU by default.
        progress: Told a stage's name, how many of its steps are done, and how many there are.

    Returns:
        Where the files lie.

    Raises:
        ValueError: A number makes no sense.
        InputError: The reference or a region is missing or wrong, or another process writes to the folder.
    """
    model = dataclasses.replace(sequencing or SequencingModel(), depth=depth, read_length=read_length)
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    progress("drawing variants", 0, 1)
    genome, wanted = _genome(reference, regions, length, contigs, seed)
    individual = _Individual.draw(genome, wanted, variants or VariantModel(), model, seed)
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    remedy = "Wait for it, or choose another folder."
    with locked_folder(output / ".simulate", str(output), remedy) as scratch:
        aside = _dataset_in(scratch)
        write_fasta(aside.reference, genome)
        write_truth(aside.truth, individual.variants, {name: len(codes) for name, codes in genome.items()}, sample)
        write_bed(aside.confident, confident_intervals(genome, wanted, individual.collapsed))
        _write_reads(aside.reads, genome, individual, model, seed, sample, threads or os.cpu_count() or 1, progress)
        for file in sorted(scratch.iterdir()):
            put_in_place(file, output / file.name)
    return _dataset_in(output)


def simulate_trio(
    output: str | os.PathLike[str], *, length: int = 1_000_000, contigs: int = 1, seed: int = 1, **fields: Any
) -> dict[str, SimulatedDataset]:
    """Simulate a father, a mother and their child, who has one haplotype of each, on one random genome.

    Args:
        output: Folder; gets a folder per person, named father, mother and child.
        length: Length of each contig (bp).
        contigs: Number of contigs.
        seed: Seed of all randomness.
        **fields: Further arguments of `simulate_dataset`, but for reference, sample and variants.

    Returns:
        Where the files of each person lie; the reference is that of all three.
    """
    genome, wanted = _genome(None, (), length, contigs, seed)
    rng = np.random.default_rng([seed, 4])
    family: dict[str, dict[str, list[Variant]]] = {name: {} for name in PERSONS}
    for contig in wanted:
        # As dense as a person's are, though each person has some of them only.
        sites = draw_variants(genome[contig], VariantModel().scaled(1.5), rng)
        for name, variants in zip(PERSONS, draw_trio(sites, rng), strict=True):
            family[name][contig] = variants
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    write_fasta(output / "reference.fa.gz", genome)
    return {
        name: simulate_dataset(
            output / name,
            reference=output / "reference.fa.gz",
            sample=name,
            seed=3 * seed + number,
            variants=variants,
            **fields,
        )
        for number, (name, variants) in enumerate(family.items())
    }


def write_fasta(path: Path, sequences: Mapping[str, np.ndarray]) -> None:
    """Write base codes as FASTA; a name that ends in .gz gives a bgzipped file with .fai and .gzi beside it."""
    compressed = path.suffix == ".gz"
    with pysam.BGZFile(str(path), "w", None) if compressed else path.open("wb") as file:
        for name, codes in sequences.items():
            text = decode_bases(codes)
            lines = [f">{name}", *(text[at : at + LINE] for at in range(0, len(text), LINE))]
            file.write(("\n".join(lines) + "\n").encode("ascii"))
    if compressed:
        pysam.faidx(str(path))  # type: ignore[attr-defined]


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
    path.write_text("".join(f"{contig}\t{start}\t{stop}\n" for contig, start, stop in intervals))


def confident_intervals(
    genome: Mapping[str, np.ndarray],
    wanted: Mapping[str, Intervals],
    collapsed: Mapping[str, Sequence[tuple[int, int]]] | None = None,
) -> Iterator[tuple[str, int, int]]:
    """Known sequence of the wanted intervals, without what no caller can tell.

    Left out are the ends of each run, where coverage falls off, and segments of which the individual has a copy that
    the reference lacks, as truth sets of real individuals leave them out.
    """
    for contig, intervals in wanted.items():
        unsure = (collapsed or {}).get(contig, ())
        for start, stop in intervals:
            edges = np.flatnonzero(np.diff(genome[contig][start:stop] < 4, prepend=False, append=False)) + start
            for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                margin = min(MARGIN, (high - low) // 10)
                yield from ((contig, *part) for part in _without((low + margin, high - margin), unsure))


def _without(interval: tuple[int, int], removed: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """An interval less some others."""
    start, stop = interval
    for low, high in sorted(removed):
        if start < min(low, stop):
            yield start, min(low, stop)
        start = max(start, high)
    if start < stop:
        yield start, stop


@dataclass(frozen=True)
class _Source:
    """A sequence that reads come from: a haplotype of a region, or a diverged copy."""

    sequence: np.ndarray
    weights: np.ndarray
    depth: float


@dataclass(frozen=True)
class _Individual:
    """What an individual's reads are drawn from.

    Attributes:
        variants: Per contig.
        sources: Sequences that reads come from.
        decoys: Copies that the aligner knows of, by a name that no contig of the dataset has.
        collapsed: Per contig, segments with a copy that it does not know, widened by what its reads reach.
    """

    variants: dict[str, list[Variant]]
    sources: list[_Source]
    decoys: dict[str, np.ndarray]
    collapsed: dict[str, list[tuple[int, int]]]

    @classmethod
    def draw(
        cls,
        genome: Mapping[str, np.ndarray],
        wanted: Mapping[str, Intervals],
        variants: VariantModel | Mapping[str, Sequence[Variant]],
        model: SequencingModel,
        seed: int,
    ) -> _Individual:
        rates = variants if isinstance(variants, VariantModel) else VariantModel()
        given = {} if isinstance(variants, VariantModel) else variants
        individual = cls({contig: [] for contig in wanted}, [], {}, {contig: [] for contig in wanted})
        rng = np.random.default_rng([seed, 1])
        for contig, start, stop in ((name, *interval) for name, spans in wanted.items() for interval in spans):
            if isinstance(variants, VariantModel):
                drawn = draw_variants(genome[contig], rates, rng, (start, stop))
            else:
                drawn = [v for v in given.get(contig, ()) if start <= v.start and v.stop <= stop]
            individual.variants[contig] += drawn
            field = depth_field(stop - start, model, rng)
            for haplotype in (0, 1):
                sequence = apply_variants(genome[contig], drawn, haplotype, (start, stop))
                weights = bin_weights(sequence, field, model)
                individual.sources.append(_Source(sequence, weights, model.depth / 2))
            segment = genome[contig][start:stop]
            for rate, known in ((model.diverged_copies, True), (model.collapsed_copies, False)):
                for copy in draw_diverged_copies(segment, rate, known, rng):
                    individual._add_copy(copy, rates, model, rng)
                    if not known:
                        low, high = (start + place for place in copy.origin)
                        individual.collapsed[contig].append((low - MARGIN, high + MARGIN))
        return individual

    def _add_copy(
        self, copy: DivergedCopy, rates: VariantModel, model: SequencingModel, rng: np.random.Generator
    ) -> None:
        """An individual differs from the copy that the aligner knows as it does from any reference."""
        drawn = draw_variants(copy.sequence, rates, rng)
        for haplotype in range(copy.copies):
            sequence = apply_variants(copy.sequence, drawn, haplotype)
            weights = bin_weights(sequence, np.ones(1), model)
            self.sources.append(_Source(sequence, weights, model.depth / 2))
        if copy.known:
            self.decoys[f"diverged-copy-{len(self.decoys)}"] = copy.sequence


def _genome(
    reference: str | os.PathLike[str] | None, regions: Sequence[str], length: int, contigs: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, Intervals]]:
    if reference is None:
        if contigs < 1:
            raise ValueError(f"contigs must be at least 1, got {contigs}")
        genome = {
            f"chr{number}": random_reference(length, np.random.default_rng([seed, 0, number]))
            for number in range(1, contigs + 1)
        }
        return genome, resolve_regions({name: len(codes) for name, codes in genome.items()}, regions)
    with Reference(reference) as fasta:
        wanted = resolve_regions(fasta.contigs, regions)
        return {contig: fasta.codes(contig, 0, fasta.contigs[contig]) for contig in wanted}, wanted


def _write_reads(
    path: Path,
    genome: Mapping[str, np.ndarray],
    individual: _Individual,
    model: SequencingModel,
    seed: int,
    sample: str,
    threads: int,
    progress: Report,
) -> None:
    header = pysam.AlignmentHeader.from_dict(
        {
            "HD": {"VN": "1.6", "SO": "unsorted"},
            "SQ": [{"SN": name, "LN": len(codes)} for name, codes in genome.items()],
            "RG": [{"ID": sample, "SM": sample, "PL": "ILLUMINA", "LB": sample}],
            "PG": [{"ID": "diffbio-simulate", "PN": "diffbio"}, {"ID": "minimap2", "VN": mappy.__version__}],
        }
    )
    bias = SequencerBias.draw(model, np.random.default_rng([seed, 2]))
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        fasta, unsorted = Path(scratch, "aligner.fa"), Path(scratch, "unsorted.bam")
        write_fasta(fasta, {**genome, **individual.decoys})
        aligner = PairAligner(fasta, individual.decoys.keys(), sample)

        def sequence_block(task: tuple[int, int]) -> list[str]:
            return _sequence_block(individual.sources[task[0]], task, model, bias, aligner, seed)

        tasks = [
            (number, first)
            for number, source in enumerate(individual.sources)
            for first in range(0, len(source.weights), BLOCK)
        ]
        with (
            pysam.AlignmentFile(str(unsorted), "wbu", header=header) as bam,
            ThreadPoolExecutor(threads) as pool,
        ):
            running: deque = deque()
            waiting = iter(tasks)
            for done in range(len(tasks)):
                progress("sequencing and aligning", done, len(tasks))
                # A few blocks ahead of the writer are enough to keep the threads busy.
                for task in islice(waiting, 2 * threads + 1 - len(running)):
                    running.append(pool.submit(sequence_block, task))
                _write_lines(bam, running.popleft().result())
        progress("sorting reads", 0, 1)
        pysam.sort("--no-PG", "-m", "256M", "-o", str(path), str(unsorted))  # type: ignore[attr-defined]
    pysam.index(str(path))  # type: ignore[attr-defined]


def _sequence_block(
    source: _Source,
    task: tuple[int, int],
    model: SequencingModel,
    bias: SequencerBias,
    aligner: PairAligner,
    seed: int,
) -> list[str]:
    """SAM lines of the pairs whose fragments start in one block of a source."""
    number, first = task
    rng = np.random.default_rng([seed, 3, number, first])
    bins = first, min(first + BLOCK, len(source.weights))
    fragments = draw_fragments(len(source.sequence), source.weights, bins, source.depth, model, rng)
    pairs = draw_read_pairs(source.sequence, fragments, model, bias, rng)
    bases = decode_bases(pairs.bases)
    qualities = (pairs.qualities + 33).tobytes().decode("ascii")
    buffer, cycles, lines = mappy.ThreadBuffer(), model.read_length, []
    for row, duplicate in enumerate(pairs.duplicate.tolist()):
        cuts = [slice(at, at + cycles) for at in (2 * row * cycles, (2 * row + 1) * cycles)]
        mates = Mate(bases[cuts[0]], qualities[cuts[0]]), Mate(bases[cuts[1]], qualities[cuts[1]])
        lines += aligner.sam_lines(f"{number}:{first}:{row}", mates, duplicate, buffer)
    return lines


def _write_lines(bam: pysam.AlignmentFile, lines: Iterable[str]) -> None:
    for line in lines:
        bam.write(pysam.AlignedSegment.fromstring(line, bam.header))


def _dataset_in(folder: Path) -> SimulatedDataset:
    return SimulatedDataset(
        folder / "reference.fa.gz", folder / "reads.bam", folder / "truth.vcf.gz", folder / "confident.bed"
    )
