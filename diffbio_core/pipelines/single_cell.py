"""Single-cell pipeline: ambient RNA, count autoencoder, Harmony, UMAP and soft clusters, as one function."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.operators.base import OperatorConfig, OperatorModule
from diffbio_core.operators.normalization.umap import DifferentiableUMAP, UMAPConfig
from diffbio_core.operators.normalization.vae_normalizer import VAENormalizer, VAENormalizerConfig
from diffbio_core.operators.singlecell.ambient_removal import AmbientRemovalConfig, DifferentiableAmbientRemoval
from diffbio_core.operators.singlecell.batch_correction import BatchCorrectionConfig, DifferentiableHarmony
from diffbio_core.operators.singlecell.soft_clustering import SoftClusteringConfig, SoftKMeansClustering
from diffbio_core.operators.validation import check_counts, check_labels, check_positive, check_shapes
from diffbio_core.pipelines.single_cell_data import Cells, DecontaminatedCounts, cells_of
from diffbio_core.sources.perturbation.scale import looks_logarithmic
from diffbio_core.training.vae_training import VAEHistory, VAETrainingConfig, check_count_matrix, train_vae
from diffbio_core.typing import Metadata, PyTree

_CELLS_AT_ONCE = 2048

STAGES = ("ambient removal", "autoencoder", "batch correction", "view", "clusters")


@dataclass(frozen=True)
class SingleCellPipelineConfig(OperatorConfig):
    """Configuration of `SingleCellPipeline`.

    Attributes:
        n_genes: Number of genes.
        n_clusters: Soft clusters of the result.
        latent_dim: Size of the latent.
        hidden_dims: Widths of the autoencoder's layers.
        umap_n_components: Dimensions of the view.
        batch_correction_clusters: Soft clusters of Harmony.
        batch_correction_iterations: Rounds of Harmony at most.
        clustering_temperature: Temperature of the soft clusters.
        enable_ambient_removal: Whether ambient RNA is taken off.
        enable_batch_correction: Whether batches are moved onto each other.
        enable_dim_reduction: Whether the view is UMAP's, or the first columns of the embeddings.
        enable_clustering: Whether cells are clustered.
        likelihood: Law of the counts: "poisson", "nb" or "zinb".
        n_batches: Number of batches; as many as the data have if None.

    Raises:
        ValueError: A value out of range.
    """

    n_genes: int = 2000
    n_clusters: int = 10
    latent_dim: int = 64
    hidden_dims: Sequence[int] = (128, 64)
    umap_n_components: int = 2
    batch_correction_clusters: int = 100
    batch_correction_iterations: int = 10
    clustering_temperature: float = 1.0
    enable_ambient_removal: bool = True
    enable_batch_correction: bool = True
    enable_dim_reduction: bool = True
    enable_clustering: bool = True
    likelihood: str = "zinb"
    n_batches: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_dims", tuple(self.hidden_dims))
        object.__setattr__(self, "stochastic", True)
        object.__setattr__(self, "stream_name", self.stream_name or "sample")
        super().__post_init__()
        check_positive("single-cell pipeline", n_clusters=self.n_clusters, umap_n_components=self.umap_n_components)
        if not self.enable_dim_reduction and self.umap_n_components > self.latent_dim:
            raise ValueError(
                f"single-cell pipeline: without a UMAP the view is the first {self.umap_n_components} columns "
                f"of a latent of {self.latent_dim}"
            )


class SingleCellPipeline(OperatorModule):
    """From raw counts to normalised expression, corrected embeddings, a view of them, and soft clusters.

    `fit` is how it is meant to be used; `apply` is the function that was fitted, for these cells or others, and has
    gradients to all parameters and to the counts.

    Attributes:
        ambient_removal: Operator, or None where switched off.
        vae_normalizer: Count autoencoder.
        batch_correction: Harmony, or None.
        dim_reduction: UMAP, or None.
        clustering: Soft k-means, or None.
        batch_names: Names of the batches that were fitted, where they had any.
        gene_names: Names of the genes that were fitted, where they had any: data that are embedded may then have them
            in any order, and others besides.
    """

    config: SingleCellPipelineConfig

    def __init__(self, config: SingleCellPipelineConfig, *, rngs: nnx.Rngs, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        genes, latent = config.n_genes, config.latent_dim
        ambient = AmbientRemovalConfig(n_genes=genes, latent_dim=latent)
        self.ambient_removal = (
            DifferentiableAmbientRemoval(ambient, rngs=rngs) if config.enable_ambient_removal else None
        )
        self.vae_normalizer = VAENormalizer(
            VAENormalizerConfig(
                n_genes=genes, latent_dim=latent, hidden_dims=config.hidden_dims, likelihood=config.likelihood
            ),
            rngs=rngs,
        )
        correction = BatchCorrectionConfig(
            n_clusters=config.batch_correction_clusters,
            n_features=latent,
            n_batches=config.n_batches,
            n_iterations=config.batch_correction_iterations,
        )
        self.batch_correction = DifferentiableHarmony(correction, rngs=rngs) if config.enable_batch_correction else None
        view = UMAPConfig(n_components=config.umap_n_components, input_features=latent)
        self.dim_reduction = DifferentiableUMAP(view, rngs=rngs) if config.enable_dim_reduction else None
        clusters = SoftClusteringConfig(
            n_clusters=config.n_clusters, n_features=latent, temperature=config.clustering_temperature
        )
        self.clustering = SoftKMeansClustering(clusters, rngs=rngs) if config.enable_clustering else None
        self.batch_names: tuple[str, ...] | None = None
        self.gene_names: tuple[str, ...] | None = None

    def fit(
        self,
        data: Any,
        *,
        batch_labels: Any = None,
        batch_key: str | None = None,
        ambient_profile: Float[np.ndarray, "genes"] | None = None,
        training: VAETrainingConfig | None = None,
        seed: int = 0,
        report: Callable[[str, int, int, float | None], None] = lambda stage, done, steps, loss: None,
        train: Callable[..., VAEHistory] = train_vae,
    ) -> VAEHistory:
        """Fit every stage to cells, in the order in which they run.

        Args:
            data: AnnData, a table of expression, a matrix of cells by genes (dense or sparse, which stays sparse), or
                a dict with the keys of `apply`.
            batch_labels: Batch of each cell, codes or names, where `data` does not hold them.
            batch_key: Column of `obs` with the batch's name, which may be a number.
            ambient_profile: Share of each gene in the soup; that of all cells together if none is given.
            training: How the autoencoder is trained.
            seed: Of every stage but the autoencoder, which has its own in `training` if that is given.
            report: Told how far the fit is: stage, steps done, steps in all, and the loss where there is one.
            train: What trains the autoencoder; takes what `train_vae` takes.

        Returns:
            What the autoencoder's training saw.

        Raises:
            ValueError: Shapes do not fit, a value is no count, a cell is empty, a batch is missing, or a loss is not
                finite; cell, gene or step is named.
        """
        self.batch_names = self.gene_names = None
        cells = self._cells(data, batch_labels, batch_key, ambient_profile)
        check_count_matrix("single-cell pipeline", cells.counts)
        if looks_logarithmic(cells.counts, None):
            raise ValueError("single-cell pipeline: the counts look like logarithms, none whole; give raw counts")
        if self.clustering is not None and cells.counts.shape[0] < self.config.n_clusters:
            raise ValueError(
                f"single-cell pipeline: {self.config.n_clusters} clusters of {cells.counts.shape[0]} cells; set "
                "n_clusters to fewer than there are cells"
            )
        training = training or VAETrainingConfig(seed=seed)
        counts = cells.counts
        if self.ambient_removal is not None:
            report(STAGES[0], 0, 1, None)
            self.ambient_removal.fit(counts, cells.ambient_profile, seed=seed)
            counts = DecontaminatedCounts(counts, self.ambient_removal, cells.ambient_profile)
        history = train(self.vae_normalizer, counts, training, report=partial(report, STAGES[1]))
        self.gene_names = cells.gene_names
        latent = self._latent_of(cells)
        if self.batch_correction is not None:
            report(STAGES[2], 0, 1, None)
            config = replace(self.batch_correction.config, n_batches=cells.n_batches)
            self.batch_correction.config = config
            self.batch_names = cells.batch_names
            labels = jnp.asarray(cells.batch_labels)
            self.batch_correction.fit(latent, labels, seed=seed)
            latent = self.batch_correction.correct(latent, labels, cells.n_batches)[0]
        if self.dim_reduction is not None and latent.shape[0] > 1:
            report(STAGES[3], 0, 1, None)
            self.dim_reduction.fit(latent, seed=seed)
        if self.clustering is not None:
            report(STAGES[4], 0, 1, None)
            self.clustering.fit(latent, seed=seed)
        return history

    def embed(
        self,
        data: Any,
        *,
        batch_labels: Any = None,
        batch_key: str | None = None,
        ambient_profile: Float[np.ndarray, "genes"] | None = None,
    ) -> dict[str, Array]:
        """Embeddings, view and clusters of any number of cells; counts become dense a few thousand at a time.

        Args:
            data: As for `fit`.
            batch_labels: As for `fit`.
            batch_key: As for `fit`.
            ambient_profile: As for `fit`.

        Returns:
            `latent`, `corrected_embeddings`, `embeddings_2d` and `cluster_assignments`, as `apply` has them in
            evaluation mode.

        Raises:
            ValueError: What `fit` refuses, or a batch that was not fitted.
        """
        cells = self._cells(data, batch_labels, batch_key, ambient_profile)
        check_count_matrix("single-cell pipeline", cells.counts)
        return _downstream(self, self._latent_of(cells), cells.batch_labels, self._batches(cells.batch_labels))

    def annotate(self, adata: Any, **options: Any) -> dict[str, Array]:
        """Write what `embed` gives into an AnnData.

        `obsm` gets `X_latent`, `X_corrected_diffbio` and `X_umap_diffbio`, `obs` gets `cluster_diffbio`.

        Args:
            adata: AnnData.
            options: Those of `embed`.

        Returns:
            What `embed` gave.
        """
        found = self.embed(adata, **options)
        adata.obsm["X_latent"] = np.asarray(found["latent"])
        adata.obsm["X_corrected_diffbio"] = np.asarray(found["corrected_embeddings"])
        adata.obsm["X_umap_diffbio"] = np.asarray(found["embeddings_2d"])
        adata.obs["cluster_diffbio"] = np.asarray(found["cluster_assignments"]).argmax(axis=1).astype(str)
        return found

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Analyse cells.

        Args:
            data: `counts` (cells, n_genes), raw; `ambient_profile` (n_genes,), which sums to 1, where ambient RNA is
                removed; `batch_labels` (cells,) int where batches are corrected. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key in train mode, split into one for each cell; the operators' own streams if None.
            stats: Not used.

        Returns:
            The data with `decontaminated_counts` (cells, n_genes) where ambient RNA is removed, `normalized`
            (cells, n_genes), whose rows sum to 1, `latent` and `corrected_embeddings` (cells, latent_dim),
            `embeddings_2d` (cells, umap_n_components) and `cluster_assignments` (cells, n_clusters), whose rows sum to
            1; state, metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, a value is no count, or a label is none of the batches.
        """
        self._check(data)
        arrays = {"counts": jnp.asarray(data["counts"], float)}
        if self.ambient_removal is not None:
            arrays["ambient_profile"] = jnp.asarray(data["ambient_profile"], float)
        labels = data["batch_labels"] if self.batch_correction is not None else None
        if random_params is None and not self.deterministic:
            random_params = self.vae_normalizer.encoder.dropout.draw_key(arrays["counts"])
        found = _analyse(self, arrays, labels, random_params, self._batches(labels))
        return {**data, **found}, state, metadata

    def to_dag(self) -> dict[str, list]:
        """The enabled stages in order: `nodes`, their names, and `edges`, pairs of names."""
        nodes = ["vae_normalizer"]
        if self.ambient_removal is not None:
            nodes.insert(0, "ambient_removal")
        nodes += [
            name for name in ("batch_correction", "dim_reduction", "clustering") if getattr(self, name) is not None
        ]
        return {"nodes": nodes, "edges": list(itertools.pairwise(nodes))}

    def _cells(self, data: Any, batch_labels: Any, batch_key: str | None, ambient_profile: Any) -> Cells:
        return cells_of(
            data,
            n_genes=self.config.n_genes,
            batch_labels=batch_labels,
            batch_key=batch_key,
            n_batches=None if self.batch_correction is None else self.batch_correction.config.n_batches,
            batch_names=self.batch_names,
            gene_names=self.gene_names,
            needs_batches=self.batch_correction is not None,
            ambient_profile=ambient_profile,
        )

    def _latent_of(self, cells: Cells) -> Float[Array, "cells latent"]:
        """Posterior means, a few thousand cells at a time."""
        found = []
        for start in range(0, cells.counts.shape[0], _CELLS_AT_ONCE):
            rows = np.arange(start, min(start + _CELLS_AT_ONCE, cells.counts.shape[0]))
            # One shape, so that the encoder compiles once.
            filled = np.resize(rows, min(_CELLS_AT_ONCE, cells.counts.shape[0]))
            counts = jnp.asarray(cells.counts.rows(filled), float)
            found.append(_posterior_means(self, counts, cells.ambient_profile)[: rows.size])
        return jnp.concatenate(found)

    def _batches(self, labels: Any) -> int:
        return 1 if self.batch_correction is None else self.batch_correction.n_batches(labels)

    def _check(self, data: PyTree) -> None:
        genes = self.config.n_genes
        expected: dict[str, tuple[str | int, ...]] = {"counts": ("cells", genes)}
        if self.ambient_removal is not None:
            expected["ambient_profile"] = (genes,)
        if self.batch_correction is not None:
            expected["batch_labels"] = ("cells",)
        check_shapes("single-cell pipeline", data, expected)
        self._check_values(data)

    def _check_values(self, data: PyTree) -> None:
        check_counts("single-cell pipeline", "counts", data["counts"])
        if self.ambient_removal is not None:
            self.ambient_removal.check_profile(data["ambient_profile"])
        if self.batch_correction is not None:
            check_labels(
                "single-cell pipeline", "batch_labels", data["batch_labels"], self.batch_correction.config.n_batches
            )


