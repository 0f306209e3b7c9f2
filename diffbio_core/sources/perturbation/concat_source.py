"""Several files of a perturbation experiment as one source of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.labels import stack_labels
from diffbio_core.sources.matrix import CountMatrix, StackedCounts
from diffbio_core.sources.perturbation.cells import CellSource, ExperimentCells

_CELLS_LOOKED_AT = 64


class PerturbationConcatSource(CellSource):
    """Cells of several sources, one after the other, in one vocabulary and with one order of genes.

    A code, a one-hot vector or a column means the same in every cell, whichever file it comes from.

    Args:
        sources: The sources; all yield controls, or none does.
        shared_genes: Whether genes that only some have are left out; if not, all must have the same, in any order.

    Attributes:
        sources: The sources, each with a vocabulary of its own.

    Raises:
        ValueError: No sources, or some that yield controls and some that do not.
        InputError: Files of different genes, labels of controls, or embeddings.
    """

    def __init__(self, sources: Sequence[CellSource], *, shared_genes: bool = False):
        sources = list(sources)
        if not sources:
            raise ValueError("PerturbationConcatSource needs at least one source, got none")
        if len({source.yields_controls for source in sources}) > 1:
            raise ValueError("some sources yield controls and some do not: set should_yield_controls alike")
        super().__init__(
            _stacked([source.cells for source in sources], shared_genes),
            yields_controls=sources[0].yields_controls,
            shuffle=sources[0].shuffle,
            seed=sources[0].seed,
            name=", ".join(source.name for source in sources),
        )
        self.sources = sources


def check_cells_once(sources: Sequence[CellSource]) -> None:
    """Refuse files that hold the same cells: they would stand on both sides of a split.

    Cells are the same where their names and values are; some of the names that two files share are looked at.

    Args:
        sources: One for each file.

    Raises:
        InputError: Two files are one, or copies of each other; each such pair is named.
    """
    seen: dict[str, list[tuple[int, int]]] = {}
    shared: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, source in enumerate(sources):
        for row, name in enumerate(source.cells.cell_names):
            places = seen.setdefault(str(name), [])
            for other, other_row in places:
                rows = shared.setdefault((other, number), [])
                if other != number and len(rows) < _CELLS_LOOKED_AT:
                    rows.append((other_row, row))
            places.append((number, row))
    problems = []
    for (first, second), rows in shared.items():
        one, other = sources[first].cells, sources[second].cells
        if _mostly_same(one, other, np.array(rows, np.int64).reshape(-1, 2)):
            what = f"holds cells that {_name(one)} holds, too"
            problems.append(Problem(_name(other), what, "Name every file once."))
    if problems:
        raise InputError(problems)


def _mostly_same(one: ExperimentCells, other: ExperimentCells, rows: Int[np.ndarray, "cells two"]) -> bool:
    """Whether more than half of some pairs of cells have the same values in all genes that both files have."""
    _, columns, other_columns = np.intersect1d(one.genes.astype(str), other.genes.astype(str), return_indices=True)
    if not len(rows) or not len(columns):
        return False
    values = one.expression.rows(rows[:, 0])[:, columns]
    others = other.expression.rows(rows[:, 1])[:, other_columns]
    told = (values != 0).any(axis=1)  # a row of zeros says nothing
    return bool(2 * np.count_nonzero((values == others).all(axis=1) & told) > np.count_nonzero(told))


def _stacked(parts: list[ExperimentCells], shared_genes: bool) -> ExperimentCells:
    controls = {part.control for part in parts}
    if len(controls) > 1:
        told = ", ".join(f"{part.control!r} in {_name(part)}" for part in parts)
        raise InputError([Problem("control_pert", f"controls are called {told}", "Give controls one label.")])
    genes, places = _aligned([part.genes for part in parts], parts, shared_genes)
    output_genes, output_places = _aligned([part.output_genes for part in parts], parts, shared_genes)
    obsm = _common_embeddings(parts)
    if not len(output_genes) and any(part.obsm for part in parts) and not obsm:
        told = ", ".join(f"{_name(part)}: {_widths(part.obsm)}" for part in parts)
        raise InputError([Problem("embedding_key", f"embeddings differ between files ({told})", "Embed them alike.")])
    perturbations = stack_labels(part.perturbations for part in parts)
    starts = np.cumsum([0, *(len(part.file_names) for part in parts)])
    variable = None if any(part.hvg_genes is None for part in parts) else set.intersection(
        *(set(part.hvg_genes) for part in parts if part.hvg_genes is not None)
    )  # fmt: skip
    return ExperimentCells(
        expression=_rows([part.expression for part in parts], places),
        cell_names=np.concatenate([part.cell_names for part in parts]),
        genes=genes,
        output=_rows([part.output for part in parts], output_places),
        output_genes=output_genes,
        hvg_genes=None if variable is None else np.array([gene for gene in genes if gene in variable], dtype=object),
        perturbations=perturbations,
        cell_types=stack_labels(part.cell_types for part in parts),
        batches=stack_labels(part.batches for part in parts),
        files=np.concatenate([part.files + start for part, start in zip(parts, starts[:-1], strict=True)]),
        file_names=tuple(name for part in parts for name in part.file_names),
        control=parts[0].control,
        is_control=np.concatenate([part.is_control for part in parts]),
        obs={column: _values(parts, column) for column in _common([part.obs for part in parts])},
        var=_common_var(parts, places),
        obsm=obsm,
        features=_common_features(parts, perturbations.categories),
        log_scale=True if any(part.log_scale for part in parts) else None,
        barcodes=_common_barcodes(parts),
        additional_obs=tuple(_common([dict.fromkeys(part.additional_obs) for part in parts])),
    )


def _name(part: ExperimentCells) -> str:
    return ", ".join(part.file_names)


def _aligned(
    names: list[np.ndarray], parts: list[ExperimentCells], shared: bool
) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """One order of genes, and where each file has them; None where it has just these in this order."""
    first = names[0]
    if all(np.array_equal(first, other) for other in names):
        return first, [None] * len(names)
    problems = []
    for own, part in zip(names, parts, strict=True):
        if len(set(own)) < len(own):
            what = f"names {len(own) - len(set(own))} genes twice, so that files cannot be aligned by name"
            problems.append(Problem(_name(part), what, "Make its var_names unique."))
        lacking = set(own) ^ set(first)
        if lacking and not shared:
            what = f"and {_name(parts[0])} differ in {len(lacking)} genes, such as {sorted(map(str, lacking))[0]!r}"
            problems.append(Problem(_name(part), what, "Give files of the same genes, or set shared_genes=True."))
    common = set.intersection(*(set(own) for own in names))
    if not common:
        problems.append(Problem(_name(parts[-1]), "shares no gene with the others", "Name genes alike in all files."))
    if problems:
        raise InputError(problems)
    genes = np.array([gene for gene in first if gene in common], dtype=object)
    places: list[np.ndarray | None] = []
    for own in names:
        place = {gene: index for index, gene in enumerate(own)}
        places.append(np.array([place[gene] for gene in genes]))
    return genes, places


def _rows(matrices: list[CountMatrix], places: list[np.ndarray | None]) -> CountMatrix:
    return StackedCounts(
        [
            matrix if place is None else matrix.select_genes(place)
            for matrix, place in zip(matrices, places, strict=True)
        ]
    )


def _common(columns: list[Mapping]) -> list[str]:
    return [column for column in columns[0] if all(column in other for other in columns)]


def _values(parts: list[ExperimentCells], column: str) -> np.ndarray:
    """A column of all files; as objects where one has names and another numbers."""
    found = [part.obs[column] for part in parts]
    if len({values.dtype.kind in "OUS" for values in found}) > 1:
        found = [values.astype(object) for values in found]
    return np.concatenate(found)


def _common_var(parts: list[ExperimentCells], places: list[np.ndarray | None]) -> dict[str, np.ndarray]:
    """Columns of var that say the same in every file."""
    found = {}
    for column in _common([part.var for part in parts]):
        values = [
            part.var[column] if place is None else part.var[column][place]
            for part, place in zip(parts, places, strict=True)
        ]
        if all(np.array_equal(values[0], other) for other in values):
            found[column] = values[0]
    return found


def _widths(obsm: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{key} of width {values.shape[1]}" for key, values in obsm.items()) or "none"


def _common_embeddings(parts: list[ExperimentCells]) -> dict[str, np.ndarray]:
    """Embeddings that every file has in the same width."""
    return {
        key: np.concatenate([part.obsm[key] for part in parts])
        for key in _common([part.obsm for part in parts])
        if len({part.obsm[key].shape[1] for part in parts}) == 1
    }


def _common_features(parts: list[ExperimentCells], categories: np.ndarray) -> Float[np.ndarray, "perts width"] | None:
    """Embeddings of perturbations by name."""
    if any(part.features is None for part in parts):
        if any(part.features is not None for part in parts):
            raise ValueError("some files have an embedding of perturbations and some have none: give all one, or none")
        return None
    by_name: dict[str, np.ndarray] = {}
    for part in parts:
        assert part.features is not None
        for name, row in zip(part.perturbations.categories, part.features, strict=True):
            if name in by_name and not np.array_equal(by_name[name], row):
                raise ValueError(f"the embedding of perturbation {name!r} differs between files: embed it once")
            by_name[name] = row
    return np.stack([by_name[name] for name in categories])


def _common_barcodes(parts: list[ExperimentCells]) -> np.ndarray | None:
    found = [part.barcodes for part in parts if part.barcodes is not None]
    return np.concatenate(found) if len(found) == len(parts) else None
