"""Cells by perturbation, measured or predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.expression import ExpressionTable
from diffbio_core.sources.labels import Labels
from diffbio_core.sources.matrix import CountMatrix, matrix_of


class Profiles(ABC):
    """What metrics ask of cells under perturbations."""

    @abstractmethod
    def cells(self, perturbation: str) -> Float[np.ndarray, "n genes"]:
        """Cells under a perturbation."""

    @abstractmethod
    def mean(self, perturbation: str) -> Float[np.ndarray, "genes"]:
        """Their mean."""

    def cloud(self, perturbation: str) -> Float[np.ndarray, "n genes"]:
        """Cells whose distribution is that of the cells: fewer where some are alike."""
        return self.cells(perturbation)

    def kinds(self, perturbations: Sequence[str]) -> tuple[Sequence[str], Int[np.ndarray, "perts"]]:
        """Perturbations whose cells differ, and which of them each one is like."""
        return perturbations, np.arange(len(perturbations))


class CellGroups(Profiles):
    """Cells by perturbation; a sparse or stored matrix stays so.

    Args:
        counts: Expression, log1p.
        labels: Perturbation of every cell.
        genes: Names of the genes.
        control: Label of controls.
        name: For messages.
    """

    def __init__(self, counts: CountMatrix, labels: Labels, genes: np.ndarray, control: str, name: str):
        self.counts, self.labels, self.genes = counts, labels, np.asarray(genes, dtype=object)
        self.control, self.name = control, name

    @classmethod
    def of(
        cls,
        table: Any,
        pert_col: str = "perturbation",
        control: str = "non-targeting",
        *,
        chosen: Bool[np.ndarray, "cells"] | None = None,
    ) -> CellGroups:
        """Cells of a table.

        Args:
            table: An `ExpressionTable`, or what has X, obs, obs_names and var_names as an AnnData has.
            pert_col: Column of obs that holds perturbations.
            control: Label of controls.
            chosen: Cells to take; None for all.

        Raises:
            InputError: The column is absent, or cells lack labels.
        """
        if not isinstance(table, ExpressionTable):
            table = _table_of(table)
        labels, counts = table.labels_of(pert_col), table.counts
        if chosen is not None:
            labels = Labels.coded(labels.codes[chosen], labels.categories)
            counts = _ChosenRows(counts, np.flatnonzero(chosen))
        return cls(counts, labels, table.gene_names, control, table.name)

    @property
    def perturbations(self) -> tuple[str, ...]:
        """Names of the perturbations, sorted, without the control's."""
        return tuple(str(name) for name in self.labels.categories if name != self.control)

    def rows(self, perturbation: str) -> Int[np.ndarray, "n"]:
        """Numbers of the cells under a perturbation."""
        code = self.labels.code(perturbation)
        return np.empty(0, np.int64) if code is None else np.flatnonzero(self.labels.codes == code)

    def cells(self, perturbation: str) -> Float[np.ndarray, "n genes"]:
        """Cells under a perturbation, dense."""
        return self.counts.rows(self.rows(perturbation)).astype(np.float64)

    def mean(self, perturbation: str) -> Float[np.ndarray, "genes"]:
        """Mean of the cells under a perturbation."""
        code = self.labels.code(perturbation)
        if code is None:
            raise KeyError(f"{self.name} has no cells under {perturbation}")
        return self.means[code]

    @cached_property
    def means(self) -> Float[np.ndarray, "labels genes"]:
        """Mean by label, the control's among them, in one pass over the matrix."""
        from scipy.sparse import csr_matrix

        size = len(self.labels.categories)
        total = np.zeros((size, self.counts.shape[1]))
        for rows, block in self.counts.blocks():
            places = (self.labels.codes[rows], np.arange(len(rows)))
            of_label = csr_matrix((np.ones(len(rows)), places), shape=(size, len(rows)))
            found = of_label @ block.astype(np.float64)
            total += found.toarray() if hasattr(found, "toarray") else found
        return total / np.bincount(self.labels.codes, minlength=size)[:, None]

    def aligned(self, genes: np.ndarray) -> CellGroups:
        """The same cells with genes in another order.

        Raises:
            InputError: Other genes, or some twice.
        """
        if np.array_equal(self.genes, genes):
            return self
        lacking, further = set(genes) - set(self.genes), set(self.genes) - set(genes)
        if lacking or further or len(set(genes)) < len(genes):
            told = [
                f"{verb} {len(names)} genes, such as {sorted(map(str, names))[0]!r}"
                for verb, names in (("lacks", lacking), ("has further", further))
                if names
            ]
            what = ", and ".join(told) or "has genes that are named twice"
            raise InputError([Problem(self.name, what, "Predict the genes that were measured.")])
        place = {gene: index for index, gene in enumerate(self.genes)}
        counts = self.counts.select_genes(np.array([place[gene] for gene in genes]))
        return CellGroups(counts, self.labels, genes, self.control, self.name)


