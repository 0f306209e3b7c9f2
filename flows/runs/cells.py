"""Analysis of single cells, from raw counts in a file to embeddings, a view and clusters in another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from diffbio_cluster import ClusterConfig, open_executor
from diffbio_core.problems import InputError, Problem
from diffbio_flows.runs.layout import writing
from diffbio_flows.runs.places import check_new_folder

if TYPE_CHECKING:
    from anndata import AnnData

    from diffbio_core.sources.labels import Labels

_LARGEST_COUNT = 1e9
"""No gene is read so often in a cell; such values are something else, such as an overflow."""

Report = Callable[[str, int, int, float | None], None]
"""Told how far a run is: stage, steps done, steps in all, and the loss where there is one."""


class CellsParameters(BaseModel):
    """What an analysis of cells is told.

    Attributes:
        counts: .h5ad of raw counts.
        output: .h5ad to write: the cells with what was found, in the genes that came in.
        batch_key: Column of obs with the batch; None where there is one batch.
        genes: Most variable genes that are analysed.
        clusters: Clusters.
        latent: Size of the latent.
        likelihood: Law of the counts.
        remove_ambient: Whether ambient RNA, of the profile of all cells together, is taken off.
        epochs: Passes of the autoencoder over the cells; by the number of cells if None.
        seed: The same seed gives the same bits.
        model: Checkpoint of the fitted pipeline to write, too.
        workers: Worker processes that train the autoencoder; without workers, scheduler and cluster this process does.
        scheduler: Address of a running Dask scheduler whose workers train it.
        cluster: TOML file that describes a cluster whose workers train it.
        work_dir: Folder for the state of such a training; OUTPUT.work if None.
        force: Whether files that are there are replaced.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    counts: Path
    output: Path
    batch_key: str | None = None
    genes: int = Field(default=2000, ge=2)
    clusters: int = Field(default=10, ge=1)
    latent: int = Field(default=10, ge=2)
    likelihood: str = Field(default="zinb", pattern="^(poisson|nb|zinb)$")
    remove_ambient: bool = False
    epochs: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    model: Path | None = None
    workers: int | None = Field(default=None, ge=1)
    scheduler: str | None = None
    cluster: Path | None = None
    work_dir: Path | None = None
    force: bool = False

    @property
    def cluster_config(self) -> ClusterConfig | None:
        """Where the autoencoder is trained; None: in this process.

        Raises:
            ClusterConfigError: The file is faulty, or two clusters are described.
        """
        where = self.workers, self.scheduler, self.cluster
        return None if where == (None, None, None) else ClusterConfig.of(*where)

    @property
    def work_path(self) -> Path:
        """Where the state of a training on workers lies."""
        return self.work_dir or self.output.with_name(f"{self.output.name}.work")

    @property
    def plots(self) -> dict[str, Path]:
        """Where the plots of the loss and of the view go, by name."""
        return {name: self.output.with_name(f"{self.output.stem}.{name}.png") for name in ("loss", "umap")}


@dataclass(frozen=True)
class CellsSummary:
    """What an analysis found.

    Attributes:
        cells: Number of cells.
        genes: Number of genes analysed.
        batches: Number of batches.
        epochs: Passes of the autoencoder over the cells.
        held_out_loss: Negative evidence bound of a held-out cell; None where too few cells are there to hold one out.
        mixing_before: Mean LISI of the batches in the latent; None with one batch.
        mixing_after: The same after correction.
        cluster_sizes: Cells of each cluster.
        files: What was written, by name.
    """

    cells: int
    genes: int
    batches: int
    epochs: int
    held_out_loss: float | None
    mixing_before: float | None
    mixing_after: float | None
    cluster_sizes: dict[str, int]
    files: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """For a script."""
        return asdict(self)

    def to_text(self) -> str:
        """For people."""
        lines = [f"{self.cells:,} cells, {self.genes:,} genes, {self.batches} batches, {self.epochs} epochs"]
        if self.held_out_loss is not None:
            lines.append(f"held-out loss   {self.held_out_loss:.2f} a cell")
        if self.mixing_before is not None:
            lines.append(f"mixing (LISI)   {self.mixing_before:.2f} before, {self.mixing_after:.2f} after correction")
        lines += [f"cluster {name:<7} {size:,} cells" for name, size in self.cluster_sizes.items()]
        return "\n".join([*lines, *(f"{name:<15} {path}" for name, path in self.files.items())])


