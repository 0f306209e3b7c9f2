"""Splits as an experiment's TOML says: cell types held out, and perturbations held out within cell types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.perturbation.cells import CellSource
from diffbio_core.sources.perturbation.experiment_config import ExperimentConfig, FewshotEntry
from diffbio_core.sources.perturbation.modes import unknown
from diffbio_core.sources.perturbation.names import same_perturbations
from diffbio_core.splitters.base import NO_SPLIT, TEST, TRAIN, VALID, Assignment
from diffbio_core.splitters.controls import share_controls

_SPLITS = {"train": TRAIN, "val": VALID, "test": TEST}


def assign_experiment(
    source: CellSource,
    experiment: ExperimentConfig,
    datasets: Sequence[str],
    *,
    controls_by_batch: bool = False,
    seed: int = 0,
) -> Assignment:
    """Split of every cell as an experiment says.

    Args:
        source: Cells of all files; controls among them.
        experiment: Cell types and perturbations held out, by data set.
        datasets: Data set of every file, by the file's code.
        controls_by_batch: Whether controls are shared out batch by batch.
        seed: Seed of how controls are shared out.

    Raises:
        InputError: A cell type or perturbation that no cell of the data set has, or a perturbation that has another
            name, too, which is not held out with it; all that is wrong at once.
    """
    experiment.validate()
    names = np.array(datasets, dtype=object)[source.get_file_codes()]
    cell_types = source.cells.cell_types.names
    found, problems = Assignment.empty(len(names)), []
    for dataset in dict.fromkeys(datasets):
        of_dataset = names == dataset
        held = {**experiment.get_zeroshot_celltypes(dataset), **experiment.get_fewshot_celltypes(dataset)}
        there = sorted(set(cell_types[of_dataset]))
        if absent := unknown(held, there):
            what = f"has no cells of the cell types {absent}"
            problems.append(Problem(f"data set {dataset!r}", what, f"It has {', '.join(there)}."))
        trained = dataset in experiment.training_datasets
        for cell_type in there:
            cells, entry = of_dataset & (cell_types == cell_type), held.get(cell_type)
            if isinstance(entry, FewshotEntry):
                problems += _hold_out_perturbations(found, source, cells, entry, controls_by_batch, seed)
            elif entry is not None:
                found.assign(cells, _SPLITS[entry], f"zero-shot: cell type for {entry}, with its controls")
            elif trained:
                found.assign(cells, TRAIN, "cell type of a training data set")
            else:
                found.assign(cells, NO_SPLIT, "data set is not in [training]")
    if problems:
        raise InputError(problems)
    return found


def _hold_out_perturbations(
    found: Assignment,
    source: CellSource,
    cells: np.ndarray,
    entry: FewshotEntry,
    controls_by_batch: bool,
    seed: int,
) -> list[Problem]:
    """Split the perturbed cells of one cell type by name, and its controls in proportion."""
    perturbations, control = source.cells.perturbations, source.get_control_mask()
    there = sorted(set(perturbations.names[cells & ~control]))
    where = f'[fewshot."{entry.dataset}.{entry.cell_type}"]'
    problems = []
    found.assign(cells & ~control, TRAIN, "few-shot: other perturbations of this cell type")
    for split, held in (("val", entry.val_perturbations), ("test", entry.test_perturbations)):
        if absent := unknown(held, there):
            shown = ", ".join(there[:12]) + (", ..." if len(there) > 12 else "")
            problems.append(Problem(f"{where} {split}", f"no cell is perturbed by {absent}", f"There are {shown}."))
        others = same_perturbations(held, there, source.cells.control)
        if others:
            told = ", ".join(f"{other!r} (the same as {name!r})" for other, name in others.items())
            problems.append(Problem(f"{where} {split}", f"{told} would be elsewhere", "Name both, in one list."))
        chosen = cells & perturbations.isin(held) & ~control
        found.assign(chosen, _SPLITS[split], f"few-shot: perturbation for {split}")
    share_controls(found, source, by_batch=controls_by_batch, seed=seed, among=np.flatnonzero(cells))
    return problems
