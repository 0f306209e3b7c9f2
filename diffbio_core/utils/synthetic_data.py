"""Simulated reads with labels: variants stand in the reads, so that they can be learned."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from diffbio_core.constants import NUM_BASES
from diffbio_core.operators.validation import check_fraction, check_positive

Sample = dict[str, Any]

REFERENCE, SNV, INDEL = range(3)
"""Labels."""


def create_synthetic_training_data(
    num_samples: int = 100,
    num_reads: int = 10,
    read_length: int = 50,
    reference_length: int = 100,
    variant_rate: float = 0.1,
    seed: int = 42,
) -> tuple[list[Sample], list[Sample]]:
    """Make easy samples: half of the variants on one haplotype, half on both, few errors.

    Args:
        num_samples: Samples.
        num_reads: Reads of each.
        read_length: Length of reads (bp).
        reference_length: Length of the reference (bp).
        variant_rate: Variants per position.
        seed: Seed; the same seed gives the same samples.

    Returns:
        Inputs and targets as `create_realistic_training_data`.

    Raises:
        ValueError: A number or length that is not positive, reads longer than the reference, or a rate outside [0, 1].
    """
    return create_realistic_training_data(
        num_samples,
        num_reads,
        read_length,
        reference_length,
        variant_rate,
        heterozygous_rate=0.5,
        error_rate=0.001,
        seed=seed,
    )


def create_realistic_training_data(
    num_samples: int = 100,
    num_reads: int = 20,
    read_length: int = 50,
    reference_length: int = 100,
    variant_rate: float = 0.05,
    heterozygous_rate: float = 0.5,
    error_rate: float = 0.01,
    seed: int = 42,
) -> tuple[list[Sample], list[Sample]]:
    """Make samples of reads drawn from two haplotypes.

    A third of the variants are deletions of one base, the others SNVs. A read over a deletion shows an even mixture of
    all bases there, the soft form of a gap; reads stay on the reference's columns. Qualities are highest in the middle
    of a read, and errors come more often where they are low.

    Args:
        num_samples: Samples.
        num_reads: Reads of each.
        read_length: Length of reads (bp).
        reference_length: Length of the reference (bp).
        variant_rate: Variants per position.
        heterozygous_rate: Fraction of variants that stand on one haplotype only.
        error_rate: Mean fraction of wrong bases.
        seed: Seed; the same seed gives the same samples.

    Returns:
        Inputs: `reads` (num_reads, read_length, 4), `positions` (num_reads,) int, sorted, `quality`
        (num_reads, read_length), Phred 5 to 40, `strand` (num_reads,) int, 0 forward, 1 reverse, `reference`
        (reference_length, 4) one-hot. Targets, (reference_length,) each: `labels` int, 0 reference, 1 SNV, 2 indel;
        `variant_alleles` int, the base that an SNV shows, elsewhere that of the reference; `is_heterozygous` bool.

    Raises:
        ValueError: A number or length that is not positive, reads longer than the reference, or a rate outside [0, 1].
    """
    check_positive(
        "training data",
        num_samples=num_samples,
        num_reads=num_reads,
        read_length=read_length,
        reference_length=reference_length,
    )
    check_fraction(
        "training data", variant_rate=variant_rate, heterozygous_rate=heterozygous_rate, error_rate=error_rate
    )
    if read_length > reference_length:
        raise ValueError(f"read_length must be at most reference_length, got {read_length} and {reference_length}")
    generator = np.random.default_rng(seed)
    samples = [
        _sample(generator, num_reads, read_length, reference_length, variant_rate, heterozygous_rate, error_rate)
        for _ in range(num_samples)
    ]
    return [inputs for inputs, _ in samples], [targets for _, targets in samples]


def _sample(
    generator: np.random.Generator,
    num_reads: int,
    read_length: int,
    reference_length: int,
    variant_rate: float,
    heterozygous_rate: float,
    error_rate: float,
) -> tuple[Sample, Sample]:
    reference = generator.integers(0, NUM_BASES, reference_length)
    is_variant = generator.random(reference_length) < variant_rate
    is_deletion = is_variant & (generator.random(reference_length) < 1 / 3)
    is_snv = is_variant & ~is_deletion
    alleles = np.where(is_snv, (reference + generator.integers(1, NUM_BASES, reference_length)) % NUM_BASES, reference)
    heterozygous = is_variant & (generator.random(reference_length) < heterozygous_rate)
    haplotype = generator.integers(0, 2, reference_length)

    positions = np.sort(generator.integers(0, reference_length - read_length + 1, num_reads))
    columns = positions[:, None] + np.arange(read_length)
    own = generator.integers(0, 2, num_reads)[:, None]
    carries = is_variant[columns] & (~heterozygous[columns] | (haplotype[columns] == own))
    bases = np.where(carries, alleles[columns], reference[columns])

    place = np.linspace(-1, 1, read_length)
    quality = np.clip(35 - 12 * place**2 + generator.normal(0, 3, (num_reads, read_length)), 5, 40)
    likely = 10 ** (-quality / 10)
    wrong = generator.random(bases.shape) < error_rate * likely / likely.mean()
    bases = np.where(wrong, (bases + generator.integers(1, NUM_BASES, bases.shape)) % NUM_BASES, bases)
    reads = np.eye(NUM_BASES, dtype=np.float32)[bases]
    reads = np.where((carries & is_deletion[columns])[..., None], np.float32(1 / NUM_BASES), reads)

    inputs = {
        "reads": jnp.asarray(reads),
        "positions": jnp.asarray(positions, jnp.int32),
        "quality": jnp.asarray(quality, jnp.float32),
        "strand": jnp.asarray(generator.integers(0, 2, num_reads), jnp.int32),
        "reference": jnp.asarray(np.eye(NUM_BASES, dtype=np.float32)[reference]),
    }
    targets = {
        "labels": jnp.asarray(np.where(is_deletion, INDEL, np.where(is_snv, SNV, REFERENCE)), jnp.int32),
        "variant_alleles": jnp.asarray(alleles, jnp.int32),
        "is_heterozygous": jnp.asarray(heterozygous),
    }
    return inputs, targets
