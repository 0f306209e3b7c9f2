"""Designs from formulas, by formulaic."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffbio_core.operators.statistical.design import Design


def design_of_formula(formula: str, samples: Any) -> Design:
    """A design given as a formula over a table of samples; see `Design.of_formula`.

    Raises:
        ValueError: The formula cannot be read, a column is missing or has gaps, or what `Design` refuses.
        ModuleNotFoundError: formulaic or pandas is not installed.
    """
    try:
        import pandas as pd
        from formulaic import Formula, ModelSpec
        from formulaic.errors import FormulaicError
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"designs from formulas need {missing.name}: pip install 'diffbio-core[expression]'"
        ) from missing
    text = formula.strip()
    try:
        # Formula(...) gives one of its subclasses.
        parsed: Any = Formula.from_spec(text.removeprefix("~"))
    except FormulaicError as error:
        raise ValueError(f"design {formula!r} cannot be read: {error}") from error
    used = sorted(map(str, parsed.required_variables))
    missing_columns = [name for name in used if name not in samples.columns]
    if missing_columns:
        raise ValueError(
            f"design {formula!r}: the sample table has no column {missing_columns}; it has {list(samples.columns)}"
        )
    table = samples[used].copy()
    for name in used:
        gaps = table[name].isna()
        if gaps.any():
            raise ValueError(f"design {formula!r}: column {name!r} has no value for sample {table.index[gaps][0]!r}")
    for name in used:
        if not pd.api.types.is_numeric_dtype(table[name]) or pd.api.types.is_bool_dtype(table[name]):
            values = table[name] if isinstance(table[name].dtype, pd.CategoricalDtype) else table[name].astype(str)
            table[name] = pd.Categorical(values).remove_unused_categories()
    factors = [name for name in used if isinstance(table[name].dtype, pd.CategoricalDtype)]
    try:
        built = parsed.get_model_matrix(table, na_action="raise")
    except FormulaicError as error:
        raise ValueError(f"design {formula!r} cannot be built: {error}") from error
    spec = ModelSpec.from_spec(built)
    names = tuple(_readable(str(column), table, factors) for column in built.columns)
    typical = {name: table[name].cat.categories[0] if name in factors else float(np.mean(table[name])) for name in used}
    levels: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for factor in factors:
        categories = list(table[factor].cat.categories)
        rows = pd.DataFrame({name: [typical[name]] * len(categories) for name in used})
        rows[factor] = categories
        for name in factors:
            rows[name] = pd.Categorical(rows[name], categories=table[name].cat.categories)
        matrix = np.asarray(spec.get_model_matrix(rows), dtype=np.float64)
        levels[factor] = {
            str(level): (matrix[index], np.asarray(table[factor] == level)) for index, level in enumerate(categories)
        }
    two_groups = len(used) == 1 and len(factors) == 1 and len(levels[factors[0]]) == 2
    return Design(np.asarray(built, dtype=np.float64), names, two_groups, levels)


def _readable(column: str, table: Any, factors: list[str]) -> str:
    """condition[T.treated] as R's users know it: condition_treated_vs_untreated."""
    for factor in factors:
        if column.startswith(f"{factor}[T.") and column.endswith("]") and ":" not in column:
            return f"{factor}_{column[len(factor) + 3 : -1]}_vs_{table[factor].cat.categories[0]}"
    return column
