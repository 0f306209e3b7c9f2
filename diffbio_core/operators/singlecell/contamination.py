"""How much of a group of cells the soup can be at most: genes that the group does not make set the bound."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from diffbio_core.operators.singlecell.kmeans import kmeans
from diffbio_core.sources.matrix import CountMatrix

_MOST_GROUPS = 20
_CELLS_PER_GROUP = 50
_PROJECTIONS = 30
_TELLING_COUNTS = 100.0
"""Counts that a gene would have in a group made of soup alone, for it to say anything about a few per cent."""

_LOWEST_SHARE = 0.2
"""The bound is told by the fifth of the telling genes with the lowest ratios: one gene alone is chance."""

_RANGE = (1e-4, 0.9)


def pooled_contamination(
    counts: CountMatrix, ambient_profile: Float[np.ndarray, "genes"], *, seed: int = 0
) -> Float[np.ndarray, "cells"]:
    """Contamination of each cell's group of similar cells.

    In a group's pooled counts, a gene that its cells do not make is found through the soup alone, and its share over
    the profile's is the contamination; in genes that they do make it is larger. So the genes with the lowest ratios
    tell it, in the manner of DropletUtils' maximumAmbience.

    Args:
        counts: Cells by genes.
        ambient_profile: Share of each gene in the soup; sums to 1.
        seed: Of the groups.
    """
    cells, genes = counts.shape
    random = np.random.default_rng(seed)
    axes = random.normal(size=(genes, _PROJECTIONS)) / np.sqrt(genes)
    places = np.empty((cells, _PROJECTIONS), np.float32)
    for rows, _ in counts.blocks():
        values = counts.rows(rows).astype(float)
        places[rows] = np.log1p(1e4 * values / np.maximum(values.sum(axis=1, keepdims=True), 1)) @ axes
    groups = int(np.clip(cells // _CELLS_PER_GROUP, 1, _MOST_GROUPS))
    group = np.asarray(kmeans(jax.random.key(seed), jnp.asarray(places), groups, restarts=3)[1])
    pooled = np.zeros((groups, genes))
    for rows, _ in counts.blocks():
        np.add.at(pooled, group[rows], counts.rows(rows))
    expected = pooled.sum(axis=1, keepdims=True) * ambient_profile
    found = np.full(groups, _RANGE[0])
    for number in range(groups):
        telling = expected[number] >= _TELLING_COUNTS
        if telling.any():
            seen, possible = pooled[number, telling], expected[number, telling]
            lowest = np.argsort(seen / possible, kind="stable")[: max(1, round(_LOWEST_SHARE * seen.size))]
            found[number] = seen[lowest].sum() / possible[lowest].sum()
    return np.clip(found, *_RANGE)[group]
