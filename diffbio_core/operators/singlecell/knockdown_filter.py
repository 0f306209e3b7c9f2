"""Quality control of perturbation experiments: was the gene knocked down that was meant?"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from diffbio_core.operators.validation import check_positive
from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.perturbation.cells import CellSource, ExperimentCells
from diffbio_core.sources.perturbation.scale import looks_logarithmic
from diffbio_core.structural import StructuralConfig

_logger = logging.getLogger(__name__)

KEPT = "kept"
CONTROL = "control"
NOT_MEASURED = "target gene not measured"
NOT_EXPRESSED = "target gene not expressed in controls"


@dataclass(frozen=True)
class KnockdownFilterConfig(StructuralConfig):
    """Configuration of `OnTargetKnockdownFilter`.

    Attributes:
        pert_col: Column of obs that holds perturbations, each named by its target gene.
        control_pert: Label of controls.
        residual_expression: Part of the controls' mean below which a perturbation's mean must lie.
        cell_residual_expression: Part of the controls' mean below which a cell must lie.
        min_cells: Cells that a perturbation must keep.
        var_gene_col: Column of var that holds gene names; the table's own names if None.
        log_scale: Whether values are log1p, which is then undone; with None, what looks like it is refused: a ratio
            of logarithms says nothing of what is left of a gene.

    Raises:
        ValueError: A number that is not positive.
    """

    pert_col: str = "perturbation"
    control_pert: str = "non-targeting"
    residual_expression: float = 0.30
    cell_residual_expression: float = 0.50
    min_cells: int = 30
    var_gene_col: str | None = None
    log_scale: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            "knockdown filter",
            residual_expression=self.residual_expression,
            cell_residual_expression=self.cell_residual_expression,
            min_cells=self.min_cells,
        )


@dataclass(frozen=True)
class KnockdownVerdict:
    """What became of one perturbation.

    Attributes:
        perturbation: Its name, which is its target gene's.
        cells: Its cells.
        kept: Those that stay.
        residual: Its mean of the target gene as part of the controls'; NaN where that cannot be said.
        why: "kept", or why no cell stays.
    """

    perturbation: str
    cells: int
    kept: int
    residual: float
    why: str


@dataclass(frozen=True)
class KnockdownReport:
    """What became of cells and perturbations.

    Attributes:
        mask: Which cells stay.
        verdicts: One per perturbation, in sorted order.
        why: Place of every cell's reason among the reasons.
        reasons: Reasons as text.
    """

    mask: Bool[np.ndarray, "cells"]
    verdicts: tuple[KnockdownVerdict, ...]
    why: Int[np.ndarray, "cells"]
    reasons: tuple[str, ...]


class OnTargetKnockdownFilter:
    """Keeps cells whose target gene is down, of perturbations whose target gene is down; controls stay.

    First a perturbation must lower its gene's mean below `residual_expression` of the controls'; then a cell must be
    below `cell_residual_expression` of it; then `min_cells` must be left. A target that is not measured, or that
    controls do not express, fails. The matrix is read once, block by block, and stays sparse.

    Source: cell-load, `filter_on_target_knockdown`.
    """

    def __init__(self, config: KnockdownFilterConfig):
        self.config = config

    def process(self, source: CellSource) -> Bool[np.ndarray, "cells"]:
        """Which cells stay; arguments and errors as those of `examine`."""
        return self.examine(source).mask

    def examine(self, source: CellSource) -> KnockdownReport:
        """Which cells stay, and why.

        Args:
            source: The experiment; all its genes are looked at, whatever its elements hold.

        Raises:
            InputError: Values that look like logarithms, or of which some are negative or not finite, no control, a
                gene column that does not exist, a target gene that stands twice, or no perturbation that is named by a
                measured gene.
        """
        config, cells = self.config, source.cells
        control = cells.perturbations.isin([config.control_pert])
        target = _targets(cells, config, source.name, control)
        measured = target >= 0
        log_scale = _scale(source, config)
        own, control_mean = _expression(cells, target, control, log_scale)
        codes = cells.perturbations.codes
        count = np.bincount(codes, minlength=len(target))
        mean = np.bincount(codes, own, minlength=len(target)) / np.maximum(count, 1)
        expressed = measured & ~np.isclose(control_mean, 0)
        baseline = np.where(expressed, control_mean, np.nan)
        residual, cell_residual = mean / baseline, own / baseline[codes]
        down = residual < config.residual_expression
        kept = down[codes] & (cell_residual < config.cell_residual_expression)
        left = np.bincount(codes[kept & ~control], minlength=len(target))
        enough = left >= config.min_cells
        mask = control | (kept & enough[codes])
        reasons = (
            KEPT,
            CONTROL,
            NOT_MEASURED,
            NOT_EXPRESSED,
            f"perturbation keeps {config.residual_expression:g} of its target or more",
            f"fewer than {config.min_cells} cells of the perturbation are left",
            f"cell keeps {config.cell_residual_expression:g} of its target or more",
        )
        of_pert = np.select([~measured, ~expressed, ~down, ~enough], [2, 3, 4, 5], 0)
        why = np.where((of_pert[codes] == 0) & ~kept, 6, of_pert[codes])
        verdicts = tuple(
            KnockdownVerdict(
                perturbation=str(name),
                cells=int(count[code]),
                kept=int(left[code]) if enough[code] else 0,
                residual=float(residual[code]),
                why=reasons[of_pert[code]],
            )
            for code, name in enumerate(cells.perturbations.categories)
            if name != config.control_pert
        )
        _tell(verdicts, source.name)
        return KnockdownReport(mask, verdicts, np.where(control, 1, why).astype(np.int32), reasons)


def is_on_target_knockdown(
    gene_expression: Float[np.ndarray, "cells"],
    pert_mask: Bool[np.ndarray, "cells"],
    ctrl_mask: Bool[np.ndarray, "cells"],
    residual_expression: float = 0.30,
) -> bool:
    """Whether a gene's mean in perturbed cells is below a part of its mean in controls; no, where that mean is 0.

    Args:
        gene_expression: The gene's expression, not logarithmic.
        pert_mask: Perturbed cells.
        ctrl_mask: Controls.
        residual_expression: That part.
    """
    control_mean = float(np.mean(gene_expression[ctrl_mask]))
    if np.isclose(control_mean, 0):
        return False
    return float(np.mean(gene_expression[pert_mask])) / control_mean < residual_expression


def _targets(
    cells: ExperimentCells, config: KnockdownFilterConfig, name: str, control: Bool[np.ndarray, "cells"]
) -> Int[np.ndarray, "perts"]:
    """Column of every perturbation's target gene, -1 where it is not measured."""
    problems = []
    genes = cells.genes
    if not control.any():
        what = f"has no control {config.control_pert!r} in {config.pert_col}"
        problems.append(Problem(name, what, "Name the label that controls have."))
    if config.var_gene_col is not None:
        if config.var_gene_col in cells.var:
            genes = cells.var[config.var_gene_col]
        else:
            what = (
                f"has no var column {config.var_gene_col!r}; its columns are {', '.join(sorted(cells.var)) or 'none'}"
            )
            problems.append(Problem(name, what, "Name the column that holds gene names."))
    place: dict[str, int] = {}
    for column, gene in enumerate(genes):
        place.setdefault(str(gene), column)
    target = np.array([place.get(str(pert), -1) for pert in cells.perturbations.categories])
    perturbed = cells.perturbations.categories != config.control_pert
    if not problems and perturbed.any() and (target[perturbed] < 0).all():
        what = (
            f"has perturbations such as {str(cells.perturbations.categories[perturbed][0])!r} and genes such as "
            f"{next(iter(place), None)!r}: no perturbation is named by a measured gene"
        )
        problems.append(Problem(name, what, "Name the column of gene names with var_gene_col."))
    aimed_at = {str(pert) for pert in cells.perturbations.categories[perturbed]}
    names, times = np.unique([str(gene) for gene in genes if str(gene) in aimed_at], return_counts=True)
    if (times > 1).any():
        twice = names[times > 1]
        what = f"has {len(twice)} target genes that are named twice, first {str(twice[0])!r}"
        problems.append(Problem(name, what, "Keep one of the genes, or name another column with var_gene_col."))
    if problems:
        raise InputError(problems)
    target[~perturbed] = -1
    return target


