"""A prediction of perturbed cells against measured ones."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from jaxtyping import Bool

from diffbio_core.evaluation.perturbation.baselines import (
    additive_baseline,
    control_baseline,
    mean_baseline,
)
from diffbio_core.evaluation.perturbation.groups import CellGroups, check_values
from diffbio_core.evaluation.perturbation.metrics import Measured, Truth
from diffbio_core.evaluation.perturbation.scores import PerturbationScores
from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.perturbation.modes import check_mode
from diffbio_core.sources.perturbation.names import parts_of

_logger = logging.getLogger(__name__)


def evaluate_perturbations(
    real: Any,
    predicted: Any,
    *,
    training: Any = None,
    pert_col: str = "perturbation",
    control_pert: str = "non-targeting",
    controls: str = "true",
    delimiter: str = "+",
    alpha: float = 0.05,
    profile: str = "full",
) -> PerturbationScores:
    """Compare predicted with measured cells, perturbation by perturbation, beside baselines.

    Args:
        real: Measured cells of one cell type, log1p, controls among them: an AnnData, an `ExpressionTable` or
            `CellGroups`.
        predicted: Predicted cells of the same genes under the same perturbations, log1p.
        training: Cells that baselines learn from, which a model may have been trained on. If None, the mean baseline of
            a perturbation is that of the other measured ones, and single effects are the measured ones.
        pert_col: Column of obs that holds perturbations.
        control_pert: Label of controls.
        controls: What predicted cells are compared with: "true" controls, or "predicted" ones, as cell-eval does, which
            rewards a model whose controls err as its perturbed cells do.
        delimiter: What stands between the names of single perturbations in that of several.
        alpha: False discovery rate below which a gene is significant.
        profile: "full", or "effects" for metrics of means alone.

    Returns:
        Metrics of C4 of the prediction and of the baselines "mean", "control" and, where there are perturbations of
        several genes, "additive".

    Raises:
        InputError: Genes or perturbations that do not fit, no controls, values that are NaN or no log1p; all that is
            wrong at once.
        ValueError: Another `controls` or `profile`.

    Source: cell-eval 0.8.2.
    """
    check_mode("controls", controls, ("true", "predicted"))
    check_mode("profile", profile, ("full", "effects"))
    given = {"real": real, "predicted": predicted} | ({} if training is None else {"training": training})
    groups = {
        name: table if isinstance(table, CellGroups) else _named(CellGroups.of(table, pert_col, control_pert), name)
        for name, table in given.items()
    }
    _check(groups, controls)
    truth_cells = groups["real"]
    guess = groups["predicted"].aligned(truth_cells.genes)
    known = groups["training"].aligned(truth_cells.genes) if "training" in groups else None
    names = truth_cells.perturbations
    truth = Truth(
        names,
        truth_cells,
        truth_cells.cells(truth_cells.control),
        _targets(truth_cells, delimiter),
        alpha,
        profile == "full",
    )
    own_controls = guess.cells(guess.control) if controls == "predicted" else None
    baselines = {
        # The mean says the same of every perturbation; that of the others, which stands in for it, would seem to rank
        # them, by what each is not.
        "mean": Measured(truth.measure(mean_baseline(truth_cells, known)).values, {}),
        "control": truth.measure(control_baseline(truth_cells)),
    }
    additive = additive_baseline(truth_cells, known, delimiter)
    if additive is not None:
        profiles, doubles = additive
        baselines["additive"] = truth.measure(profiles, names=doubles)
    return PerturbationScores(
        perturbations=names,
        cells=tuple((len(truth_cells.rows(name)), len(guess.rows(name))) for name in names),
        controls=controls,
        predicted=truth.measure(guess, controls=own_controls),
        baselines=baselines,
    )


def _named(groups: CellGroups, name: str) -> CellGroups:
    groups.name = name if groups.name == "AnnData" else groups.name
    return groups


def _check(groups: dict[str, CellGroups], controls: str) -> None:
    measured = [group for name, group in groups.items() if name != "predicted"]
    problems = check_values(list(groups.values()), measured=measured)
    if any(not all(group.counts.shape) for group in groups.values()):
        raise InputError(problems)
    real, predicted = groups["real"], groups["predicted"]
    needing = [real] + ([predicted] if controls == "predicted" else [])
    for group in needing:
        if group.labels.code(group.control) is None:
            what = f"has no controls {group.control!r}, but {', '.join(group.perturbations[:8])}"
            problems.append(Problem(group.name, what, "Name the label that controls have."))
    for group in list(groups.values())[1:]:
        try:
            group.aligned(real.genes)
        except InputError as error:
            problems += error.problems
    if not real.perturbations:
        problems.append(Problem(real.name, "has no perturbed cells", "Give cells that were perturbed."))
    if "training" in groups and not groups["training"].perturbations:
        problems.append(Problem(groups["training"].name, "has no perturbed cells", "Give cells to learn from."))
    lacking = sorted(set(real.perturbations) - set(predicted.perturbations))
    if lacking:
        shown = ", ".join(lacking[:8]) + (", ..." if len(lacking) > 8 else "")
        what = f"lacks {len(lacking)} of the {len(real.perturbations)} measured perturbations: {shown}"
        problems.append(Problem(predicted.name, what, "Predict them, or leave them out of the measured cells."))
    if problems:
        raise InputError(problems)
    further = set(predicted.perturbations) - set(real.perturbations)
    if further:
        _logger.info("%s: %d perturbations that were not measured are passed over", predicted.name, len(further))


def _targets(real: CellGroups, delimiter: str) -> Bool[np.ndarray, "perts genes"]:
    """The genes that each perturbation aims at."""
    return np.stack(
        [np.isin(real.genes, [name, *parts_of(name, delimiter, real.control)]) for name in real.perturbations]
    )
