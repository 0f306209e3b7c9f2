"""From files of a perturbation experiment to splits, pairs with controls, and batches to train on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from diffbio_core.operators.singlecell.knockdown_filter import (
    KnockdownFilterConfig,
    KnockdownReport,
    OnTargetKnockdownFilter,
)
from diffbio_core.operators.validation import check_fraction, check_positive
from diffbio_core.problems import InputError, Problem
from diffbio_core.samplers.perturbation_sampler import PerturbationBatchSampler, PerturbationSamplerConfig
from diffbio_core.sources.perturbation.cells import CellSource
from diffbio_core.sources.perturbation.concat_source import PerturbationConcatSource, check_cells_once
from diffbio_core.sources.perturbation.control_mapping import (
    NO_CONTROL,
    BatchControlMapping,
    ControlMappingConfig,
    RandomControlMapping,
)
from diffbio_core.sources.perturbation.experiment_config import ExperimentConfig, load_experiment_config
from diffbio_core.sources.perturbation.modes import MappingStrategy, OutputSpaceMode, check_mode, unknown
from diffbio_core.sources.perturbation.perturbation_source import PerturbationAnnDataSource, PerturbationSourceConfig
from diffbio_core.splitters.base import NO_SPLIT, Assignment, SplitterModule
from diffbio_core.splitters.experiment import assign_experiment
from diffbio_core.splitters.perturbation import (
    FewShotSplitter,
    FewShotSplitterConfig,
    ZeroShotSplitter,
    ZeroShotSplitterConfig,
)
from diffbio_core.splitters.random import RandomSplitter, RandomSplitterConfig
from diffbio_core.splitters.table import SplitTable
from diffbio_core.structural import StructuralConfig

_HELD_OUT = {"zeroshot": "held_out_cell_types", "fewshot": "held_out_perturbations"}


@dataclass(frozen=True)
class PerturbationPipelineConfig(StructuralConfig):
    """Configuration of `PerturbationPipeline`.

    Attributes:
        pert_col: Column of obs that holds perturbations.
        cell_type_col: Column of cell types.
        batch_col: Column of batches.
        control_pert: Label of controls.
        output_space: What elements hold as counts: "all" genes, "gene" for the highly variable ones, "embedding" for
            none beside `embedding_key`.
        embedding_key: Key of obsm.
        hvg_col: Column of var that marks highly variable genes.
        mapping_strategy: Controls of the same cell type ("random"), or of the same batch, too ("batch").
        n_basal_samples: Controls per perturbed cell.
        sentence_size: Most cells of a sentence.
        sentences_per_batch: Sentences of a batch.
        split_mode: "random", "zeroshot" by cell type, or "fewshot" by perturbation.
        held_out_cell_types: Cell types for test with "zeroshot".
        held_out_perturbations: Perturbations for test with "fewshot".
        enable_knockdown_filter: Whether cells must show that their target gene is down.
        residual_expression: See `KnockdownFilterConfig`.
        cell_residual_expression: See `KnockdownFilterConfig`.
        min_cells: See `KnockdownFilterConfig`.
        var_gene_col: Column of var that holds gene names.
        train_frac: Fraction of cells to train on.
        valid_frac: Fraction of cells to choose by; the rest is for test.
        seed: Seed of splits, pairs and batches.
        backed: Whether matrices stay in their files.
        shared_genes: Whether genes that only some files have are left out.
        log_scale: For the filter, see `KnockdownFilterConfig`.

    Raises:
        ValueError: A value that a field cannot have, or one that its split does not use, with the field's name.
    """

    pert_col: str = "perturbation"
    cell_type_col: str = "cell_type"
    batch_col: str = "batch"
    control_pert: str = "non-targeting"
    output_space: str = "all"
    embedding_key: str | None = None
    hvg_col: str | None = None
    mapping_strategy: str = "random"
    n_basal_samples: int = 1
    sentence_size: int = 512
    sentences_per_batch: int = 1
    split_mode: str = "random"
    held_out_cell_types: tuple[str, ...] = ()
    held_out_perturbations: tuple[str, ...] = ()
    enable_knockdown_filter: bool = False
    residual_expression: float = 0.30
    cell_residual_expression: float = 0.50
    min_cells: int = 30
    var_gene_col: str | None = None
    train_frac: float = 0.8
    valid_frac: float = 0.1
    seed: int = 42
    backed: bool = False
    shared_genes: bool = False
    log_scale: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = "perturbation pipeline"
        check_mode("output_space", self.output_space, OutputSpaceMode)
        check_mode("mapping_strategy", self.mapping_strategy, MappingStrategy)
        check_mode("split_mode", self.split_mode, ("random", *_HELD_OUT))
        if self.output_space == OutputSpaceMode.EMBEDDING and self.embedding_key is None:
            raise ValueError("embedding_key is required with output_space='embedding', got None")
        check_positive(
            owner,
            n_basal_samples=self.n_basal_samples,
            sentence_size=self.sentence_size,
            sentences_per_batch=self.sentences_per_batch,
            min_cells=self.min_cells,
            residual_expression=self.residual_expression,
            cell_residual_expression=self.cell_residual_expression,
        )
        check_fraction(
            owner,
            train_frac=self.train_frac,
            valid_frac=self.valid_frac,
            residual_expression=self.residual_expression,
            cell_residual_expression=self.cell_residual_expression,
        )
        if self.train_frac + self.valid_frac > 1 + 1e-9:
            total = self.train_frac + self.valid_frac
            raise ValueError(f"{owner}: train_frac + valid_frac must be at most 1, got {total}")
        if self.seed < 0:
            raise ValueError(f"{owner}: seed must be 0 or more, got {self.seed}")
        for mode, field in _HELD_OUT.items():
            held = getattr(self, field)
            if isinstance(held, str):
                raise ValueError(f"{field} must be several names, got {held!r}: write ({held!r},)")
            if mode == self.split_mode and not held:
                raise ValueError(f"{field} is required with split_mode={mode!r}, got none")
            if mode != self.split_mode and held:
                raise ValueError(f"{field} is not used with split_mode={self.split_mode!r}, got {held}")


class PerturbationPipeline:
    """Reads files, looks at knockdown where asked, splits the cells, pairs them with controls, and makes batches.

    No pair crosses a split, a cell type, a file, or with "batch" a batch: each split has controls of its own. With
    "fewshot" those of every cell type are shared out in proportion to the perturbed cells of each split.

    Args:
        config: What to do.
    """

    def __init__(self, config: PerturbationPipelineConfig):
        self.config = config

    def setup(self, file_paths: Sequence[str | os.PathLike[str]]) -> PerturbationPipelineResult:
        """Set up from files.

        Args:
            file_paths: .h5ad files; one cell type may be in several, its pairs stay within each.

        Raises:
            FileNotFoundError: A file is absent.
            InputError: Names that do not exist, files that do not fit each other, or what the parts refuse.
            ValueError: No files.
        """
        if isinstance(file_paths, str | os.PathLike):
            file_paths = [file_paths]
        if not file_paths:
            raise ValueError("setup needs at least one file, got none")
        source = self._open(file_paths)
        return self._set_up(source, self._splitter().assign(source))

    def setup_experiment(self, experiment: ExperimentConfig | str | os.PathLike[str]) -> PerturbationPipelineResult:
        """Set up as an experiment's TOML says, which gives the files and the splits.

        Args:
            experiment: The experiment, or the TOML file of one.

        Raises:
            FileNotFoundError: The TOML file is absent.
            InputError: A data set without files, names that do not exist, or what the parts refuse.
            ValueError: The pipeline's configuration asks for another split.
        """
        if self.config.split_mode != "random":
            raise ValueError(f"the experiment says how to split: leave out split_mode={self.config.split_mode!r}")
        if not isinstance(experiment, ExperimentConfig):
            experiment = load_experiment_config(Path(experiment))
        experiment.validate()
        used = [entry for entry in experiment.datasets if entry.name in experiment.get_all_datasets()]
        files = [(entry.name, file) for entry in used for file in entry.files()]
        lacking = [entry for entry in used if entry.name not in {name for name, _ in files}]
        problems = [
            Problem(f"data set {entry.name!r}", f"{entry.path} leads to no .h5ad file", "Correct its path.")
            for entry in lacking
        ]
        if not used:
            problems.append(Problem("experiment", "names no data set", "Name one in [training]."))
        if problems:
            raise InputError(problems)
        source = self._open([file for _, file in files])
        assignment = assign_experiment(
            source,
            experiment,
            [name for name, _ in files],
            controls_by_batch=self.config.mapping_strategy == MappingStrategy.BATCH,
            seed=self.config.seed,
        )
        return self._set_up(source, assignment)

    def _open(self, paths: Sequence[str | os.PathLike[str]]) -> CellSource:
        config = self.config
        sources = [
            PerturbationAnnDataSource(
                PerturbationSourceConfig(
                    file_path=path,
                    backed=config.backed,
                    seed=config.seed,
                    pert_col=config.pert_col,
                    cell_type_col=config.cell_type_col,
                    batch_col=config.batch_col,
                    control_pert=config.control_pert,
                    output_space=config.output_space,
                    embedding_key=config.embedding_key,
                    hvg_col=config.hvg_col,
                )
            )
            for path in paths
        ]
        source = sources[0]
        if len(sources) > 1:
            check_cells_once(sources)
            source = PerturbationConcatSource(sources, shared_genes=config.shared_genes)
        if not source.get_control_mask().any():
            names = [str(name) for name in source.get_pert_categories()]
            known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            what = f"{config.pert_col} holds no control {unknown([config.control_pert], names)}, but {known}"
            raise InputError([Problem(source.name, what, "Name the label of controls as control_pert.")])
        return source

    def _splitter(self) -> SplitterModule:
        config = self.config
        common: dict[str, Any] = {
            "train_frac": config.train_frac,
            "valid_frac": config.valid_frac,
            "test_frac": max(0.0, 1 - config.train_frac - config.valid_frac),
            "seed": config.seed,
        }
        if config.split_mode == "random":
            return RandomSplitter(RandomSplitterConfig(**common))
        common |= {"pert_col": config.pert_col, "cell_type_col": config.cell_type_col}
        if config.split_mode == "zeroshot":
            return ZeroShotSplitter(ZeroShotSplitterConfig(held_out_cell_types=config.held_out_cell_types, **common))
        return FewShotSplitter(
            FewShotSplitterConfig(
                held_out_perturbations=config.held_out_perturbations,
                control_pert=config.control_pert,
                share_controls=True,
                controls_by_batch=config.mapping_strategy == MappingStrategy.BATCH,
                **common,
            )
        )

    def _set_up(self, source: CellSource, assignment: Assignment) -> PerturbationPipelineResult:
        config, report = self.config, None
        if config.enable_knockdown_filter:
            report = OnTargetKnockdownFilter(
                KnockdownFilterConfig(
                    pert_col=config.pert_col,
                    control_pert=config.control_pert,
                    residual_expression=config.residual_expression,
                    cell_residual_expression=config.cell_residual_expression,
                    min_cells=config.min_cells,
                    var_gene_col=config.var_gene_col,
                    log_scale=config.log_scale,
                )
            ).examine(source)
            for place, reason in enumerate(report.reasons):
                assignment.assign(~report.mask & (report.why == place), NO_SPLIT, reason)
        mapper = BatchControlMapping if config.mapping_strategy == MappingStrategy.BATCH else RandomControlMapping
        mapping = mapper(
            ControlMappingConfig(
                strategy=config.mapping_strategy,
                n_basal_samples=config.n_basal_samples,
                seed=config.seed,
                map_controls=True,
                batch_fallback=False,
            )
        ).build_mapping(source, assignment.split)
        split = assignment.result()
        sampler = PerturbationBatchSampler(
            PerturbationSamplerConfig(
                sentence_size=config.sentence_size, sentences_per_batch=config.sentences_per_batch, seed=config.seed
            ),
            source.get_group_codes()[split.train_indices],
            split.train_indices,
        )
        return PerturbationPipelineResult(source, assignment, mapping, sampler, report)


class PerturbationPipelineResult:
    """An experiment, set up. Every number in it, also those of the sampler's batches, is a cell of `source`.

    Attributes:
        source: The cells.
        assignment: Split of every cell, and why.
        train_indices: Cells to train on.
        valid_indices: Cells to choose by.
        test_indices: Cells to measure on.
        control_mapping: Controls of every perturbed cell of the source in order (n_perturbed, n_basal_samples); -1
            where there is none, and for cells of no split.
        train_sampler: Batches of cells to train on.
        filter_mask: Which cells show knockdown; None if that was not asked.
        knockdown: What became of every perturbation; None if that was not asked.
        split_table: What each split holds, and why.
    """

    def __init__(
        self,
        source: CellSource,
        assignment: Assignment,
        mapping: Int[np.ndarray, "cells n_basal"],
        train_sampler: PerturbationBatchSampler,
        knockdown: KnockdownReport | None,
    ):
        self.source, self.assignment, self.train_sampler, self.knockdown = source, assignment, train_sampler, knockdown
        self.train_indices, self.valid_indices, self.test_indices = assignment.result()
        self.filter_mask: Bool[np.ndarray, "cells"] | None = None if knockdown is None else knockdown.mask
        self._mapping = mapping
        self.control_mapping: Int[np.ndarray, "perturbed n_basal"] = mapping[~source.get_control_mask()]
        self.split_table = SplitTable.of(source, assignment, self.control_mapping)

    def get_element(self, global_idx: int) -> dict[str, Any]:
        """One cell by its number."""
        return self.source[global_idx]

    def get_var_dims(self) -> dict[str, int]:
        """Numbers of genes, cells, perturbations, cell types and batches."""
        return self.source.get_var_dims()

    def controls_of(self, indices: Sequence[int | np.integer] | Int[np.ndarray, "n"]) -> Int[np.ndarray, "n n_basal"]:
        """Controls of any cells, also of controls, which are paired with others.

        Args:
            indices: Numbers of cells.

        Returns:
            Numbers of their controls; -1 where there are none.

        Raises:
            IndexError: A number that is no cell, such as -1, the mark of a missing control.
        """
        cells = np.asarray(indices)
        outside = (cells < 0) | (cells >= len(self._mapping))
        if outside.any():
            raise IndexError(
                f"{self.source.name} has cells 0 to {len(self._mapping) - 1}, got {cells[outside].flat[0]}"
            )
        return self._mapping[cells]

    def get_paired_batch(self, indices: Sequence[int | np.integer] | Int[np.ndarray, "n"]) -> dict[str, Any]:
        """Cells with their controls.

        Args:
            indices: Numbers of cells, such as a batch of the sampler.

        Returns:
            What `source.gather` gives for the cells, with `control_indices` (n, n_basal_samples) and `control_counts`
            (n, n_basal_samples, genes).

        Raises:
            ValueError: A cell that has no control.
        """
        controls = self.controls_of(indices)
        if (controls == NO_CONTROL).any():
            lacking = np.asarray(indices)[(controls == NO_CONTROL).any(axis=1)]
            raise ValueError(
                f"{len(lacking)} of {len(controls)} cells have no control in their split, cell type and file, first "
                f"cell {lacking[0]}: leave them out (split_table says where they are)"
            )
        batch = self.source.gather(np.asarray(indices))
        counts = self.source.gather(controls.reshape(-1))["counts"]
        return batch | {"control_indices": controls, "control_counts": counts.reshape(*controls.shape, -1)}
