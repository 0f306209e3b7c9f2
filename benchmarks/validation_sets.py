"""The simulated validation sets of docs/accuracy.md: to choose on, never trained on.

    python benchmarks/validation_sets.py REFERENCE FOLDER
    python benchmarks/accuracy.py FOLDER/* [--model DIR]

Slices of a reference with half as many variants again as a human has, drawn from seeds that no recipe uses. The two
sets with reads of other lengths stand for libraries that no set of the recipe is exactly like.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from diffbio_core.simulation.genome import draw_slices
from diffbio_core.simulation.sequencing import SequencingModel
from diffbio_core.simulation.variants import VariantModel
from diffbio_io.reference import Reference
from diffbio_io.simulation.dataset import simulate_dataset

PCR = {"slippage": 4.0, "homopolymer_slippage": 4.0, "slippage_growth": 0.7, "slippage_gains": 0.65}
"""Slippage of a PCR library, see docs/accuracy.md."""

SETS: dict[str, tuple[int, int, SequencingModel]] = {
    "30x": (77001, 500_000, SequencingModel(depth=30.0)),
    "15x": (77002, 400_000, SequencingModel(depth=15.0, slippage=1.5)),
    "30x-as-pcr": (77003, 400_000, SequencingModel(depth=30.0, **PCR)),
    "8x": (77004, 400_000, SequencingModel(depth=8.0)),
    "24x-2x100": (77005, 400_000, SequencingModel(depth=24.0, read_length=100, slippage=0.5)),
    "50x-2x100-steep": (
        77006,
        400_000,
        SequencingModel(depth=50.0, read_length=100, slippage=0.3, slippage_growth=1.3),
    ),
    "100x": (77007, 200_000, SequencingModel(depth=100.0)),
}
"""Seed, bases and library of each."""


def main() -> None:
    """Makes them, those that are there already left as they are."""
    reference, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with Reference(reference) as fasta:
        genome = {contig: fasta.codes(contig, 0, length) for contig, length in fasta.contigs.items()}
    for name, (seed, bases, library) in SETS.items():
        if (folder / name / "reads.bam.bai").exists() or (folder / name / "reads.bam.csi").exists():
            continue
        slices = draw_slices(genome, bases, np.random.default_rng(seed))
        simulate_dataset(
            folder / name,
            reference=reference,
            regions=[f"{contig}:{start + 1}-{stop}" for contig, start, stop in slices],
            depth=library.depth,
            read_length=library.read_length,
            seed=seed,
            sample=name,
            sequencing=library,
            variants=VariantModel().scaled(1.5),
        )
        print(name, flush=True)


if __name__ == "__main__":
    main()