def analyse_cells(
    parameters: CellsParameters,
    *,
    report: Report = lambda stage, done, steps, loss: None,
    tell: Callable[[str], None] = lambda line: None,
) -> CellsSummary:
    """Fit the single-cell pipeline to the cells of a file, and write them with what it found.

    `obsm` gets `X_latent`, `X_corrected_diffbio` and `X_umap_diffbio`, `obs` gets `cluster_diffbio`, `uns` what it was
    made with.

    Args:
        parameters: Files and settings.
        report: Told how far the run is.
        tell: Gets a line for each thing of the input that may surprise.

    Raises:
        InputError: Everything that is wrong with files and settings.
        TaskFailedError: The output cannot be written, or a worker failed. Checkpoints are kept.
        ClusterLostError: No worker could be started, or none is left. Checkpoints are kept.
    """
    parameters.cluster_config  # noqa: B018 - tells of a faulty file before any work
    problems = _place_problems(parameters)
    if problems:
        raise InputError(problems)
    report("reading", 0, 1, None)
    table = _checked_table(parameters)

    from flax import nnx

    from diffbio_core.operators.singlecell.variable_genes import variable_genes
    from diffbio_core.pipelines.single_cell import SingleCellPipeline, SingleCellPipelineConfig
    from diffbio_core.training.vae_training import VAETrainingConfig, train_vae
    from diffbio_io.h5ad import expression_of

    batched = parameters.batch_key is not None
    expression = expression_of(table, str(parameters.counts))
    labels = expression.labels_of(parameters.batch_key) if parameters.batch_key is not None else None
    if labels is not None:
        _tell_odd_batches(labels, parameters, tell)
    chosen = variable_genes(expression.counts, parameters.genes)
    counts = expression.counts.select_genes(chosen)
    empty = _cells_without_counts(counts)
    if empty.size:
        first = expression.cell_names[empty[0]]
        what = f"{empty.size} cells have no counts in the {chosen.size} genes analysed, first {first}"
        raise InputError([Problem(str(parameters.counts), what, "Remove cells with few counts, or raise --genes.")])
    pipeline = SingleCellPipeline(
        SingleCellPipelineConfig(
            n_genes=int(chosen.size),
            n_clusters=parameters.clusters,
            latent_dim=parameters.latent,
            likelihood=parameters.likelihood,
            enable_ambient_removal=parameters.remove_ambient,
            enable_batch_correction=batched,
            n_batches=len(labels.categories) if labels is not None else None,
        ),
        rngs=nnx.Rngs(parameters.seed),
    )
    codes = None if labels is None else labels.codes
    with ExitStack() as held:
        cluster = parameters.cluster_config
        train: Any = train_vae
        if cluster is not None:
            from diffbio_flows.training.autoencoder import train_on_workers

            scratch = (parameters.work_path / "scratch").resolve()
            executor = held.enter_context(open_executor(cluster.with_scratch(scratch)))
            device = "GPU" if executor.gpu_workers else None
            train = partial(train_on_workers, executor=executor, work=parameters.work_path, device=device)
        try:
            history = pipeline.fit(
                counts,
                training=VAETrainingConfig(epochs=parameters.epochs, seed=parameters.seed),
                seed=parameters.seed,
                report=report,
                batch_labels=codes,
                train=train,
            )
        except (ValueError, FloatingPointError) as error:
            what = f"cannot be fitted: {error}"
            raise InputError([Problem(str(parameters.counts), what, "Look for genes with extreme counts.")]) from error
    report("writing", 0, 1, None)
    found = {name: np.asarray(values) for name, values in pipeline.embed(counts, batch_labels=codes).items()}
    clusters = found["cluster_assignments"].argmax(axis=1)
    table.obsm["X_latent"] = found["latent"]
    table.obsm["X_corrected_diffbio"] = found["corrected_embeddings"]
    table.obsm["X_umap_diffbio"] = found["embeddings_2d"]
    table.obs["cluster_diffbio"] = clusters.astype(str)
    table.uns["diffbio_cells"] = _provenance(parameters, [str(name) for name in expression.gene_names[chosen]])
    _write(parameters, table, pipeline, history.losses, found, labels)
    mixing = _mixing(found, labels.codes) if labels is not None else (None, None)
    sizes = np.bincount(clusters, minlength=parameters.clusters)
    return CellsSummary(
        cells=expression.n_cells,
        genes=int(chosen.size),
        batches=len(labels.categories) if labels is not None else 1,
        epochs=len(history.losses),
        held_out_loss=None if history.held_out is None else history.held_out.loss,
        mixing_before=mixing[0],
        mixing_after=mixing[1],
        cluster_sizes={str(cluster): int(size) for cluster, size in enumerate(sizes)},
        files={name: str(path) for name, path in _outputs(parameters).items()},
    )


