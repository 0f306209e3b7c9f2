"""Small perturbation screens: cell types x perturbations x batches, counts with or without knockdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

CONTROL = "non-targeting"
TYPES = ("TypeA", "TypeB", "TypeC")
GENES = ("GeneX", "GeneY", "GeneZ")
BATCHES = ("batch1", "batch2")


def screen(
    *,
    cell_types: Sequence[str] = TYPES,
    perturbations: Sequence[str] = (CONTROL, *GENES),
    per_group: int = 8,
    genes: Sequence[str] = (*GENES, "Other1", "Other2", "Other3"),
    seed: int = 0,
    sparse: bool = False,
    knockdown: float = 0.1,
) -> anndata.AnnData:
    """Counts around 20; a perturbation's own gene is down to a part of that."""
    generator = np.random.default_rng(seed)
    labels = [(kind, pert, BATCHES[i % 2]) for kind in cell_types for pert in perturbations for i in range(per_group)]
    obs = pd.DataFrame(labels, columns=["cell_type", "perturbation", "batch"]).astype("category")
    obs.index = [f"cell{number}" for number in range(len(obs))]
    obs["barcode"] = [f"ACGT{number}" for number in range(len(obs))]
    means = np.full((len(obs), len(genes)), 20.0)
    for cell, (_, pert, _) in enumerate(labels):
        if pert in genes:
            means[cell, list(genes).index(pert)] *= knockdown
    counts = generator.poisson(means).astype(np.float32)
    var = pd.DataFrame({"is_hvg": [number % 2 == 0 for number in range(len(genes))]}, index=list(genes))
    var["symbol"] = list(genes)
    obsm = {"X_pca": generator.normal(size=(len(obs), 3)).astype(np.float32)}
    return anndata.AnnData(scipy.sparse.csr_matrix(counts) if sparse else counts, obs=obs, var=var, obsm=obsm)


def written(folder: Path, table: anndata.AnnData, name: str = "screen") -> Path:
    """A screen as a file."""
    path = folder / f"{name}.h5ad"
    table.write_h5ad(path)
    return path
