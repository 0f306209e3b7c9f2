"""Cell types or perturbations held out of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from diffbio_core.operators.validation import check_fraction
from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.perturbation.modes import unknown
from diffbio_core.sources.perturbation.names import same_perturbations
from diffbio_core.splitters.base import (
    NO_SPLIT,
    TEST,
    TRAIN,
    VALID,
    Assignment,
    SplitterConfig,
    SplitterModule,
    part_of,
)
from diffbio_core.splitters.controls import share_controls


@dataclass(frozen=True)
class ZeroShotSplitterConfig(SplitterConfig):
    """Configuration of `ZeroShotSplitter`.

    Attributes:
        held_out_cell_types: Cell types for test.
        pert_col: Column of obs that holds perturbations.
        cell_type_col: Column of cell types.

    Raises:
        ValueError: Fractions that say nothing of how the rest is divided.
    """

    held_out_cell_types: tuple[str, ...] = ()
    pert_col: str = "perturbation"
    cell_type_col: str = "cell_type"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rest(self)


class ZeroShotSplitter(SplitterModule):
    """Holds out cell types, their controls with them; the rest is divided into training and validation at random."""

    config: ZeroShotSplitterConfig

    def assign(self, data_source: Any) -> Assignment:
        """Split of every cell that a source yields.

        Raises:
            InputError: A cell type that no cell has.
        """
        names = _names(data_source, "cell_type")
        held = self.config.held_out_cell_types
        _check_known(self.config.cell_type_col, "held_out_cell_types", held, names)
        found = Assignment.empty(len(names))
        test = np.isin(names, list(held))
        found.assign(test, TEST, "zero-shot: cell type held out, with its controls")
        _divide(self, found, np.flatnonzero(~test), "other cell types")
        return found


@dataclass(frozen=True)
class FewShotSplitterConfig(SplitterConfig):
    """Configuration of `FewShotSplitter`.

    Attributes:
        held_out_perturbations: Perturbations for test.
        pert_col: Column of obs that holds perturbations.
        cell_type_col: Column of cell types.
        control_pert: Label of controls.
        val_subsample_fraction: Fraction of validation cells to keep; None for all.
        share_controls: Whether validation and test get controls of their own, in proportion to their perturbed cells;
            if not, all controls are trained on, and those splits have none to compare with.
        controls_by_batch: Whether they get them from every batch, too.

    Raises:
        ValueError: A fraction outside 0 to 1, fractions that say nothing of how the rest is divided, or controls held
            out.
    """

    held_out_perturbations: tuple[str, ...] = ()
    pert_col: str = "perturbation"
    cell_type_col: str = "cell_type"
    control_pert: str = "non-targeting"
    val_subsample_fraction: float | None = None
    share_controls: bool = False
    controls_by_batch: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rest(self)
        if self.val_subsample_fraction is not None:
            check_fraction("few-shot splitter", val_subsample_fraction=self.val_subsample_fraction)
        if self.control_pert in self.held_out_perturbations:
            raise ValueError(f"held_out_perturbations names the controls, {self.control_pert!r}")


class FewShotSplitter(SplitterModule):
    """Holds out perturbations; the other perturbed cells are divided into training and validation at random."""

    config: FewShotSplitterConfig

    def assign(self, data_source: Any) -> Assignment:
        """Split of every cell that a source yields.

        Raises:
            InputError: A perturbation that no cell has, or one that has another name, too, which is not held out.
        """
        config, names = self.config, _names(data_source, "pert")
        _check_known(config.pert_col, "held_out_perturbations", config.held_out_perturbations, names)
        others = same_perturbations(config.held_out_perturbations, sorted(set(names)), config.control_pert)
        if others:
            told = ", ".join(f"{other!r} (the same as {name!r})" for other, name in others.items())
            what = f"{told} would stay in training"
            raise InputError([Problem("held_out_perturbations", what, "Hold out every name of a perturbation.")])
        found = Assignment.empty(len(names))
        test, control = np.isin(names, list(config.held_out_perturbations)), names == config.control_pert
        found.assign(test, TEST, "few-shot: perturbation held out")
        _divide(self, found, np.flatnonzero(~test & ~control), "other perturbations")
        if config.val_subsample_fraction is not None:
            valid = self._shuffled(np.flatnonzero(found.split == VALID))
            kept = max(1, part_of(len(valid), config.val_subsample_fraction))
            found.assign(valid[kept:], NO_SPLIT, f"beyond val_subsample_fraction={config.val_subsample_fraction:g}")
        if config.share_controls:
            share_controls(found, data_source, by_batch=config.controls_by_batch, seed=config.seed or 0)
        else:
            found.assign(control, TRAIN, "controls are trained on")
        return found


def _divide(splitter: SplitterModule, found: Assignment, cells: Int[np.ndarray, "n"], what: str) -> None:
    """Cells into training and validation at random, in the ratio of their fractions."""
    config = splitter.config
    fraction = config.train_frac / (config.train_frac + config.valid_frac)
    cells = splitter._shuffled(cells)
    train = part_of(len(cells), fraction)
    found.assign(cells[:train], TRAIN, f"{what}, random {fraction:.3g}")
    found.assign(cells[train:], VALID, f"{what}, random {1 - fraction:.3g}")


def _check_rest(config: SplitterConfig) -> None:
    if not config.train_frac + config.valid_frac > 0:
        raise ValueError(
            "train_frac and valid_frac are both 0, but what is not held out is divided in their ratio: set one"
        )


def _names(source: Any, kind: str) -> np.ndarray:
    """Names of the cells that a source yields, by its codes where it has them, else cell by cell."""
    codes = getattr(source, f"get_{kind}_codes", None)
    if codes is None:
        return np.array([source[index][f"{kind}_name"] for index in range(len(source))], dtype=object)
    names = np.asarray(getattr(source, f"get_{kind}_categories")(), dtype=object)[codes()]
    return names[yielded(source)]


def yielded(source: Any) -> Int[np.ndarray, "yielded"] | slice:
    """Which of all cells a source yields."""
    return getattr(source, "cell_indices", slice(None))


def _check_known(column: str, field: str, names: tuple[str, ...], known: np.ndarray) -> None:
    there = sorted(set(known))
    absent = unknown(names, there)
    if absent:
        shown = ", ".join(there[:12]) + (", ..." if len(there) > 12 else "")
        raise InputError([Problem(field, f"{column} never is {absent}", f"It is one of {shown}.")])
