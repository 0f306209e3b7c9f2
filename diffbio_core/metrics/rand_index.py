"""Agreement of two clusterings."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped


def adjusted_rand_index(first: Shaped[np.ndarray, "cells"], second: Shaped[np.ndarray, "cells"]) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985): 1 for the same partition, 0 on average for independent ones.

    Args:
        first: Cluster of each cell, as numbers or names.
        second: The same of another clustering.

    Raises:
        ValueError: Other numbers of cells.
    """
    if np.shape(first) != np.shape(second):
        raise ValueError(f"adjusted_rand_index: shapes {np.shape(first)} and {np.shape(second)} differ")
    rows = np.unique(np.asarray(first), return_inverse=True)[1]
    columns = np.unique(np.asarray(second), return_inverse=True)[1]
    table = np.zeros((rows.max(initial=0) + 1, columns.max(initial=0) + 1))
    np.add.at(table, (rows, columns), 1)

    def pairs(sizes: np.ndarray) -> float:
        return float((sizes * (sizes - 1) / 2).sum())

    together, of_rows, of_columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = of_rows * of_columns / max(pairs(table.sum(keepdims=True)), 1)
    largest = (of_rows + of_columns) / 2
    return 1.0 if largest == expected else (together - expected) / (largest - expected)
