"""Counts and designs as users have them: arrays, sparse matrices, pandas tables, AnnData."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from diffbio_core.operators.statistical.design import Design
from diffbio_core.operators.statistical.sample_counts import SampleCounts


def as_sample_counts(counts: Any, samples: Any = None, *, layer: str | None = None) -> tuple[SampleCounts, Any]:
    """Raw counts, and the table of their samples in the same order.

    Args:
        counts: Samples by genes: an array, a SciPy sparse matrix, a pandas DataFrame, or an AnnData. A DataFrame whose
            columns, not its rows, are named like the samples holds genes by samples, and is turned.
        samples: pandas DataFrame with a row per sample, in the counts' order where these have no names; an AnnData's
            own ``obs`` if None.
        layer: Of an AnnData, in place of its ``X``.

    Raises:
        ValueError: Counts that `SampleCounts` refuses, or samples that are missing or named twice.
    """
    if isinstance(counts, SampleCounts):
        return counts, samples
    if hasattr(counts, "obs") and hasattr(counts, "var_names"):
        if layer is not None and layer not in counts.layers:
            raise ValueError(f"layer {layer!r} is not in the AnnData; it has {sorted(counts.layers)}")
        values = counts.X if layer is None else counts.layers[layer]
        names, genes = list(counts.obs_names), list(counts.var_names)
        found = SampleCounts(values, names, genes)
        return found, counts.obs if samples is None else _in_order(samples, names)
    if layer is not None:
        raise ValueError(f"layer={layer!r} is for an AnnData, got {type(counts).__name__}")
    if hasattr(counts, "columns") and hasattr(counts, "index"):
        if samples is not None and _names_samples(counts.columns, samples) > _names_samples(counts.index, samples):
            counts = counts.T
        names = list(counts.index)
        found = SampleCounts(_values(counts), names, list(counts.columns))
        return found, None if samples is None else _in_order(samples, names)
    found = SampleCounts(counts, None if samples is None else list(samples.index))
    return found, samples


def as_design(design: Any, samples: Any = None) -> Design:
    """A design from a formula over a table of samples, from numbers, or as it is.

    Args:
        design: Formula, matrix, table of columns, or `Design`.
        samples: Table of samples, for a formula.

    Raises:
        ValueError: A formula without a table, or what `Design` refuses.
    """
    if isinstance(design, Design):
        return design
    if isinstance(design, str):
        if samples is None:
            raise ValueError(f"design {design!r} is a formula and needs a table of samples; give samples=")
        return Design.of_formula(design, samples)
    return Design.of_matrix(design)


def _values(table: Any) -> np.ndarray:
    bad = [str(name) for name, kind in table.dtypes.items() if kind.kind not in "biuf"]
    if bad:
        raise ValueError(f"counts: column {bad[0]!r} holds {table.dtypes[bad[0]]}, expected numbers")
    return table.to_numpy()


def _names_samples(names: Any, samples: Any) -> int:
    return len(set(map(str, names)) & set(map(str, samples.index)))


def _in_order(samples: Any, names: list[Any]) -> Any:
    """Rows of the table by the counts' sample names."""
    known = [str(name) for name in samples.index]
    wanted = [str(name) for name in names]
    for what, listed in (("sample table", known), ("counts", wanted)):
        twice = sorted(name for name, times in Counter(listed).items() if times > 1)
        if twice:
            raise ValueError(f"{what}: samples {twice[:10]} are named more than once")
    places = {name: place for place, name in enumerate(known)}
    missing = [name for name in wanted if name not in places]
    if missing:
        raise ValueError(f"sample table: no row for {missing[:10]} of the counts; it has {known[:10]}")
    return samples.iloc[[places[name] for name in wanted]]
