"""Fits what the reads of a repeat weigh beside the classifier: the numbers of ``LengthWeights``.

    python benchmarks/repeat_lengths.py REFERENCE PCR_LIBRARY FOLDER

On 48 simulated libraries, of seeds that neither the recipe nor the validation sets have, and on two of the three pieces
of the real PCR library (the third is for validation). The weights are those under which the true pairs of lengths are
likeliest; wanted is scipy (extra ``expression``). Prints them, and the mean logarithm with and without them.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from diffbio_cluster.environment import worker_environment

# Before JAX is imported: what a worker of one thread has.
os.environ.update(worker_environment())

import numpy as np
import pysam

from diffbio_core.calling.call_stage import CallStage
from diffbio_core.calling.repeat_lengths import FITTED, LengthWeights, RepeatLengths, repeat_lengths
from diffbio_core.models import default_model_path, load_model
from diffbio_core.simulation.genome import draw_slices
from diffbio_core.simulation.libraries import draw_library
from diffbio_core.simulation.variants import VariantModel
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_core.windows.planes import PlaneBuffers
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.alignments.slippage import measure_slippage
from diffbio_io.reference import Reference
from diffbio_io.regions import read_bed
from diffbio_io.simulation.dataset import simulate_dataset

LIBRARIES, FIRST_SEED, BASES = 48, 88_000, 300_000

DEPTHS = ((5.0, 15.0), (15.0, 40.0), (40.0, 80.0))
SLIPPAGE = ((0.2, 1.0), (0.3, 10.0))
"""Bounds that libraries are drawn from, in turn."""

VALIDATION = 18_700_000, 18_900_000
"""The piece of the PCR library (bp) that is validated on."""

LIKELY = np.log(0.9)
"""As in genotyping: what is likelier to have no copy is no allele."""


@dataclass(frozen=True)
class Repeat:
    """A repeat whose pair of lengths is known.

    Attributes:
        lengths: What its reads show.
        changes: Both haplotypes' changes of length, of each genotype.
        classifier: Logarithm of the classifier's probabilities of each genotype.
        true: Place of the true one.
    """

    lengths: RepeatLengths
    changes: np.ndarray
    classifier: np.ndarray
    true: int


def main() -> None:
    """Simulate, collect, fit and print."""
    from scipy.optimize import minimize

    reference, pcr, folder = map(Path, sys.argv[1:])
    repeats = [repeat for place in _simulated(reference, folder) for repeat in known_repeats(place, "reads.bam")]
    repeats += [repeat for reads in ("reads.bam", "reads_24x.bam") for repeat in known_repeats(pcr, reads, VALIDATION)]
    names = [field.name for field in fields(LengthWeights)]
    start = np.array(astuple(FITTED))
    # Rates and shares on a logarithmic scale; each is held near where it starts by as much as one repeat weighs.
    positive = np.array([name != "two_changed" for name in names])

    shares = np.array([name in ("ceiling", "further", "stray") for name in names])

    def weights(place: np.ndarray) -> LengthWeights:
        found = np.where(positive, start * np.exp(place), start + place)
        return LengthWeights(*np.where(shares, np.minimum(found, 0.9), found).tolist())

    def loss(place: np.ndarray) -> float:
        return mean_loss(repeats, weights(place)) + float(np.sum(place**2)) / len(repeats)

    options = {"maxiter": 6, "xtol": 1e-2, "ftol": 1e-4}
    found = weights(minimize(loss, np.zeros(start.size), method="Powell", options=options).x)
    for name, value in zip(names, astuple(found), strict=True):
        print(f"{name:<16}{value:.4g}")
    alone = LengthWeights(classifier=1.0, reads=0.0, two_changed=0.0)
    print(f"{len(repeats)} repeats; classifier alone {mean_loss(repeats, alone):.4f}, ", end="")
    print(f"as in the code {mean_loss(repeats, FITTED):.4f}, fitted {mean_loss(repeats, found):.4f}")


def mean_loss(repeats: list[Repeat], weights: LengthWeights) -> float:
    """Mean negative logarithm of the probability of the true pairs of lengths."""
    logs = []
    for repeat in repeats:
        found = weights.classifier * repeat.classifier + repeat.lengths.log_weights(repeat.changes, weights)
        logs.append(found[repeat.true] - np.logaddexp.reduce(found))
    return -float(np.mean(logs))


def _simulated(reference: Path, folder: Path) -> Iterator[Path]:
    """Folders of the simulated libraries, made where they are not there."""
    with Reference(reference) as fasta:
        genome = {contig: fasta.codes(contig, 0, length) for contig, length in fasta.contigs.items()}
    for number in range(LIBRARIES):
        place, seed = folder / f"lib{number:02d}", FIRST_SEED + number
        if not any(place.glob("reads.bam.?[as]i")):
            slippage = SLIPPAGE[number % len(SLIPPAGE)]
            library = draw_library(np.random.default_rng(seed), DEPTHS[number % len(DEPTHS)], slippage)
            slices = draw_slices(genome, BASES, np.random.default_rng(seed))
            simulate_dataset(
                place,
                reference=reference,
                regions=[f"{contig}:{start + 1}-{stop}" for contig, start, stop in slices],
                depth=library.depth,
                read_length=library.read_length,
                seed=seed,
                sample=place.name,
                sequencing=library,
                variants=VariantModel().scaled(1.5),
            )
        print(place.name, file=sys.stderr)
        yield place


def known_repeats(folder: Path, reads: str, without: tuple[int, int] = (0, 0)) -> Iterator[Repeat]:
    """Repeats of a set in which indels are likely and nothing overlaps them.

    Args:
        folder: The set, see ``benchmarks/accuracy.py``.
        reads: Name of its reads.
        without: Positions (bp) that are left out.
    """
    grid, buffers, stage = WindowGrid(), PlaneBuffers(), CallStage(load_model(default_model_path()))
    with tempfile.TemporaryDirectory() as scratch:
        fasta = Reference(folder / "reference.fa.gz", Path(scratch))
        bam = AlignmentReader(folder / reads, str(fasta.indexed))
        slippage, truth = measure_slippage(bam, fasta), _true_lengths(folder / "truth.vcf.gz")
        for contig, intervals in read_bed(folder / "confident.bed", fasta.contigs).items():
            wanted = [(start, stop) for start, stop in intervals if not without[0] <= start < without[1]]
            length = fasta.contigs[contig]
            for shard in grid.shards(contig, length, wanted):
                interval = shard_interval(shard, grid, length, bam.contig_number(contig))
                codes = fasta.codes(contig, *interval.scanned)
                found = bam.read(interval, codes)
                planes = pack_shard(found, interval.under(codes), shard, grid, length, buffers)
                planes.slippage = slippage
                for position, column in _likely_columns(planes, stage(planes).log_probabilities):
                    if any(start <= position < stop for start, stop in wanted):
                        pair = truth.get((contig, position), (0, 0))
                        yield from _known(column, pair)


def _likely_columns(planes, logs: np.ndarray) -> Iterator[tuple[int, tuple[RepeatLengths, np.ndarray]]]:
    """Position, and the repeat with its alleles' logarithms, of likely indels that nothing else likely overlaps."""
    table, width = planes.candidates, planes.grid.reference_length
    likely = np.flatnonzero(logs[:, 0] < LIKELY)
    first = planes.shard.first_window * width - planes.grid.halo
    position = first + table.window[likely].astype(np.int64) * width + table.column[likely]
    stop = position + 1 + np.maximum(-table.length[likely], 0)
    for here in np.unique(position[table.length[likely] != 0]):
        at = position == here
        overlapping = (position < stop[at].max()) & (stop > here) & ~at
        if (table.length[likely[at]] != 0).all() and not overlapping.any():
            for repeat in repeat_lengths(planes, likely[at].tolist()):
                yield int(here), (repeat, logs[likely[at]])