def _outputs(parameters: CellsParameters) -> dict[str, Path]:
    files = {"cells": parameters.output, **parameters.plots}
    return files if parameters.model is None else files | {"model": parameters.model}


def _place_problems(parameters: CellsParameters) -> list[Problem]:
    problems = []
    if not parameters.counts.is_file():
        problems.append(Problem(str(parameters.counts), "no such file", "Give a table of cells by genes as .h5ad."))
    taken = {os.path.realpath(parameters.counts): "the input"}
    for name, path in _outputs(parameters).items():
        real = os.path.realpath(path)
        if real in taken:
            problems.append(Problem(str(path), f"is {taken[real]}, too", "Name another file."))
        elif path.exists() and not parameters.force:
            problems.append(Problem(str(path), "exists", "Name another file, or replace it with --force."))
        elif path.exists() and not path.is_file():
            problems.append(Problem(str(path), "is no file", "Name another file."))
        taken.setdefault(real, f"the file of the {name}")
    for folder in dict.fromkeys(path.absolute().parent for path in _outputs(parameters).values()):
        problems += check_new_folder(folder)
    if parameters.output.suffix != ".h5ad":
        problems.append(Problem(str(parameters.output), "does not end in .h5ad", "Name a file that does."))
    return problems


def _checked_table(parameters: CellsParameters) -> AnnData:
    """The table, once it holds raw counts and the batches asked for."""
    try:
        from diffbio_io.h5ad import expression_of, read_anndata

        table = read_anndata(parameters.counts)
    except ImportError as error:
        what, remedy = f"{error}", "Run: pip install 'diffbio-core[expression]'"
        raise InputError([Problem(str(parameters.counts), what, remedy)]) from error
    problems, name = [], str(parameters.counts)
    expression = expression_of(table, name)
    key = parameters.batch_key
    if key is not None and key not in table.obs:
        known = ", ".join(map(str, table.obs)) or "none"
        problems.append(Problem(name, f"has no column {key!r} of obs", f"Columns are: {known}."))
    elif key is not None:
        try:
            problems += _batch_problems(expression.labels_of(key), key, name)
        except InputError as error:
            problems += error.problems
    problems += _count_problems(expression, name)
    if 2 <= expression.n_cells < parameters.clusters:
        what = f"{parameters.clusters} clusters of {expression.n_cells} cells"
        problems.append(Problem("--clusters", what, "Ask for fewer clusters than there are cells."))
    if problems:
        raise InputError(problems)
    return table


def _batch_problems(labels: Labels, key: str, name: str) -> list[Problem]:
    cells, batches = labels.codes.size, len(labels.categories)
    if cells > 2 and batches > cells / 2:
        what = f"column {key!r} of obs has {batches:,} values for {cells:,} cells, which are no batches"
        return [Problem(name, what, "Name the column of donors, lanes or experiments.")]
    return []


