"""One file of a perturbation experiment as a source of cells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from diffbio_core.problems import InputError, Problem
from diffbio_core.sources.expression import ExpressionTable, open_expression
from diffbio_core.sources.labels import Labels, safe_decode_array
from diffbio_core.sources.matrix import CountMatrix, DenseCounts
from diffbio_core.sources.perturbation.cells import CellSource, ExperimentCells
from diffbio_core.sources.perturbation.modes import OutputSpaceMode, check_mode
from diffbio_core.structural import StructuralConfig


@dataclass(frozen=True)
class PerturbationSourceConfig(StructuralConfig):
    """Configuration of `PerturbationAnnDataSource`.

    Attributes:
        file_path: The .h5ad file.
        backed: Whether the matrix stays in the file.
        shuffle: Whether cells come in another order every epoch.
        seed: Seed of that order.
        split: Name of the split that the file is, for messages.
        pert_col: Column of obs that holds perturbations.
        cell_type_col: Column of cell types.
        batch_col: Column of batches.
        control_pert: Label of controls.
        include_barcodes: Whether elements hold `barcode`.
        additional_obs: Columns of obs that elements hold by their own names.
        output_space: What `counts` are: "all" genes, "gene" for the highly variable ones, "embedding" for none.
        embedding_key: The embedding that elements hold with "embedding".
        hvg_col: Column of var that marks highly variable genes.
        should_yield_controls: Whether controls are yielded.
        perturbation_features_file: .npy or .npz file of an embedding of perturbations, one row each in sorted order.

    Raises:
        ValueError: A field is missing or has a value that it cannot have.
    """

    file_path: str | os.PathLike[str] | None = None
    backed: bool = False
    shuffle: bool = False
    seed: int = 42
    split: str | None = None
    pert_col: str = "perturbation"
    cell_type_col: str = "cell_type"
    batch_col: str = "batch"
    control_pert: str = "non-targeting"
    include_barcodes: bool = False
    additional_obs: tuple[str, ...] = ()
    output_space: str = "gene"
    embedding_key: str | None = None
    hvg_col: str | None = None
    should_yield_controls: bool = True
    perturbation_features_file: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.shuffle:
            object.__setattr__(self, "stochastic", True)
            object.__setattr__(self, "stream_name", self.stream_name or "shuffle")
        super().__post_init__()
        if self.file_path is None:
            raise ValueError("file_path is required, got None")
        check_mode("output_space", self.output_space, OutputSpaceMode)
        if self.output_space == OutputSpaceMode.EMBEDDING and self.embedding_key is None:
            raise ValueError("embedding_key is required with output_space='embedding', got None")
        if len(set(self.additional_obs)) != len(self.additional_obs):
            raise ValueError(f"additional_obs must not name a column twice, got {self.additional_obs}")


class PerturbationAnnDataSource(CellSource):
    """Cells of one file; a sparse matrix stays sparse, and with `backed` in its file.

    Args:
        config: What to read.
        rngs: Not used: the order comes from the configuration's seed.
        name: For messages; the file's path if None.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: Columns or embeddings that do not exist, cells without a label, or what cannot be read; all that is
            wrong at once.
    """

    def __init__(self, config: PerturbationSourceConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        del rngs
        assert config.file_path is not None  # the configuration refuses it
        self.config = config
        table = open_expression(config.file_path, backed=config.backed)
        super().__init__(
            _cells(table, config),
            yields_controls=config.should_yield_controls,
            shuffle=config.shuffle,
            seed=config.seed,
            name=name or str(config.file_path),
        )


def _cells(table: ExpressionTable, config: PerturbationSourceConfig) -> ExperimentCells:
    problems = _size_problems(table) or [*_problems(table, config), *_value_problems(table)]
    labels: list[Labels] = []
    for column in (config.pert_col, config.cell_type_col, config.batch_col):
        if column not in table.obs:  # told already
            continue
        try:
            labels.append(table.labels_of(column))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    perturbations, cell_types, batches = labels
    variable = None if config.hvg_col is None else np.flatnonzero(table.var[config.hvg_col])
    output, output_genes, obsm = _output(table, config, variable)
    return ExperimentCells(
        expression=table.counts,
        cell_names=table.cell_names,
        genes=table.gene_names,
        output=output,
        output_genes=output_genes,
        hvg_genes=None if variable is None else table.gene_names[variable],
        perturbations=perturbations,
        cell_types=cell_types,
        batches=batches,
        files=np.zeros(table.n_cells, np.int32),
        file_names=(table.name,),
        control=config.control_pert,
        is_control=perturbations.isin([config.control_pert]),
        obs=table.obs,
        var=table.var,
        obsm=obsm,
        features=_features(config.perturbation_features_file, perturbations.categories),
        log_scale=table.log_scale,
        barcodes=safe_decode_array(table.obs["barcode"]) if config.include_barcodes else None,
        additional_obs=config.additional_obs,
    )


def _output(
    table: ExpressionTable, config: PerturbationSourceConfig, variable: Int[np.ndarray, "k"] | None
) -> tuple[CountMatrix, np.ndarray, dict[str, np.ndarray]]:
    """What elements hold as counts, the genes of it, and their embeddings."""
    if config.output_space == OutputSpaceMode.EMBEDDING:
        assert config.embedding_key is not None  # the configuration refuses it
        empty = DenseCounts(np.zeros((table.n_cells, 0), np.float32))
        return empty, table.gene_names[:0], {config.embedding_key: table.obsm[config.embedding_key]}
    if config.output_space == OutputSpaceMode.GENE and variable is not None:
        return table.counts.select_genes(variable), table.gene_names[variable], dict(table.obsm)
    return table.counts, table.gene_names, dict(table.obsm)


def _size_problems(table: ExpressionTable) -> list[Problem]:
    if table.n_cells and table.n_genes:
        return []
    what = f"holds {table.n_cells} cells and {table.n_genes} genes"
    return [Problem(table.name, what, "Give a table of cells by genes.")]


def _value_problems(table: ExpressionTable) -> list[Problem]:
    """Values that are not finite, where looking does not mean to read a file that is to stay unread."""
    if table.counts.is_stored:
        return []
    for rows, block in table.counts.blocks():
        values = block.data if hasattr(block, "tocsr") else block
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            dense = table.counts.rows(rows)
            cell, gene = np.argwhere(~np.isfinite(dense))[0]
            place = f"cell {table.cell_names[rows[cell]]}, gene {table.gene_names[gene]}"
            what = f"holds {dense[cell, gene]:g} ({place}), which is no expression"
            return [Problem(table.name, what, "Leave those cells or genes out.")]
    return []


def _problems(table: ExpressionTable, config: PerturbationSourceConfig) -> list[Problem]:
    """Columns and embeddings that the configuration names and the file lacks."""
    problems = []
    wanted = [config.pert_col, config.cell_type_col, config.batch_col, *config.additional_obs]
    if config.include_barcodes:
        wanted.append("barcode")
    missing = [column for column in wanted if column not in table.obs]
    if missing:
        what = f"has no obs columns {', '.join(map(repr, missing))}; its columns are {', '.join(sorted(table.obs))}"
        problems.append(Problem(table.name, what, "Name the columns that hold them."))
    if config.hvg_col is None and config.output_space == OutputSpaceMode.GENE:
        what = "output_space 'gene' takes highly variable genes, but no hvg_col names the column that marks them"
        problems.append(Problem(table.name, what, "Set hvg_col, or output_space='all' for all genes."))
    if config.hvg_col is not None:
        marks = table.var.get(config.hvg_col)
        if marks is None:
            what = f"has no var column {config.hvg_col!r}; its columns are {', '.join(sorted(table.var)) or 'none'}"
            problems.append(Problem(table.name, what, "Name the column that marks highly variable genes."))
        elif not np.isin(marks, (0, 1)).all():
            what = f"var column {config.hvg_col!r} holds more than true and false"
            problems.append(Problem(table.name, what, "Name the column that marks highly variable genes."))
    if config.output_space == OutputSpaceMode.EMBEDDING and config.embedding_key not in table.obsm:
        what = f"has no embedding {config.embedding_key!r}; it has {', '.join(sorted(table.obsm)) or 'none'}"
        problems.append(Problem(table.name, what, "Name one of them as embedding_key."))
    return problems


def _features(path: str | os.PathLike[str] | None, categories: np.ndarray) -> Float[np.ndarray, "perts width"] | None:
    """An embedding of perturbations from a .npy file, or from a .npz file of one array."""
    if path is None:
        return None
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Give an embedding of perturbations (.npy or .npz).")
    found = np.load(path, allow_pickle=False)
    if not isinstance(found, np.ndarray):
        if len(found.files) != 1:
            raise ValueError(f"{path}: holds the arrays {', '.join(found.files)}. Give one array alone.")
        found = found[found.files[0]]
    if found.ndim != 2 or len(found) != len(categories):
        raise ValueError(
            f"{path}: has shape {found.shape}, expected one row for each of the {len(categories)} perturbations, "
            f"the control among them, in sorted order"
        )
    return found.astype(np.float32)