class ConstantProfiles(Profiles):
    """As many cells as were measured, all alike: what a model of means predicts.

    Args:
        profiles: Mean by perturbation.
        sizes: Cells by perturbation.
    """

    def __init__(self, profiles: dict[str, Float[np.ndarray, "genes"]], sizes: dict[str, int]):
        self._profiles, self._sizes = profiles, sizes

    def cells(self, perturbation: str) -> Float[np.ndarray, "n genes"]:
        """The mean, once per cell."""
        profile = self._profiles[perturbation]
        return np.broadcast_to(profile, (self._sizes[perturbation], len(profile)))

    def cloud(self, perturbation: str) -> Float[np.ndarray, "1 genes"]:
        """The mean, once."""
        return self._profiles[perturbation][None]

    def mean(self, perturbation: str) -> Float[np.ndarray, "genes"]:
        """The mean."""
        return self._profiles[perturbation]


class SameProfiles(Profiles):
    """The same cells whatever the perturbation: what a model predicts that says nothing happens."""

    def __init__(self, cells: Float[np.ndarray, "n genes"]):
        self._cells, self._mean = cells, cells.mean(axis=0)

    def cells(self, perturbation: str) -> Float[np.ndarray, "n genes"]:
        """The cells."""
        return self._cells

    def mean(self, perturbation: str) -> Float[np.ndarray, "genes"]:
        """Their mean."""
        return self._mean

    def kinds(self, perturbations: Sequence[str]) -> tuple[Sequence[str], Int[np.ndarray, "perts"]]:
        """All are alike."""
        return perturbations[:1], np.zeros(len(perturbations), int)


class _ChosenRows(CountMatrix):
    """Some rows of a matrix."""

    def __init__(self, counts: CountMatrix, rows: Int[np.ndarray, "n"]):
        self._counts, self._rows = counts, rows
        self.shape, self.dtype = (len(rows), counts.shape[1]), counts.dtype
        self.is_sparse, self.is_stored = counts.is_sparse, counts.is_stored

    def block(self, rows: Int[np.ndarray, "n"]) -> Any:
        return self._counts.block(self._rows[rows])

    def select_genes(self, genes: Int[np.ndarray, "k"]) -> _ChosenRows:
        return _ChosenRows(self._counts.select_genes(genes), self._rows)


def _table_of(table: Any) -> ExpressionTable:
    return ExpressionTable(
        counts=matrix_of(table.X),
        cell_names=np.asarray(table.obs_names, dtype=object),
        gene_names=np.asarray(table.var_names, dtype=object),
        obs={str(column): np.asarray(table.obs[column]) for column in table.obs},
        log_scale=True if "log1p" in getattr(table, "uns", ()) else None,
        name="AnnData",
    )


def check_values(groups: Sequence[CellGroups], *, measured: Sequence[CellGroups] = ()) -> list[Problem]:
    """What of cells' values metrics cannot take: NaN, infinities, and values that are no log1p.

    Args:
        groups: Cells.
        measured: Those of them that cannot be negative; a prediction may be.
    """
    problems = []
    for group in groups:
        if not all(group.counts.shape):
            what = f"holds {group.counts.shape[0]} cells and {group.counts.shape[1]} genes"
            problems.append(Problem(group.name, what, "Give a table of cells by genes."))
            continue
        whole = largest = 0.0
        entries = 0
        for _, block in group.counts.blocks():
            values = block.data if hasattr(block, "tocsr") else block
            if not np.isfinite(values).all():
                what = f"holds {np.count_nonzero(~np.isfinite(values))} values that are NaN or infinite"
                problems.append(Problem(group.name, what, "Predict finite values for every gene."))
                break
            if group in measured and values.min(initial=0) < 0:
                what = f"holds negative values (down to {values.min():g}), while the metrics are of log1p values"
                problems.append(Problem(group.name, what, "Give values that were not centred or scaled."))
                break
            values = values[values != 0]
            largest = max(largest, float(values.max(initial=0)))
            whole += np.count_nonzero(values == np.round(values))
            entries += values.size
        else:
            if largest >= 15 or (entries and whole == entries and largest > 1):
                what = f"holds counts (up to {largest:g}), while the metrics are of log1p values"
                remedy = "Normalise every cell to the same depth and take log1p, as scanpy's pp.log1p does."
                problems.append(Problem(group.name, what, remedy))
    return problems