def _tell_odd_batches(labels: Labels, parameters: CellsParameters, tell: Callable[[str], None]) -> None:
    key, sizes = parameters.batch_key, np.bincount(labels.codes)
    if sizes.size == 1:
        tell(f"--batch-key {key}: all cells are of batch {labels.categories[0]!r}, so there is nothing to correct")
    lone = labels.categories[sizes == 1]
    if lone.size:
        shown = ", ".join(lone[:5]) + (", ..." if lone.size > 5 else "")
        tell(f"--batch-key {key}: batches of one cell, which says little of a batch: {shown}")


def _count_problems(expression: Any, name: str) -> list[Problem]:
    if expression.n_cells < 2 or expression.n_genes < 2:
        what = f"holds {expression.n_cells} cells and {expression.n_genes} genes"
        return [Problem(name, what, "Give a table of several cells by several genes.")]
    for rows, block in expression.counts.blocks():
        values = np.asarray(getattr(block, "data", block) if expression.counts.is_sparse else block)
        if _no_counts(values).any():
            dense = expression.counts.rows(rows)
            cell, gene = np.argwhere(_no_counts(dense))[0]
            place = f"cell {expression.cell_names[rows[cell]]}, gene {expression.gene_names[gene]}"
            what = f"X holds {dense[cell, gene]:g} ({place}), which is no count"
            return [Problem(name, what, "Put raw counts into X: adata.X = adata.layers['counts'].")]
    return []


def _no_counts(values: np.ndarray) -> np.ndarray:
    return ~np.isfinite(values) | (values < 0) | (values != np.round(values)) | (values > _LARGEST_COUNT)


def _cells_without_counts(counts: Any) -> np.ndarray:
    found = [rows[np.asarray(block.sum(axis=1)).ravel() == 0] for rows, block in counts.blocks()]
    return np.concatenate(found)


def _mixing(found: dict[str, np.ndarray], labels: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    from diffbio_core.metrics import local_inverse_simpson

    perplexity = min(30.0, (labels.size - 1) // 3)
    if perplexity < 2:
        return None, None
    before, after = (
        float(local_inverse_simpson(found[name], labels, perplexity).mean())
        for name in ("latent", "corrected_embeddings")
    )
    return before, after


def _provenance(parameters: CellsParameters, genes: list[str]) -> dict[str, Any]:
    from diffbio_core import __version__

    told = {name: str(value) for name, value in parameters.model_dump().items() if value is not None}
    return {"diffbio": __version__, "parameters": told, "genes": np.array(genes, dtype=object)}


def _write(
    parameters: CellsParameters,
    table: AnnData,
    pipeline: Any,
    losses: list[float],
    found: dict[str, np.ndarray],
    labels: Any,
) -> None:
    from diffbio_core.checkpoints import save_checkpoint
    from diffbio_flows.reports.cell_plots import draw_loss, draw_view
    from diffbio_io.h5ad import write_anndata

    groups = {"cluster": found["cluster_assignments"].argmax(axis=1).astype(str)}
    if labels is not None:
        groups["batch"] = labels.names
    with writing(parameters.output):
        for path in _outputs(parameters).values():
            path.parent.mkdir(parents=True, exist_ok=True)
        # All aside first: a run that ends half-way leaves no file under its name that the next one would trip over.
        with tempfile.TemporaryDirectory(dir=parameters.output.parent, prefix=".cells.") as aside:
            made = {path: Path(aside) / path.name for path in (*parameters.plots.values(), parameters.output)}
            draw_loss(losses, made[parameters.plots["loss"]])
            draw_view(found["embeddings_2d"], groups, made[parameters.plots["umap"]])
            write_anndata(table, made[parameters.output])
            if parameters.model is not None:
                save_checkpoint(pipeline, parameters.model)
            for path, whole in made.items():
                whole.replace(path)
