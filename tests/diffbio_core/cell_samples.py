"""Small single-cell samples that several tests share, and the real ones beside the project."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from tests.shared_data import SHARED


def shifted_batches(seed: int = 0, cells: int = 300, features: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of three types in two batches, the second shifted in each type by another vector; batches; types."""
    random = np.random.default_rng(seed)
    types, batches = random.integers(0, 3, cells), random.integers(0, 2, cells)
    centres = 6 * np.eye(3, features)
    shifts = random.normal(0, 1.5, (3, features))
    embeddings = centres[types] + batches[:, None] * shifts[types] + random.normal(0, 0.4, (cells, features))
    return embeddings.astype(np.float32), batches, types


def typed_counts(
    seed: int = 0, cells: int = 200, genes: int = 40, types: int = 2, depth: float = 200.0, dispersion: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of cells of several types, Poisson or overdispersed by a gamma of that variance; types."""
    random = np.random.default_rng(seed)
    profiles = random.dirichlet(np.full(genes, 0.5), types)
    kinds = random.integers(0, types, cells)
    rates = profiles[kinds] * depth * random.lognormal(0, 0.3, (cells, 1))
    if dispersion:
        rates = rates * random.gamma(1 / dispersion, dispersion, rates.shape)
    return random.poisson(rates).astype(np.float32), kinds


def pbmc_3500() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Components of real cells, their donors, and what R's Harmony made of the components."""
    components = _table("pbmc_3500_pcs.tsv.gz", "\t")
    harmonised = _table("pbmc_3500_pcs_harmonized.tsv.gz", "\t")
    donors = np.array([row["donor"] for row in _rows("pbmc_3500_meta.tsv.gz", "\t")])
    return components, np.unique(donors, return_inverse=True)[1], harmonised


def cell_lines() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Components of real cells of two lines, their data sets and their lines."""
    rows = list(_rows("cell_lines_meta.csv.gz", ","))
    datasets = np.unique([row["dataset"] for row in rows], return_inverse=True)[1]
    return _table("cell_lines_pcs.csv.gz", ","), datasets, np.array([row["cell_type"] for row in rows])


def lisi_of_r() -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Points, two sets of labels, and R's LISI of each point and set."""
    rows = list(_rows("lisi_metadata.tsv.gz", "\t"))
    labels = [np.array([row[name] for row in rows]) for name in ("label1", "label2")]
    return _table("lisi_x.tsv.gz", "\t"), labels, _table("lisi_lisi.tsv.gz", "\t")[:, 1:]


def _table(name: str, delimiter: str) -> np.ndarray:
    with _opened(name) as file:
        return np.loadtxt(file, skiprows=1, delimiter=delimiter)


def _rows(name: str, delimiter: str):
    with _opened(name) as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def _opened(name: str):
    path = SHARED / "expression" / name
    if not path.is_file():
        pytest.skip("../shared/data/expression is absent")
    return gzip.open(path, "rt")