@partial(jax.jit, static_argnames="n_batches")
def _analyse(
    pipeline: SingleCellPipeline, arrays: dict[str, Array], labels: Any, random_params: Any, n_batches: int
) -> dict[str, Array]:
    for_ambient, for_cells = (None, None) if random_params is None else jax.random.split(random_params)
    counts, found = arrays["counts"], {}
    if pipeline.ambient_removal is not None:
        ambient = pipeline.ambient_removal.decontaminate(counts, arrays["ambient_profile"], for_ambient)
        counts = found["decontaminated_counts"] = ambient["decontaminated_counts"]
    keys = None if for_cells is None else jax.random.split(for_cells, counts.shape[0])
    normalise = jax.vmap(pipeline.vae_normalizer.normalise, in_axes=(0, 0, None if keys is None else 0))
    normalised = normalise(counts, counts.sum(axis=1), keys)
    found["normalized"] = normalised["normalized"]
    return found | _downstream(pipeline, normalised["latent_z"], labels, n_batches)


@partial(jax.jit, static_argnames="n_batches")
def _downstream(pipeline: SingleCellPipeline, latent: Array, labels: Any, n_batches: int) -> dict[str, Array]:
    corrected, config = latent, pipeline.config
    if pipeline.batch_correction is not None:
        corrected, _ = pipeline.batch_correction.correct(latent, jnp.asarray(labels), n_batches)
    if pipeline.dim_reduction is not None:
        view = pipeline.dim_reduction.project(corrected)
    else:
        view = corrected[:, : config.umap_n_components]
    if pipeline.clustering is not None:
        assignments = pipeline.clustering.compute_assignments(corrected)
    else:
        assignments = jnp.full((latent.shape[0], config.n_clusters), 1 / config.n_clusters, latent.dtype)
    return {
        "latent": latent,
        "corrected_embeddings": corrected,
        "embeddings_2d": view,
        "cluster_assignments": assignments,
    }


