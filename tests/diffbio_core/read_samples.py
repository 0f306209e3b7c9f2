"""Small samples of reads, and what several tests do with operators."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def read_sample(num_reads=12, read_length=8, reference_length=20, seed=0):
    """Soft bases, sorted starts that fit on the reference, qualities from 5 to 40."""
    generator = np.random.default_rng(seed)
    return {
        "reads": jnp.asarray(generator.dirichlet(np.ones(4), (num_reads, read_length)), float),
        "positions": jnp.asarray(
            np.sort(generator.integers(0, reference_length - read_length + 1, num_reads)), jnp.int32
        ),
        "quality": jnp.asarray(generator.uniform(5, 40, (num_reads, read_length)), float),
    }


def in_float64(tree):
    """The same arrays in double precision; integers stay."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )


def largest_difference(first, second):
    """Largest absolute difference between two arrays."""
    return float(np.abs(np.asarray(first, float) - np.asarray(second, float)).max())