def _known(column: tuple[RepeatLengths, np.ndarray], pair: tuple[int, int] | None) -> Iterator[Repeat]:
    """The repeat, if the true lengths are among those that are likely."""
    repeat, logs = column
    lengths = sorted({0, *repeat.change.tolist()})
    changes = np.array(list(itertools.combinations_with_replacement(lengths, 2)))
    copies = (changes[:, :, None] == repeat.change).sum(1)
    classifier = logs[np.arange(len(logs)), copies].sum(1)
    true = np.flatnonzero((changes == pair).all(1)) if pair is not None else np.empty(0, int)
    if true.size:
        yield Repeat(repeat, changes, classifier, int(true[0]))


def _true_lengths(path: Path) -> dict[tuple[str, int], tuple[int, int] | None]:
    """Changes of length of both haplotypes by position; None where a record changes more than that."""
    found: dict[tuple[str, int], tuple[int, int] | None] = {}
    with pysam.VariantFile(str(path)) as records:
        for record in records:
            alleles = [
                (record.alleles or (record.ref,))[number] for number in record.samples[0]["GT"] if number is not None
            ]
            plain = len(alleles) == 2 and all(allele[0] == (record.ref or "")[0] for allele in alleles)
            changes = sorted(len(allele) - len(record.ref or "") for allele in alleles)
            found[record.chrom, record.pos - 1] = (changes[0], changes[1]) if plain else None
    return found


if __name__ == "__main__":
    main()
