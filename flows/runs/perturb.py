"""Perturbation experiments: their splits and pairs as files, and how good predictions are."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffbio_core import __version__
from diffbio_core.evaluation.perturbation import CellGroups, PerturbationScores, evaluate_perturbations
from diffbio_core.pipelines.perturbation import (
    PerturbationPipeline,
    PerturbationPipelineConfig,
    PerturbationPipelineResult,
)
from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.expression import ExpressionTable, open_expression
from diffbio_core.splitters.base import SPLIT_NAMES
from diffbio_flows.runs.layout import writing
from diffbio_flows.runs.places import check_new_folder
from diffbio_io.files.fresh_folder import fresh_folder

PathLike = str | os.PathLike[str]

_SETUP_FILES = ("cells.csv", "splits.csv", "knockdown.csv", "setup.json")
_SCORE_FILES = ("scores.csv", "scores.json")
_BETWEEN_CONTROLS = ";"


def set_up_perturbations(
    files: Sequence[PathLike] = (),
    *,
    experiment: PathLike | None = None,
    output: PathLike | None = None,
    force: bool = False,
    **options: Any,
) -> PerturbationPipelineResult:
    """Split the cells of a perturbation experiment and pair them with controls.

    Args:
        files: .h5ad files.
        experiment: TOML that names files and splits, in cell-load's form; instead of files.
        output: Folder for `cells.csv` (split, reason and controls of every cell), `splits.csv` (what each split holds),
            `knockdown.csv` where that is looked at, and `setup.json`; None to write nothing.
        force: Whether a folder that is there is replaced.
        options: Fields of `PerturbationPipelineConfig`.

    Raises:
        InputError: What is wrong with options, files and names.
        TaskFailedError: The output cannot be written.
    """
    problems = [] if output is None else _output_problems(Path(output), force, _SETUP_FILES)
    if bool(files) == (experiment is not None):
        problems.append(Problem("files", "give .h5ad files, or an experiment's TOML", "Give one of them."))
    problems += _absent([*files, *([] if experiment is None else [experiment])])
    if problems:
        raise InputError(problems)
    with _as_input_errors():
        pipeline = PerturbationPipeline(PerturbationPipelineConfig(**options))
        result = pipeline.setup(files) if experiment is None else pipeline.setup_experiment(experiment)
    if output is not None:
        problems = _name_problems(result)
        if problems:
            raise InputError(problems)
        _write(Path(output), _setup_files(result, options))
    return result


@dataclass(frozen=True)
class PredictionScores:
    """Scores of a prediction.

    Attributes:
        by_cell_type: Scores by cell type; by "" where cell types were not told apart.
    """

    by_cell_type: dict[str, PerturbationScores]

    def to_text(self) -> str:
        """The tables, each under its cell type."""
        titled = (f"{name}\n{scores}" if name else str(scores) for name, scores in self.by_cell_type.items())
        return "\n\n".join(titled)

    def to_dict(self) -> dict[str, Any]:
        """Scores of one cell type, or those of several under `cell_types`."""
        if list(self.by_cell_type) == [""]:
            return self.by_cell_type[""].to_dict()
        return {"cell_types": {name: scores.to_dict() for name, scores in self.by_cell_type.items()}}

    def to_csv(self) -> str:
        """Values by perturbation; with a column for cell types where they are told apart."""
        if list(self.by_cell_type) == [""]:
            return self.by_cell_type[""].to_csv()
        tables = {name: list(csv.DictReader(io.StringIO(found.to_csv()))) for name, found in self.by_cell_type.items()}
        columns = ["cell_type", *dict.fromkeys(column for rows in tables.values() for row in rows for column in row)]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"cell_type": name} | row for name, rows in tables.items() for row in rows)
        return text.getvalue()


def evaluate_predictions(
    real: PathLike,
    predicted: PathLike,
    *,
    training: PathLike | None = None,
    pert_col: str = "perturbation",
    control_pert: str = "non-targeting",
    cell_type_col: str | None = None,
    controls: str = "true",
    profile: str = "full",
    delimiter: str = "+",
    alpha: float = 0.05,
    output: PathLike | None = None,
    force: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> PredictionScores:
    """Compare predicted with measured cells, beside baselines.

    Args:
        real: .h5ad of measured cells, log1p, controls among them.
        predicted: .h5ad of predicted cells, log1p.
        training: .h5ad of cells that baselines learn from.
        pert_col: Column of obs that holds perturbations.
        control_pert: Label of controls.
        cell_type_col: Column of cell types, each of which is then scored for itself; None for all cells together.
            Baselines learn from training cells of the same type, or from all where there are none.
        controls: "true", or "predicted" as cell-eval does.
        profile: "full", or "effects" for metrics of means alone.
        delimiter: What stands between the names of single perturbations in that of several.
        alpha: False discovery rate below which a gene is significant.
        output: Folder for `scores.csv` (by perturbation) and `scores.json`; None to write nothing.
        force: Whether a folder that is there is replaced.
        tell: Gets a line as each cell type begins.

    Raises:
        InputError: What is wrong with options and files.
        TaskFailedError: The output cannot be written.
    """
    given = {"real": real, "predicted": predicted} | ({} if training is None else {"training": training})
    problems = [
        *_absent(given.values()),
        *([] if output is None else _output_problems(Path(output), force, _SCORE_FILES)),
    ]
    if not 0 < alpha < 1:
        problems.append(Problem("--alpha", f"must lie between 0 and 1, got {alpha:g}", "Give a false discovery rate."))
    if problems:
        raise InputError(problems)
    with _as_input_errors():
        tables = {name: open_expression(path) for name, path in given.items()}
        scores = {}
        for cell_type in _cell_types(tables["real"], cell_type_col, pert_col, control_pert, tell):
            tell(f"comparing {cell_type}" if cell_type else "comparing")
            groups = {
                name: _groups(table, pert_col, control_pert, cell_type_col, cell_type, all_if_none=name == "training")
                for name, table in tables.items()
            }
            scores[cell_type] = evaluate_perturbations(
                groups["real"],
                groups["predicted"],
                training=groups.get("training"),
                controls=controls,
                profile=profile,
                delimiter=delimiter,
                alpha=alpha,
            )
    found = PredictionScores(scores)
    if output is not None:
        files = {"scores.csv": found.to_csv(), "scores.json": json.dumps(found.to_dict(), indent=2)}
        _write(Path(output), files)
    return found


def _cell_types(
    table: ExpressionTable, column: str | None, pert_col: str, control: str, tell: Callable[[str], None]
) -> Sequence[str]:
    """Cell types to score: those of which some cells are perturbed."""
    if column is None:
        return [""]
    of_types, perturbed = table.labels_of(column), ~table.labels_of(pert_col).isin([control])
    names = [str(name) for name in of_types.categories]
    scored = {names[code] for code in np.unique(of_types.codes[perturbed])}
    if not scored:
        raise InputError([Problem(table.name, "has no perturbed cells", "Give cells that were perturbed.")])
    unperturbed = [name for name in names if name not in scored]
    if unperturbed:
        tell(f"passed over, as none of their cells are perturbed: {', '.join(unperturbed)}")
    return [name for name in names if name in scored]


def _groups(
    table: ExpressionTable,
    pert_col: str,
    control: str,
    cell_type_col: str | None,
    cell_type: str,
    *,
    all_if_none: bool,
) -> CellGroups:
    """Cells of one type, or all."""
    if cell_type_col is None:
        return CellGroups.of(table, pert_col, control)
    chosen = table.labels_of(cell_type_col).isin([cell_type])
    perturbed = chosen & ~table.labels_of(pert_col).isin([control])
    if all_if_none and not perturbed.any():
        return CellGroups.of(table, pert_col, control)
    if not chosen.any():
        what = f"has no cells of the cell type {cell_type!r}"
        raise InputError([Problem(table.name, what, "Predict every cell type that was measured.")])
    return CellGroups.of(table, pert_col, control, chosen=chosen)


def _setup_files(result: PerturbationPipelineResult, options: dict[str, Any]) -> dict[str, str]:
    """What a set-up leaves, by file name."""
    files = {"cells.csv": _cells_csv(result), "splits.csv": result.split_table.to_csv()}
    if result.knockdown is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["perturbation", "cells", "kept", "residual", "why"])
        for verdict in result.knockdown.verdicts:
            residual = "" if np.isnan(verdict.residual) else f"{verdict.residual:.6g}"
            writer.writerow([verdict.perturbation, verdict.cells, verdict.kept, residual, verdict.why])
        files["knockdown.csv"] = text.getvalue()
    about = {
        "diffbio": __version__,
        "options": {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()},
        "dimensions": result.get_var_dims(),
        "splits": result.split_table.to_dicts(),
    }
    files["setup.json"] = json.dumps(about, indent=2)
    return files


def _cells_csv(result: PerturbationPipelineResult) -> str:
    """Split, reason and controls of every cell; cells are named, so that other programs can use them."""
    cells, assignment = result.source.cells, result.assignment
    controls = result.controls_of(np.arange(len(cells.files)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "cell", "perturbation", "cell_type", "batch", "split", "controls", "why"])
    columns = zip(
        cells.files,
        cells.cell_names,
        cells.perturbations.names,
        cells.cell_types.names,
        cells.batches.names,
        assignment.split,
        controls,
        assignment.why,
        strict=True,
    )
    for file, cell, perturbation, cell_type, batch, split, drawn, why in columns:
        named = _BETWEEN_CONTROLS.join(str(cells.cell_names[control]) for control in drawn if control >= 0)
        place = [cells.file_names[file], cell, perturbation, cell_type, batch]
        writer.writerow([*place, SPLIT_NAMES[int(split)], named, assignment.reasons[why]])
    return text.getvalue()


def _name_problems(result: PerturbationPipelineResult) -> list[Problem]:
    """Names by which `cells.csv` could not say which cell is meant."""
    problems, cells = [], result.source.cells
    for code, file in enumerate(cells.file_names):
        names, times = np.unique(cells.cell_names[cells.files == code].astype(str), return_counts=True)
        if (times > 1).any():
            what = f"names {np.count_nonzero(times > 1)} cells more than once, first {str(names[times > 1][0])!r}"
            problems.append(Problem(file, what, "Make names unique: adata.obs_names_make_unique()."))
        split = [name for name in names if _BETWEEN_CONTROLS in name]
        if split:
            what = f"names cells with {_BETWEEN_CONTROLS!r}, which stands between controls, such as {str(split[0])!r}"
            problems.append(Problem(file, what, "Rename them."))
    return problems


def _absent(files: Sequence[PathLike] | Any) -> list[Problem]:
    return [Problem(str(path), "no such file", "Correct the path.") for path in files if not Path(path).is_file()]


def _output_problems(output: Path, force: bool, own: Sequence[str]) -> list[Problem]:
    if output.exists() and not force:
        return [Problem(str(output), "exists", "Name another folder, or replace it with --force.")]
    if output.exists() and not output.is_dir():
        return [Problem(str(output), "is a file", "Name a folder.")]
    foreign = sorted(path.name for path in output.iterdir() if path.name not in own) if output.exists() else []
    if foreign:
        what = f"holds {foreign[0]!r}, which this command did not write and would delete"
        return [Problem(str(output), what, "Name another folder.")]
    return check_new_folder(output.absolute().parent)


def _write(output: Path, files: dict[str, str]) -> None:
    """Writes a folder, which appears under its name only when it is whole."""
    output = output.resolve()
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        with fresh_folder(output.with_name(f".{output.name}.part")) as aside:
            for name, content in files.items():
                (aside / name).write_text(content, encoding="utf-8")
            if output.exists():
                shutil.rmtree(output)
            aside.rename(output)


@contextmanager
def _as_input_errors() -> Iterator[None]:
    """Tells values that the library refuses, and a missing extra, as what they are to a user: input."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, FileNotFoundError) as error:
        raise InputError([Problem("options", str(error), "Correct them.")]) from error
    except ImportError as error:
        raise InputError([Problem(".h5ad", str(error), "Then give the same command again.")]) from error
