"""Doublets told by a classifier on the latent of a count autoencoder, after Solo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.normalization.vae_normalizer import VAENormalizer, VAENormalizerConfig
from diffbio_core.operators.singlecell.simulated_doublets import simulated_doublets
from diffbio_core.operators.validation import check_counts, check_positive, check_shapes
from diffbio_core.sources.matrix import CountMatrix
from diffbio_core.typing import Metadata, PyTree
from diffbio_core.utils.training import Trainer, TrainingConfig

_BATCH_SIZE = 128


@dataclass(frozen=True)
class SoloDetectorConfig(OperatorConfig):
    """Configuration of `DifferentiableSoloDetector`.

    Attributes:
        n_genes: Number of genes.
        latent_dim: Size of the latent.
        hidden_dims: Widths of the autoencoder's layers.
        classifier_hidden_dim: Width of the classifier's hidden layer.
        sim_doublet_ratio: Simulated doublets for each cell of a batch.

    Raises:
        ValueError: A value that is not positive.
    """

    n_genes: int = 2000
    latent_dim: int = 10
    hidden_dims: Sequence[int] = (128, 64)
    classifier_hidden_dim: int = 64
    sim_doublet_ratio: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_dims", tuple(self.hidden_dims))
        object.__setattr__(self, "stochastic", True)
        object.__setattr__(self, "stream_name", self.stream_name or "sample")
        super().__post_init__()
        check_positive(
            "Solo",
            classifier_hidden_dim=self.classifier_hidden_dim,
            sim_doublet_ratio=self.sim_doublet_ratio,
        )


class DifferentiableSoloDetector(OperatorModule):
    """Solo (Bernstein et al. 2020): cells and simulated doublets are told apart in one latent.

    Attributes:
        vae: Count autoencoder.
        classifier_hidden, classifier_output: Classifier on its latent.
    """

    config: SoloDetectorConfig

    def __init__(self, config: SoloDetectorConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        self.vae = VAENormalizer(
            VAENormalizerConfig(
                n_genes=config.n_genes, latent_dim=config.latent_dim, hidden_dims=config.hidden_dims, likelihood="nb"
            ),
            rngs=rngs,
        )
        self.classifier_hidden = nnx.Linear(config.latent_dim, config.classifier_hidden_dim, rngs=rngs)
        self.classifier_output = nnx.Linear(config.classifier_hidden_dim, 1, rngs=rngs)

    def fit(self, counts: CountMatrix, *, epochs: int = 100, learning_rate: float = 1e-3, seed: int = 0) -> Self:
        """Train autoencoder and classifier together.

        Args:
            counts: Cells by genes; rows become dense a batch at a time.
            epochs: Passes over the cells.
            learning_rate: Step size of Adam.
            seed: Of order, pairs and latents; the same seed gives the same bits.

        Returns:
            The operator, fitted and in evaluation mode.

        Raises:
            ValueError: A loss that is not finite; the step is named.
        """
        trainer = Trainer(
            _Objective(self),
            TrainingConfig(learning_rate=learning_rate, num_epochs=epochs, grad_clip_norm=None, seed=seed),
        )
        random = np.random.default_rng(seed)
        size = min(_BATCH_SIZE, counts.shape[0])
        for _ in range(epochs):
            order = np.resize(random.permutation(counts.shape[0]), -(-counts.shape[0] // size) * size)
            steps = (({"counts": counts.rows(rows).astype(np.float32)}, None) for rows in order.reshape(-1, size))
            trainer.train_epoch(steps, _mean_loss)
        self.eval_mode()
        return self

    def compute_solo_loss(
        self, counts: Float[Array, "cells genes"], random_params: Array, classifier_weight: float = 1.0
    ) -> dict[str, Float[Array, ""]]:
        """Loss of a batch of cells and as many doublets as configured, simulated from them.

        Args:
            counts: Raw counts of two cells at least.
            random_params: PRNG key for pairs, latents and dropout.
            classifier_weight: Weight of the classifier's part.

        Returns:
            `total_loss`, `elbo` (negative bound of the cells, mean) and `classifier_loss` (mean cross-entropy, both
            classes alike in weight, however many doublets there are).
        """
        for_pairs, for_cells, for_doublets = jax.random.split(random_params, 3)
        cells = counts.shape[0]
        doublets = simulated_doublets(for_pairs, counts, max(1, round(self.config.sim_doublet_ratio * cells)))

        def of_cell(counts: Array, key: Array) -> tuple[Array, Array]:
            found = self.vae.normalise(counts, counts.sum(), key)
            law = {name: found[name] for name in ("log_rate", "log_theta")}
            recon = self.vae.reconstruction_loss(counts, law)
            bound = self.vae.elbo_loss(recon, found["latent_mean"], found["latent_logvar"])
            return bound, self._logits(found["latent_z"])

        bounds, of_cells = jax.vmap(of_cell)(counts, jax.random.split(for_cells, cells))
        _, of_doublets = jax.vmap(of_cell)(doublets, jax.random.split(for_doublets, doublets.shape[0]))
        ones = jnp.ones_like(of_doublets)
        classifier = 0.5 * (
            optax.sigmoid_binary_cross_entropy(of_cells, jnp.zeros_like(of_cells)).mean()
            + optax.sigmoid_binary_cross_entropy(of_doublets, ones).mean()
        )
        elbo = bounds.mean()
        return {
            "total_loss": elbo + classifier_weight * classifier,
            "elbo": elbo,
            "classifier_loss": classifier,
        }

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Tell doublets.

        Args:
            data: `counts` (cells, n_genes), raw. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key in train mode.
            stats: Not used.

        Returns:
            The data with `doublet_probabilities` (cells,), `doublet_labels` (cells,), 1 where the probability is above
            one half, and `latent` (cells, latent_dim); state, metadata.

        Raises:
            ValueError: The key is missing, its shape does not fit, or a value is no count.
        """
        check_shapes("Solo", data, {"counts": ("cells", self.config.n_genes)})
        self._check_values(data)
        counts = jnp.asarray(data["counts"], float)
        keys = None if random_params is None else jax.random.split(random_params, counts.shape[0])
        normalise = jax.vmap(self.vae.normalise, in_axes=(0, 0, None if keys is None else 0))
        latent = normalise(counts, counts.sum(axis=1), keys)["latent_z"]
        probabilities = jax.nn.sigmoid(self._logits(latent))
        result = {
            "doublet_probabilities": probabilities,
            "doublet_labels": (probabilities > 0.5).astype(probabilities.dtype),
            "latent": latent,
        }
        return {**data, **result}, state, metadata

    def _logits(self, latent: Array) -> Array:
        return self.classifier_output(jax.nn.relu(self.classifier_hidden(latent)))[..., 0]

    def _check_values(self, data: PyTree) -> None:
        check_counts("Solo", "counts", data["counts"])


class _Objective(OperatorModule):
    """Loss of a batch, as an operator that a trainer takes."""

    def __init__(self, detector: DifferentiableSoloDetector):
        super().__init__(detector.config)
        self.detector = detector

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        # The bound of a cell is hundreds, a cross-entropy one: in the mean over genes both have a say.
        losses = self.detector.compute_solo_loss(data["counts"], random_params)
        return {"loss": losses["elbo"] / data["counts"].shape[1] + losses["classifier_loss"]}, state, metadata


def _mean_loss(found: dict[str, Array], _: None) -> Array:
    return found["loss"]
