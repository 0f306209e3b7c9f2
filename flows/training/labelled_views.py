"""Labelled views of a dataset: what the caller is trained on, from reads and truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from diffbio_core.candidates.views import CandidateViews, cut_views
from diffbio_core.training.labels import UNKNOWN, TruthAlleles, label_candidates
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_core.windows.planes import PlaneBuffers
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.alignments.slippage import measure_slippage
from diffbio_io.reference import Reference
from diffbio_io.regions import resolve_regions
from diffbio_io.variants.truth import GenotypedVcf

TRAINING_ROWS = 96
"""Rows of a training view; where more reads cover a candidate, they are thinned by name."""


@dataclass(frozen=True)
class Dataset:
    """Reads with truth, as ``diffbio simulate`` writes them.

    Attributes:
        reads: BAM or CRAM.
        reference: FASTA.
        truth: VCF of all variants in the confident intervals.
        confident: BED of the intervals.
    """

    reads: Path
    reference: Path
    truth: Path
    confident: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Dataset:
        """The dataset that a simulation left in a folder."""
        names = "reads.bam", "reference.fa.gz", "truth.vcf.gz", "confident.bed"
        return cls(*(folder / name for name in names))


@dataclass(frozen=True)
class LabelledViews:
    """Views of candidates with the number of copies that the truth has of each.

    Attributes:
        views: Arrays of ``CandidateViews`` by name.
        labels: 0, 1 or 2 copies.
    """

    views: dict[str, np.ndarray]
    labels: Int8[np.ndarray, "candidates"]

    @classmethod
    def joined(cls, parts: list[LabelledViews]) -> LabelledViews:
        """All of several sets."""
        names = parts[0].views
        views = {name: np.concatenate([part.views[name] for part in parts]) for name in names}
        return cls(views, np.concatenate([part.labels for part in parts]))

    def batches(self, batch_size: int, seed: int = 0) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
        """Go through all candidates in random order, in the form that ``diffbio_core.utils.training.Trainer`` takes.

        Args:
            batch_size: Candidates of each batch; the last is filled with labels of ``UNKNOWN``, which
                ``cross_entropy_loss`` leaves out, so that a step is compiled once.
            seed: Of the order.

        Yields:
            Views, stacked, and ``labels`` (batch_size,).

        Raises:
            ValueError: The batch size is not positive.
        """
        if batch_size <= 0:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        order = np.random.default_rng(seed).permutation(self.labels.size)
        for start in range(0, order.size, batch_size):
            chosen = order[start : start + batch_size]
            labels = np.full(batch_size, UNKNOWN, np.int32)
            labels[: chosen.size] = self.labels[chosen]
            which = np.resize(chosen, batch_size)
            yield {name: values[which] for name, values in self.views.items()}, {"labels": labels}


def labelled_views(dataset: Dataset, grid: WindowGrid | None = None) -> LabelledViews:
    """Views of all candidates in a dataset's confident intervals.

    Raises:
        InputError: A file cannot be used.
    """
    grid = grid or WindowGrid()
    truth, buffers = GenotypedVcf(dataset.truth), PlaneBuffers()
    parts: list[LabelledViews] = [LabelledViews(CandidateViews.empty(0, TRAINING_ROWS).arrays(), np.empty(0, np.int8))]
    with Reference(dataset.reference) as reference, AlignmentReader(dataset.reads, dataset.reference) as reads:
        slippage = measure_slippage(reads, reference)
        for contig, confident in resolve_regions(reference.contigs, bed=dataset.confident).items():
            length = reference.contigs[contig]

            def bases(start: int, stop: int, contig: str = contig) -> str:
                return reference.sequence(contig, start, stop)

            alleles = TruthAlleles(truth.variants(contig, bases), bases)
            for shard in grid.shards(contig, length, confident):
                interval = shard_interval(shard, grid, length, reads.contig_number(contig))
                codes = reference.codes(contig, *interval.scanned)
                found = reads.read(interval, codes)
                planes = pack_shard(found, interval.under(codes), shard, grid, length, buffers)
                planes.slippage = slippage
                labels = label_candidates(planes, alleles, list(confident))
                known = np.flatnonzero(labels != UNKNOWN).astype(np.int32)
                parts.append(LabelledViews(cut_views(planes, known, TRAINING_ROWS).arrays(), labels[known]))
    return LabelledViews.joined(parts)