def _scale(source: CellSource, config: KnockdownFilterConfig) -> bool:
    """Whether logarithms are to be undone."""
    if config.log_scale is not None:
        return config.log_scale
    if looks_logarithmic(source.cells.expression, source.cells.log_scale):
        what = "holds log1p values, while residual expression is a ratio of counts"
        remedy = "Give counts, or set log_scale=True to have the logarithm undone (False if these are counts)."
        raise InputError([Problem(source.name, what, remedy)])
    return False


def _expression(
    cells: ExperimentCells,
    target: Int[np.ndarray, "perts"],
    control: Bool[np.ndarray, "cells"],
    log_scale: bool,
) -> tuple[Float[np.ndarray, "cells"], Float[np.ndarray, "perts"]]:
    """Every cell's own target gene, and the mean of every perturbation's target gene in controls."""
    codes, measured = cells.perturbations.codes, target >= 0
    own, total = np.zeros(len(codes)), np.zeros(len(target))
    for rows, block in cells.expression.blocks():
        stored = block.data if hasattr(block, "tocsr") else block
        if not (np.isfinite(stored).all() and stored.min(initial=0) >= 0):
            what = "holds values that are negative, NaN or infinite, so that no ratio of expression can be told"
            raise InputError([Problem(cells.file_names[0], what, "Give counts, or normalised counts not scaled.")])
        wanted = np.maximum(target[codes[rows]], 0)
        values = np.asarray(block[np.arange(len(rows)), wanted], dtype=float).ravel()
        of_controls: Any = block[control[rows]][:, target[measured]]
        of_controls = of_controls.toarray() if hasattr(of_controls, "toarray") else of_controls
        of_controls = of_controls.astype(float)
        if log_scale:
            values, of_controls = np.expm1(values), np.expm1(of_controls)
        own[rows] = np.where(measured[codes[rows]], values, 0)
        total[measured] += of_controls.sum(axis=0)
    return own, total / control.sum()


def _tell(verdicts: tuple[KnockdownVerdict, ...], name: str) -> None:
    for why in (NOT_MEASURED, NOT_EXPRESSED):
        named = [verdict.perturbation for verdict in verdicts if verdict.why == why]
        if named:
            shown = ", ".join(named[:8]) + (", ..." if len(named) > 8 else "")
            _logger.warning("%s: %d perturbations fail, %s: %s", name, len(named), why, shown)
