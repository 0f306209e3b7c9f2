"""Files of counts and samples to a table of tested genes and its plots."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diffbio_core.operators.statistical.design import spelled_in_formula
from diffbio_core.operators.statistical.differential_expression import DifferentialExpression, differential_expression
from diffbio_core.operators.statistical.pseudobulk import pseudobulk
from diffbio_core.problems import InputError, Problem
from diffbio_core.whole_file import whole_file
from diffbio_flows.runs.places import check_folder
from diffbio_io.tables import read_counts

_OPTIONS = "contrast", "design", "reduced", "alpha", "filter-alpha", "alternative", "threshold", "layer"
PLOTS = "ma", "dispersion", "p_values"
_MISSING_EXTRA = Problem(
    "diffbio de", "a package that it needs is not installed", "Install them: pip install 'diffbio-core[expression]'."
)


def expression_differences(
    counts: str | os.PathLike[str],
    design: str,
    output: str | os.PathLike[str],
    samples: str | os.PathLike[str] | None = None,
    contrast: str | tuple[str, str, str] | None = None,
    sum_cells_by: tuple[str, ...] = (),
    min_cells: int = 10,
    plots: bool = True,
    tell: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> DifferentialExpression:
    """Test every gene of a file, and write a row per gene.

    Args:
        counts: CSV, TSV or .h5ad of raw counts.
        design: Formula over the columns of the sample table.
        output: CSV, or TSV by its ending; gzipped by its ending. Plots lie beside it.
        samples: CSV or TSV, a row per sample; an .h5ad file's own if None.
        contrast: Coefficient, or (factor, level, reference level), also as text with commas between; the last
            coefficient if None.
        sum_cells_by: Columns of an .h5ad file's obs; cells that agree in them are added up to a sample first.
        min_cells: Samples of fewer cells are left out.
        plots: Whether to draw.
        tell: Gets a line on what was left out.
        options: Others of `differential_expression`.

    Raises:
        InputError: Files, a design or a contrast that cannot be used.
        OSError: The output cannot be written.
    """
    output = Path(output)
    problems = check_folder(output.absolute().parent, str(output))
    if output.is_dir():
        problems.append(Problem(str(output), "is a folder", "Name a file."))
    if output.resolve() in {Path(path).resolve() for path in (counts, samples) if path is not None}:
        problems.append(Problem(str(output), "is an input, too", "Name another file."))
    if problems:
        raise InputError(problems)
    try:
        table = read_counts(counts, samples)
    except ImportError as error:
        raise InputError([_MISSING_EXTRA]) from error
    found, known = table.counts, table.samples
    if table.ignored:
        shown = ", ".join(table.ignored[:5]) + (", ..." if len(table.ignored) > 5 else "")
        tell(f"{counts}: left out, as {samples} has no such sample: {len(table.ignored)} ({shown})")
    if table.no_genes:
        tell(f"{counts}: left out, as they are no genes: {', '.join(table.no_genes)}")
    layer = options.pop("layer", None)
    try:
        if sum_cells_by:
            if not hasattr(found, "obs"):
                raise InputError([Problem(str(counts), "holds no cells to add up", "--sum-cells-by is for .h5ad.")])
            found, known = pseudobulk(found, sum_cells_by, layer=layer, min_cells=min_cells)
            layer = None
        result = differential_expression(found, design, contrast, samples=known, layer=layer, **options)
    except InputError:
        raise
    except ImportError as error:
        raise InputError([_MISSING_EXTRA]) from error
    except ValueError as error:
        raise InputError([_problem(str(error), str(counts))]) from error
    _tell_what_may_surprise(result, known, tell)
    with whole_file(output) as aside:
        separator = "\t" if ".tsv" in output.suffixes or ".txt" in output.suffixes else ","
        compression: Any = "gzip" if output.suffix == ".gz" else None
        result.table().to_csv(aside, sep=separator, compression=compression, na_rep="NA")
    if plots:
        from diffbio_flows.reports.expression_plots import write_plots

        write_plots(result, {name: plot_path(output, name) for name in PLOTS})
    return result


def _tell_what_may_surprise(result: DifferentialExpression, samples: Any, tell: Callable[[str], None]) -> None:
    design = result.model.design
    for name in design.numbers:
        if name in design.names and (np.asarray(samples[name]) % 1 == 0).all():
            factor = f"C({spelled_in_formula(name)})"
            tell(f"--design: {name!r} holds whole numbers and is continuous, a change per unit; {factor} is a factor")
    for name, levels in design.levels.items():
        words = [level for level in levels if not _is_number(level)]
        if words and len(levels) - len(words) > 1:
            tell(f"--design: {name!r} is a factor of {len(levels)} levels, as {words[0]!r} is no number")
    genes, times = np.unique(result.model.counts.gene_names.astype(str), return_counts=True)
    if (times > 1).any():
        shown = ", ".join(genes[times > 1][:5]) + (", ..." if (times > 1).sum() > 5 else "")
        tell(f"{(times > 1).sum()} genes are named more than once, and are tested row by row: {shown}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _problem(message: str, counts: str) -> Problem:
    """What the core refused, under the option that it is about."""
    word, _, rest = message.partition(" ")
    option = word.strip(":,").replace("_", "-")
    subject, message = (f"--{option}", rest) if option in _OPTIONS else (counts, message)
    what, _, remedy = message.partition("; ")
    remedy = remedy or (
        "Check counts, samples, --design and --contrast" if subject == counts else "See diffbio de --help"
    )
    return Problem(subject, what, f"{remedy[0].upper()}{remedy[1:]}.")


def plot_path(output: Path, plot: str) -> Path:
    """Where a plot of a table lies: ``T.csv`` has ``T.ma.png``."""
    stem = output.with_suffix("") if output.suffix == ".gz" else output
    return stem.with_suffix(f".{plot}.png")
