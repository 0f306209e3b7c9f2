"""Controls for every split: no control may serve two, and each split needs some of every cell type."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from diffbio_core.splitters.base import TEST, TRAIN, VALID, Assignment

_SPLITS = (TEST, VALID, TRAIN)  # who comes first where there are fewer controls than splits


def share_controls(
    assignment: Assignment,
    source: Any,
    *,
    by_batch: bool,
    seed: int,
    among: Int[np.ndarray, "n"] | None = None,
) -> None:
    """Divide controls of each file and cell type (and batch) over the splits, in proportion to their perturbed cells.

    Every split that has perturbed cells there gets one at least, test before validation before training. Controls of a
    file and cell type without perturbed cells are trained on.

    Args:
        assignment: Where the perturbed cells are already, and where the controls are put.
        source: Gives the cells' files, types, batches and which are controls.
        by_batch: Whether each batch is divided for itself.
        seed: Seed of the draw.
        among: Numbers of the cells to look at; all that the source yields if None.
    """
    yielded = getattr(source, "cell_indices", slice(None))
    control = np.asarray(source.get_control_mask())[yielded]
    codes = [np.asarray(source.get_cell_type_codes())[yielded]]
    for getter in ("get_file_codes", *(["get_batch_codes"] if by_batch else [])):
        if hasattr(source, getter):
            codes.append(np.asarray(getattr(source, getter)())[yielded])
    looked_at = np.arange(len(control)) if among is None else np.asarray(among)
    strata = np.stack(codes, axis=1)
    generator = np.random.default_rng(seed)
    for stratum in np.unique(strata[looked_at], axis=0):
        cells = looked_at[(strata[looked_at] == stratum).all(axis=1)]
        perturbed = assignment.split[cells[~control[cells]]]
        sizes = np.array([np.count_nonzero(perturbed == split) for split in _SPLITS])
        controls = generator.permutation(cells[control[cells]])
        start = 0
        for split, number in zip(_SPLITS, _shares(len(controls), sizes), strict=True):
            assignment.assign(controls[start : start + number], split, "controls, shared out over the splits")
            start += number


def _shares(controls: int, sizes: Int[np.ndarray, "splits"]) -> list[int]:
    """How many controls each split gets: by largest remainder, and one at least where it has cells."""
    if not sizes.sum():
        return [0, 0, controls]
    quotas = controls * sizes / sizes.sum()
    least = np.zeros(len(sizes), int)
    least[np.flatnonzero(sizes)[:controls]] = 1
    shares = np.maximum(np.floor(quotas).astype(int), least)
    while (over := shares.sum() - controls) != 0:
        gap = np.where((shares > least) | (over < 0), quotas - shares, np.inf)
        shares[np.argmin(gap) if over > 0 else np.argmax(gap)] -= np.sign(over)
    return shares.tolist()
