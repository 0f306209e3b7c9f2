"""Pseudobulk: cells of one donor and type added up to a sample, which is what varies in an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diffbio_core.operators.statistical.sample_counts import SampleCounts

N_CELLS = "n_cells"


def pseudobulk(
    adata: Any, by: str | Sequence[str], *, layer: str | None = None, min_cells: int = 10
) -> tuple[Any, Any]:
    """Sum the raw counts of cells that share some labels.

    Args:
        adata: AnnData of cells by genes with raw counts, sparse or dense.
        by: Columns of ``obs`` that make a sample, such as donor, condition and cell type. Columns that are the same
            in all cells of a sample come along.
        layer: In place of ``X``.
        min_cells: Samples of fewer cells are left out.

    Returns:
        pandas DataFrames: counts (samples x genes), and the table of samples with their number of cells, ``n_cells``.

    Raises:
        ValueError: Columns or a layer that do not exist, columns that have gaps, counts that are not raw, or no sample
            of enough cells.
    """
    import pandas as pd
    import scipy.sparse

    columns = [by] if isinstance(by, str) else list(dict.fromkeys(by))
    missing = [name for name in columns if name not in adata.obs]
    if missing or not columns:
        raise ValueError(f"pseudobulk: no columns {missing} in obs; it has {list(adata.obs)}")
    if adata.obs[columns].isna().any(axis=None):
        raise ValueError(f"pseudobulk: some cells have no value in {columns}; leave them out first")
    if N_CELLS in columns:
        raise ValueError(
            f"pseudobulk: column {N_CELLS!r} is where a sample's number of cells goes; give it another name"
        )
    if layer is not None and layer not in adata.layers:
        raise ValueError(f"layer {layer!r} is not in the AnnData; it has {sorted(adata.layers)}")
    values = adata.X if layer is None else adata.layers[layer]
    SampleCounts(values, adata.obs_names, adata.var_names)
    labels = adata.obs[columns].astype(str)
    grouped = labels.groupby(columns, sort=True, observed=True)
    numbers = grouped.ngroup().to_numpy()
    sizes = np.bincount(numbers)
    kept = np.flatnonzero(sizes >= min_cells)
    if not len(kept):
        raise ValueError(f"pseudobulk: no sample of {columns} has {min_cells} cells; the largest has {sizes.max()}")
    member = scipy.sparse.csr_matrix((np.ones(len(numbers)), (numbers, np.arange(len(numbers)))))
    sums = member[kept] @ values
    sums = np.asarray(sums.todense() if scipy.sparse.issparse(sums) else sums)
    first = np.array([np.flatnonzero(numbers == number)[0] for number in kept])
    samples = adata.obs.iloc[first].copy()
    constant = [
        name for name in adata.obs if (adata.obs.groupby(numbers, observed=True)[name].nunique(dropna=False) == 1).all()
    ]
    samples = samples[[*columns, *(name for name in constant if name not in columns)]]
    samples.index = pd.Index(["_".join(labels.iloc[row]) for row in first])
    if not samples.index.is_unique:  # a_b of c, and a of b_c
        samples.index = pd.Index([", ".join(f"{name}={labels.iloc[row][name]}" for name in columns) for row in first])
    samples[N_CELLS] = sizes[kept]
    return pd.DataFrame(np.rint(sums).astype(np.int64), index=samples.index, columns=adata.var_names), samples
