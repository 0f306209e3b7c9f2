"""Droplets of two cells, made from droplets of one."""

from __future__ import annotations

import jax
from jaxtyping import Array, Float


def simulated_doublets(key: Array, counts: Float[Array, "cells genes"], number: int) -> Float[Array, "doublets genes"]:
    """Counts of random pairs of different cells, added up.

    Args:
        key: PRNG key.
        counts: Cells, two at least.
        number: Pairs to draw.
    """
    first_key, other_key = jax.random.split(key)
    cells = counts.shape[0]
    first = jax.random.randint(first_key, (number,), 0, cells)
    other = (first + jax.random.randint(other_key, (number,), 1, cells)) % cells
    return counts[first] + counts[other]