@jax.jit
def _posterior_means(pipeline: SingleCellPipeline, counts: Array, profile: Array) -> Array:
    if pipeline.ambient_removal is not None:
        counts = pipeline.ambient_removal.decontaminate(counts, profile)["decontaminated_counts"]
    return pipeline.vae_normalizer.encode(counts)[0]


def create_single_cell_pipeline(
    n_genes: int = 2000,
    n_clusters: int = 10,
    latent_dim: int = 64,
    umap_n_components: int = 2,
    enable_ambient_removal: bool = True,
    enable_batch_correction: bool = True,
    enable_dim_reduction: bool = True,
    enable_clustering: bool = True,
    seed: int = 42,
) -> SingleCellPipeline:
    """Make a single-cell pipeline, in evaluation mode.

    Args:
        n_genes: Number of genes.
        n_clusters: Soft clusters of the result.
        latent_dim: Size of the latent.
        umap_n_components: Dimensions of the view.
        enable_ambient_removal: Whether ambient RNA is taken off.
        enable_batch_correction: Whether batches are moved onto each other.
        enable_dim_reduction: Whether the view is UMAP's, or the first columns of the embeddings.
        enable_clustering: Whether cells are clustered.
        seed: Seed of the initial weights.

    Raises:
        ValueError: What the configurations refuse.
    """
    config = SingleCellPipelineConfig(
        n_genes=n_genes,
        n_clusters=n_clusters,
        latent_dim=latent_dim,
        umap_n_components=umap_n_components,
        enable_ambient_removal=enable_ambient_removal,
        enable_batch_correction=enable_batch_correction,
        enable_dim_reduction=enable_dim_reduction,
        enable_clustering=enable_clustering,
    )
    return SingleCellPipeline(config, rngs=nnx.Rngs(seed))
