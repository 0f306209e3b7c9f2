"""Cells of a perturbation experiment, in one vocabulary: what single files and several of them have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from diffbio_core.sources.labels import Labels
from diffbio_core.sources.matrix import CountMatrix, DenseCounts


@dataclass(frozen=True)
class ExperimentCells:
    """What is known of the cells.

    Attributes:
        expression: All genes of all cells.
        cell_names: Names of the cells, each once within its file.
        genes: Names of the genes.
        output: What elements hold as counts.
        output_genes: Names of those genes.
        hvg_genes: Names of the highly variable genes, or None where no column tells them.
        perturbations: Perturbation of every cell.
        cell_types: Its cell type.
        batches: Its batch.
        files: Its file.
        file_names: Names of the files, by code.
        control: Label of controls.
        is_control: Whether it is a control.
        obs: Columns of obs.
        var: Columns of var.
        obsm: Embeddings that elements hold.
        features: Embedding of every perturbation (perturbations, width); one-hot if None.
        log_scale: Whether a file says that values are log1p; None if all say nothing.
        barcodes: Barcode of every cell, or None.
        additional_obs: Columns of obs that elements hold by their own names.
    """

    expression: CountMatrix
    cell_names: np.ndarray
    genes: np.ndarray
    output: CountMatrix
    output_genes: np.ndarray
    hvg_genes: np.ndarray | None
    perturbations: Labels
    cell_types: Labels
    batches: Labels
    files: Int[np.ndarray, "cells"]
    file_names: tuple[str, ...]
    control: str
    is_control: Bool[np.ndarray, "cells"]
    obs: Mapping[str, np.ndarray]
    var: Mapping[str, np.ndarray]
    obsm: Mapping[str, np.ndarray]
    features: Float[np.ndarray, "perts width"] | None
    log_scale: bool | None
    barcodes: np.ndarray | None
    additional_obs: tuple[str, ...]


class CellSource:
    """Cells by number, one by one or in batches.

    Numbers that go in (`source[i]`, iteration, splits) count the cells that the source yields; where controls are not
    yielded, `cell_indices` says which cells of the experiment they are. What comes out per cell (`get_control_mask`,
    codes, control mappings) counts all cells, and `gather` takes those numbers.

    Attributes:
        cells: What is known of all cells.
        cell_indices: Cells that are yielded, by their number among all cells.
        yields_controls: Whether controls are among them.
        name: For messages.
        shuffle: Whether they come in another order every epoch.
        seed: Seed of that order.
        epoch: How often the cells have been gone through.
    """

    def __init__(self, cells: ExperimentCells, *, yields_controls: bool, shuffle: bool, seed: int, name: str):
        self.cells = cells
        chosen = np.ones_like(cells.is_control) if yields_controls else ~cells.is_control
        self.cell_indices: Int[np.ndarray, "yielded"] = np.flatnonzero(chosen)
        self.yields_controls, self.name = yields_controls, name
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0
        self._position = 0

    def __len__(self) -> int:
        return len(self.cell_indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"cell {index} of {self.name}, which yields {len(self)} cells")
        return self.cell(int(self.cell_indices[index]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index in self._order():
            yield self.cell(int(index))
        self.epoch += 1

    def cell(self, index: int) -> dict[str, Any]:
        """One cell by its number among all cells."""
        batch = self.gather(np.array([index]))
        inner = {"obs", "obsm"}
        cell = {key: values[0] for key, values in batch.items() if key not in inner}
        cell |= {key: {name: values[0] for name, values in batch[key].items()} for key in inner}
        for key in ("pert_code", "cell_type_code", "batch_code"):
            cell[key] = int(cell[key])
        cell["is_control"] = bool(cell["is_control"])
        return cell

    def gather(self, indices: Int[np.ndarray, "n"] | Sequence[int | np.integer]) -> dict[str, Any]:
        """Cells by their numbers among all cells.

        Args:
            indices: Any order, repeats allowed; -1, the mark of a missing control, is refused.

        Returns:
            `counts` (n, genes), `obs` and `obsm` (by column and key), `pert_code`, `cell_type_code`, `batch_code`,
            `is_control` (n,), `pert_emb`, `cell_type_onehot`, `batch_onehot` (n, width), and lists of `pert_name`,
            `cell_type_name`, `batch_name`; `barcode` and further columns of obs where they were asked for.

        Raises:
            IndexError: A number that is no cell.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and not (indices.min() >= 0 and indices.max() < len(self.cells.files)):
            wrong = indices[(indices < 0) | (indices >= len(self.cells.files))][0]
            raise IndexError(f"{self.name} has cells 0 to {len(self.cells.files) - 1}, got {wrong}")
        cells = self.cells
        batch: dict[str, Any] = {
            "counts": jnp.asarray(cells.output.rows(indices), dtype=float),
            "obs": {column: values[indices] for column, values in cells.obs.items()},
            "obsm": {key: jnp.asarray(values[indices]) for key, values in cells.obsm.items()},
            "is_control": cells.is_control[indices],
        }
        for key, onehot, labels in (
            ("pert", "pert_emb", cells.perturbations),
            ("cell_type", "cell_type_onehot", cells.cell_types),
            ("batch", "batch_onehot", cells.batches),
        ):
            codes = labels.codes[indices]
            batch[f"{key}_code"] = codes
            features = cells.features if key == "pert" else None
            width = len(labels.categories)
            batch[onehot] = _onehot(codes, width) if features is None else jnp.asarray(features[codes])
            batch[f"{key}_name"] = [str(name) for name in labels.categories[codes]]
        if cells.barcodes is not None:
            batch["barcode"] = [str(barcode) for barcode in cells.barcodes[indices]]
        return batch | {column: cells.obs[column][indices] for column in cells.additional_obs}

    def get_batch(self, batch_size: int, key: Array | None = None) -> dict[str, Any]:
        """Some cells, with the keys of `gather`.

        Args:
            batch_size: How many; fewer where an epoch ends.
            key: PRNG key for a random choice without repeats; None for the next cells in order.

        Raises:
            ValueError: The batch size is not positive.
        """
        if batch_size <= 0:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        if key is not None:
            drawn = jax.random.choice(key, len(self), (min(batch_size, len(self)),), replace=False)
            return self.gather(self.cell_indices[np.asarray(drawn)])
        indices = self._order()[self._position : self._position + batch_size]
        self._position += batch_size
        if self._position >= len(self):
            self._position, self.epoch = 0, self.epoch + 1
        return self.gather(indices)

    def load(self) -> dict[str, Any]:
        """All cells: `counts`, `obs`, `var` and `obsm`; a sparse or stored matrix stays so (`np.asarray` fills it)."""
        counts = self.cells.output
        dense = jnp.asarray(counts, dtype=float) if isinstance(counts, DenseCounts) else counts
        obsm = {key: jnp.asarray(values) for key, values in self.cells.obsm.items()}
        return {"counts": dense, "obs": dict(self.cells.obs), "var": dict(self.cells.var), "obsm": obsm}

    def reset(self, seed: int | None = None) -> None:
        """Start again at the first cell of the first epoch, with another seed for the order if one is given."""
        self._position, self.epoch = 0, 0
        self.seed = self.seed if seed is None else seed

    def set_shuffle(self, shuffle: bool) -> None:
        """Whether cells come in another order every epoch."""
        self.shuffle = shuffle

    def get_dataset_info(self) -> dict[str, int]:
        """Numbers of genes and cells."""
        return {"n_genes": len(self.cells.genes), "n_cells": len(self.cells.files)}

    def get_control_mask(self) -> Bool[np.ndarray, "cells"]:
        """Which cells are controls."""
        return self.cells.is_control

    def get_pert_codes(self) -> Int[np.ndarray, "cells"]:
        """Place of every cell's perturbation among the sorted ones."""
        return self.cells.perturbations.codes

    def get_cell_type_codes(self) -> Int[np.ndarray, "cells"]:
        """Place of every cell's type among the sorted ones."""
        return self.cells.cell_types.codes

    def get_batch_codes(self) -> Int[np.ndarray, "cells"]:
        """Place of every cell's batch among the sorted ones."""
        return self.cells.batches.codes

    def get_file_codes(self) -> Int[np.ndarray, "cells"]:
        """Number of every cell's file."""
        return self.cells.files

    def get_pert_categories(self) -> np.ndarray:
        """The perturbations, sorted, the control's label among them."""
        return self.cells.perturbations.categories

    def get_cell_type_categories(self) -> np.ndarray:
        """The cell types, sorted."""
        return self.cells.cell_types.categories

    def get_batch_categories(self) -> np.ndarray:
        """The batches, sorted."""
        return self.cells.batches.categories

    def get_group_codes(self) -> Int[np.ndarray, "cells"]:
        """One number per cell type and perturbation: cell_type_code x n_perts + pert_code."""
        return self.cells.cell_types.codes * len(self.get_pert_categories()) + self.cells.perturbations.codes

    def get_onehot_map(self) -> dict[str, Float[Array, "perts"]]:
        """A one-hot vector by perturbation."""
        names = self.get_pert_categories()
        return dict(zip(map(str, names), _onehot(np.arange(len(names)), len(names)), strict=True))

    def get_gene_names(self, output_space: str = "all") -> list[str]:
        """Names of all genes, or ("gene") of the highly variable ones, where a column tells them."""
        variable = self.cells.hvg_genes if output_space == "gene" else None
        return [str(name) for name in (self.cells.genes if variable is None else variable)]

    def get_n_genes(self) -> int:
        """Number of genes measured."""
        return len(self.cells.genes)

    def get_var_dims(self) -> dict[str, int]:
        """Numbers of genes, of cells yielded, and of labels of each kind."""
        return {
            "n_genes": len(self.cells.genes),
            "n_cells": len(self),
            "n_perts": len(self.get_pert_categories()),
            "n_cell_types": len(self.get_cell_type_categories()),
            "n_batches": len(self.get_batch_categories()),
        }

    def _order(self) -> Int[np.ndarray, "yielded"]:
        if not self.shuffle:
            return self.cell_indices
        return np.random.default_rng((self.seed, self.epoch)).permutation(self.cell_indices)


def _onehot(codes: Int[np.ndarray, "n"], width: int) -> Float[Array, "n width"]:
    found = np.zeros((len(codes), width), np.float32)
    found[np.arange(len(codes)), codes] = 1
    return jnp.asarray(found)
