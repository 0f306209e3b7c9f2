"""Designs from formulas, by formulaic."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffbio_core.operators.statistical.design import Design
from diffbio_core.operators.statistical.formula_columns import FormulaColumns, formula_columns


def design_of_formula(formula: str, samples: Any) -> Design:
    """A design given as a formula over a table of samples; see `Design.of_formula`.

    Raises:
        ValueError: The formula cannot be read, a column is missing or has gaps, or what `Design` refuses.
        ModuleNotFoundError: formulaic or pandas is not installed.
    """
    try:
        from formulaic import Formula, ModelSpec, SimpleFormula
        from formulaic.errors import FormulaicError
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"designs from formulas need {missing.name}: pip install 'diffbio-core[expression]'"
        ) from missing
    text = formula.strip().removeprefix("~").strip()
    if not text:
        raise ValueError(f"design {formula!r} is empty; give columns of the sample table, or '~ 1' for none")
    try:
        # Formula(...) gives one of its subclasses.
        parsed: Any = Formula.from_spec(text)
    except FormulaicError as error:
        raise ValueError(f"design {formula!r} cannot be read: {_first_line(error)}") from error
    if not isinstance(parsed, SimpleFormula):
        raise ValueError(f"design {formula!r} has several parts; give one, without a left side and without '|'")
    try:
        columns = formula_columns(parsed, list(samples.columns))
    except ValueError as error:
        raise ValueError(f"design {formula!r}: {error}") from error
    table = _table(formula, columns, samples)
    factors = [name for name in columns.used if hasattr(table[name], "cat")]
    try:
        with np.errstate(all="ignore"):
            built: Any = parsed.get_model_matrix(table, na_action="raise")
    except (FormulaicError, ValueError, TypeError, ArithmeticError) as error:
        text_columns = f" (text stands in {factors})" if factors else ""
        raise ValueError(f"design {formula!r} cannot be built: {_first_line(error)}{text_columns}") from error
    spec = ModelSpec.from_spec(built)
    raw = [str(column) for column in built.columns]
    names = tuple(_readable(column, table, factors) for column in raw)
    matrix = np.asarray(built, dtype=np.float64)
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        sample, coefficient = bad[0]
        raise ValueError(
            f"design {formula!r}: {names[coefficient]} is not finite for sample {str(table.index[sample])!r}"
        )
    levels = _levels(spec, table, columns, factors)
    numbers = {
        name: tuple(
            names[index]
            for term, indices in spec.term_indices.items()
            if any(name in columns.by_factor[factor.expr] for factor in term.factors)
            for index in indices
        )
        for name in columns.used
        if name not in factors
    }
    two_groups = len(columns.used) == 1 and len(factors) == 1 and len(levels[factors[0]]) == 2
    return Design(matrix, names, two_groups, levels, numbers)


def _table(formula: str, columns: FormulaColumns, samples: Any) -> Any:
    """The columns of the formula, without gaps, and categorical where they are factors."""
    import pandas as pd

    table = samples[columns.used].copy()
    for name in columns.used:
        gaps = np.asarray(table[name].isna())
        if gaps.any():
            raise ValueError(
                f"design {formula!r}: column {name!r} has no value for sample {str(table.index[gaps][0])!r} (an empty "
                "cell, NA and NaN mean that, and None among numbers); fill it in, or leave the sample out"
            )
        column = table[name]
        if name in columns.only_factors and pd.api.types.is_numeric_dtype(column):
            table[name] = pd.Categorical(column)
        elif not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            values = column if isinstance(column.dtype, pd.CategoricalDtype) else column.astype(str)
            table[name] = pd.Categorical(values).remove_unused_categories()
        else:
            continue
        if len(table[name].cat.categories) < 2:
            raise ValueError(
                f"design {formula!r}: every sample has {_label(table[name].cat.categories[0])!r} in column {name!r}, "
                "so that it tells nothing apart; leave it out"
            )
    return table


def _levels(
    spec: Any, table: Any, columns: FormulaColumns, factors: list[str]
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Rows of the design, and samples, of every level of every factor; numbers are at their mean."""
    import pandas as pd

    # A number that C() makes a factor of elsewhere in the formula has no level at its mean.
    in_levels = {name for text, read in columns.by_factor.items() if text.startswith("C(") for name in read}
    typical = {
        name: table[name].cat.categories[0]
        if name in factors
        else float(table[name].min() if name in in_levels else table[name].mean())
        for name in columns.used
    }
    levels: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for factor in factors:
        categories = list(table[factor].cat.categories)
        rows = pd.DataFrame({name: [typical[name]] * len(categories) for name in columns.used})
        rows[factor] = categories
        for name in factors:
            rows[name] = pd.Categorical(rows[name], categories=table[name].cat.categories)
        matrix = np.asarray(spec.get_model_matrix(rows), dtype=np.float64)
        levels[factor] = {
            _label(level): (matrix[index], np.asarray(table[factor] == level)) for index, level in enumerate(categories)
        }
    return levels


def _label(level: Any) -> str:
    """A level as a table has it: 1 for the 1.0 that a column with fractions reads."""
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)


def _first_line(error: Exception) -> str:
    """What is wrong, without the drawing of its place that formulaic puts below in colour."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _readable(column: str, table: Any, factors: list[str]) -> str:
    """condition[T.treated] as R's users know it: condition_treated_vs_untreated."""
    for factor in factors:
        if column.startswith(f"{factor}[T.") and column.endswith("]") and ":" not in column:
            return f"{factor}_{column[len(factor) + 3 : -1]}_vs_{table[factor].cat.categories[0]}"
    return column
