"""What a prediction must beat: the mean of perturbed cells, nothing happens, and sums of single effects."""

from __future__ import annotations

import numpy as np

from diffbio_core.evaluation.perturbation.groups import CellGroups, ConstantProfiles, Profiles, SameProfiles
from diffbio_core.sources.perturbation.names import parts_of


def mean_baseline(real: CellGroups, training: CellGroups | None) -> Profiles:
    """The mean over perturbations of their mean, whatever the perturbation.

    Args:
        real: What is to be predicted; its sizes are taken.
        training: Cells that may be learnt from. If None, those of the other perturbations of `real`, so that no
            perturbation's own cells are in what it is compared with.
    """
    sizes = {name: len(real.rows(name)) for name in real.perturbations}
    if training is not None:
        known = np.mean([training.mean(name) for name in training.perturbations], axis=0)
        return ConstantProfiles({name: known for name in real.perturbations}, sizes)
    means = {name: real.mean(name) for name in real.perturbations}
    total = np.sum(list(means.values()), axis=0)
    others = max(1, len(means) - 1)
    return ConstantProfiles({name: (total - own) / others for name, own in means.items()}, sizes)


def control_baseline(real: CellGroups) -> Profiles:
    """The controls themselves."""
    return SameProfiles(real.cells(real.control))


def additive_baseline(
    real: CellGroups, training: CellGroups | None, delimiter: str
) -> tuple[Profiles, tuple[str, ...]] | None:
    """Controls and the sum of the effects of single perturbations, for those of several.

    Args:
        real: What is to be predicted.
        training: Cells that single effects are taken from; those of `real` if None.
        delimiter: What stands between the names of single perturbations.

    Returns:
        The profiles and the perturbations that have one; None if none has.
    """
    known = real if training is None else training
    if known.labels.code(known.control) is None:
        return None
    control, own_control = known.mean(known.control), real.mean(real.control)
    profiles = {}
    for name in real.perturbations:
        parts = parts_of(name, delimiter, real.control)
        if len(parts) > 1 and all(part in known.perturbations for part in parts):
            profiles[name] = own_control + np.sum([known.mean(part) - control for part in parts], axis=0)
    if not profiles:
        return None
    return ConstantProfiles(profiles, {name: len(real.rows(name)) for name in profiles}), tuple(profiles)
