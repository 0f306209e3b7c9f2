"""Training sets from the project's own simulator: sequencers, depths and read lengths that differ from set to set.

    python -m diffbio_flows.datasets.simulated --output DIR [--reference FASTA] [--profile NAME]... [--libraries N]

Each profile gets fresh variants on its own slices of the reference; without one, on a random genome of its own. With
``--libraries``, N libraries drawn from the range of ``draw_library`` stand in for the named profiles. Another
``--seed`` draws other slices and variants, into folders of their own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffbio_core.simulation.genome import draw_slices
from diffbio_core.simulation.libraries import draw_library
from diffbio_core.simulation.sequencing import BINNED_QUALITIES, SequencingModel
from diffbio_core.simulation.variants import VariantModel
from diffbio_io.reference import Reference
from diffbio_io.simulation.dataset import simulate_dataset


@dataclass(frozen=True)
class Profile:
    """A sequencing run: depth, read length (bp), size (Mb), and how library and sequencer differ from typical ones."""

    depth: float
    read_length: int
    megabases: float
    model: SequencingModel = field(default_factory=SequencingModel)


READ_MEGABASES = 75.0
"""Bases of reads (Mb) of a library that is drawn."""

MOST_MEGABASES = 3.0
"""Bases of reference (Mb) of such a library at most."""

PROFILES = {
    "hiseq_100_45x": Profile(
        45, 100, 2.0, SequencingModel(fragment_mean=310, fragment_deviation=70, oxidation=3e-4, stalls=5e-4)
    ),
    "novaseq_150_30x": Profile(
        30, 150, 2.4, SequencingModel(quality_bins=BINNED_QUALITIES["novaseq"], error_scale=1.0, duplicates=0.12)
    ),
    "hiseq_150_30x": Profile(30, 150, 2.4, SequencingModel(fragment_mean=420, fragment_deviation=110, error_scale=1.0)),
    "novaseqx_150_35x": Profile(
        35,
        150,
        2.4,
        SequencingModel(quality_bins=BINNED_QUALITIES["novaseq-x"], quality_level=39, stalls=1.5e-4, slippage=0.7),
    ),
    "hiseq_100_20x": Profile(
        20, 100, 2.8, SequencingModel(fragment_mean=280, fragment_deviation=60, oxidation=2e-4, error_scale=1.5)
    ),
    "hiseqx_150_15x": Profile(
        15, 150, 2.8, SequencingModel(quality_bins=BINNED_QUALITIES["hiseq-x"], error_scale=0.7, unevenness=0.2)
    ),
    "hiseq_125_60x": Profile(
        60, 125, 1.4, SequencingModel(fragment_mean=330, fragment_deviation=85, oxidation=3e-4, stalls=5e-4)
    ),
    "miseq_250_22x": Profile(
        22, 250, 2.4, SequencingModel(fragment_mean=450, fragment_deviation=120, quality_level=36, slippage=1.5)
    ),
    "pcr_100_55x": Profile(
        55,
        100,
        1.6,
        SequencingModel(fragment_mean=250, fragment_deviation=60, slippage=2.0, pcr_errors=2e-5, duplicates=0.2),
    ),
}


def main() -> None:
    """Simulate every profile that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="FASTA to draw variants on; random genomes without it")
    parser.add_argument("--output", type=Path, required=True, help="folder; a folder per profile is made in it")
    parser.add_argument("--profile", choices=PROFILES, action="append", help="only these; all by default")
    parser.add_argument("--libraries", type=int, default=0, help="draw so many libraries instead of the profiles")
    parser.add_argument("--rate", type=float, default=1.5, help="variants, as multiple of a human's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    drawn = drawn_profiles(options.libraries, options.seed)
    chosen = drawn or {name: PROFILES[name] for name in options.profile or PROFILES}
    for name, profile in chosen.items():
        seed = options.seed + 1000 * (1 + list(drawn or PROFILES).index(name))
        simulate_dataset(
            options.output / f"own_{name}_seed{options.seed}",
            reference=options.reference,
            regions=slices_of(options.reference, profile, seed) if options.reference else (),
            length=round(profile.megabases * 1e6),
            depth=profile.depth,
            read_length=profile.read_length,
            seed=seed,
            sample=f"own_{name}",
            sequencing=profile.model,
            variants=VariantModel().scaled(options.rate),
            threads=options.threads,
        )
        print(f"{name}: done", flush=True)


def drawn_profiles(number: int, seed: int) -> dict[str, Profile]:
    """Profiles of libraries drawn at random, by name; deep ones get fewer bases of reference."""
    models = [draw_library(np.random.default_rng([seed, index])) for index in range(number)]
    return {
        f"library{index}_{model.read_length}_{model.depth:.0f}x": Profile(
            model.depth, model.read_length, min(MOST_MEGABASES, READ_MEGABASES / model.depth), model
        )
        for index, model in enumerate(models)
    }


def slices_of(reference: Path, profile: Profile, seed: int) -> list[str]:
    """Slices of the reference for a profile, as 1-based regions."""
    with Reference(reference) as fasta:
        genome = {contig: fasta.codes(contig, 0, length) for contig, length in fasta.contigs.items()}
    slices = draw_slices(genome, round(profile.megabases * 1e6), np.random.default_rng(seed))
    return [f"{contig}:{start + 1}-{stop}" for contig, start, stop in slices]


if __name__ == "__main__":
    main()
