"""What a matrix's values are, and small things that the documents name beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from diffbio_core.sources.matrix import CountMatrix

_LOG_MAXIMUM = 15.0  # log1p of 3.3 million


def is_discrete_counts(x: Any, n_cells: int = 100) -> bool:
    """Whether the sums of the first rows are whole numbers, as those of raw counts are.

    Args:
        x: Values (cells, genes), dense or sparse.
        n_cells: Rows to look at.
    """
    sums = np.asarray(x[:n_cells].sum(axis=1))
    return bool((np.abs(sums - np.round(sums)) < 1e-7).all())


def is_log_transformed(x: Any) -> bool:
    """Whether no value reaches 15, as log1p of a count hardly does."""
    return bool(x.max() < _LOG_MAXIMUM)


def looks_logarithmic(counts: CountMatrix, log_scale: bool | None) -> bool:
    """Whether a matrix holds log1p values rather than counts.

    Counts of shallow cells stay below 15, too, and counts of which some were scaled are not all whole numbers: values
    are taken for logarithms where none reaches 15 and fewer than half of those that are not 0 are whole.

    Args:
        counts: The matrix.
        log_scale: What its file says.
    """
    if log_scale is not None:
        return log_scale
    for _, block in counts.blocks():
        values = getattr(block, "data", block) if not isinstance(block, np.ndarray) else block
        values = values[values != 0]
        if len(values):
            whole = np.count_nonzero(values == np.round(values))
            return bool(values.max() < _LOG_MAXIMUM and 2 * whole < len(values))
    return False


def generate_onehot_map(keys: Iterable[str]) -> dict[str, Float[Array, "keys"]]:
    """A one-hot vector by key, in sorted order."""
    names = sorted(set(keys))
    return dict(zip(names, jnp.eye(len(names), dtype=float), strict=True))


def split_perturbations_by_cell_fraction(
    pert_groups: Mapping[str, Int[np.ndarray, "cells"]], val_fraction: float, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Divide perturbations so that those for validation hold about a fraction of all cells.

    In random order, a perturbation joins them where that brings their number of cells nearer to what is wanted.

    Args:
        pert_groups: Cells by perturbation.
        val_fraction: Fraction of cells wanted.
        rng: Gives the order.

    Returns:
        Perturbations for training and for validation.
    """
    names = list(pert_groups)
    wanted = val_fraction * sum(map(len, pert_groups.values()))
    validation: set[str] = set()
    held = 0
    for place in rng.permutation(len(names)):
        size = len(pert_groups[names[place]])
        if abs(held + size - wanted) < abs(held - wanted):
            validation.add(names[place])
            held += size
    return [name for name in names if name not in validation], [name for name in names if name in validation]
