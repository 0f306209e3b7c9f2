"""Removal of ambient RNA: what part of a cell's counts came from the soup that all droplets share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.losses.count_likelihoods import poisson_log_prob
from diffbio_core.losses.statistical_losses import gaussian_divergence
from diffbio_core.operators.base import OperatorModule, TemperatureConfig, TemperatureOperator, initialisation_rngs
from diffbio_core.operators.dropout import Dropout
from diffbio_core.operators.singlecell.contamination import pooled_contamination
from diffbio_core.operators.validation import check_counts, check_positive, check_shapes, concrete
from diffbio_core.sources.matrix import CountMatrix
from diffbio_core.typing import Metadata, PyTree
from diffbio_core.utils.training import Trainer, TrainingConfig

_LOGVAR_RANGE = (-10.0, 10.0)
_SMALLEST = 1e-8
_PRIOR_WIDTH = 0.2
"""Standard deviation, in log-odds, by which cells of one group differ in contamination."""

_BATCH_SIZE = 128


@dataclass(frozen=True)
class AmbientRemovalConfig(TemperatureConfig):
    """Configuration of `DifferentiableAmbientRemoval`.

    Attributes:
        n_genes: Number of genes.
        latent_dim: Size of the latent.
        hidden_dims: Widths of the encoder's layers; the decoder has them in reverse.
        ambient_prior: Contamination that an operator without a fit assumes.

    Raises:
        ValueError: A size that is not positive, no hidden layer, or a prior outside (0, 1).
    """

    n_genes: int = 2000
    latent_dim: int = 64
    hidden_dims: Sequence[int] = (256, 128)
    ambient_prior: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_dims", tuple(self.hidden_dims))
        object.__setattr__(self, "stochastic", True)
        object.__setattr__(self, "stream_name", self.stream_name or "sample")
        super().__post_init__()
        check_positive("ambient removal", n_genes=self.n_genes, latent_dim=self.latent_dim)
        if not self.hidden_dims or min(self.hidden_dims) < 1:
            raise ValueError(f"ambient removal: hidden_dims must be positive widths, got {self.hidden_dims}")
        if not 0 < self.ambient_prior < 1:
            raise ValueError(f"ambient removal: ambient_prior must lie in (0, 1), got {self.ambient_prior}")


class DifferentiableAmbientRemoval(TemperatureOperator):
    """Takes the ambient part, contamination x counts x profile, off every cell.

    The encoder tells a cell's contamination, the decoder its own expression. A fit explains the counts by both; how
    far down the contamination may go is told by groups of cells in which ambient genes are hardly found.

    Attributes:
        encoder: Network with `backbone`, `mean_proj`, `logvar_proj` and `contamination_proj`.
        decoder: Network from the latent to native expression, before softplus.
    """

    config: AmbientRemovalConfig

    def __init__(self, config: AmbientRemovalConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        self.encoder = _Encoder(config, rngs)
        self.decoder = _Network([config.latent_dim, *list(config.hidden_dims)[::-1], config.n_genes], False, rngs)

    def fit(
        self,
        counts: CountMatrix,
        ambient_profile: Float[np.ndarray, "genes"],
        *,
        epochs: int = 50,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> Self:
        """Train encoder and decoder on cells.

        Args:
            counts: Cells by genes; rows become dense a batch at a time.
            ambient_profile: Share of each gene in the soup; sums to 1.
            epochs: Passes over the cells.
            learning_rate: Step size of Adam.
            seed: Of order and latents; the same seed gives the same bits.

        Returns:
            The operator, fitted and in evaluation mode.

        Raises:
            ValueError: Shapes do not fit, a value is no count, or a loss is not finite; the step is named.
        """
        profile = np.asarray(ambient_profile, np.float32)
        self.check_profile(profile)
        prior = pooled_contamination(counts, profile, seed=seed)
        odds = np.log(prior / (1 - prior)).astype(np.float32)
        self._start_from_means(counts, odds)
        trainer = Trainer(
            _Objective(self),
            TrainingConfig(learning_rate=learning_rate, num_epochs=epochs, grad_clip_norm=None, seed=seed),
        )
        random = np.random.default_rng(seed)
        size = min(_BATCH_SIZE, counts.shape[0])
        for epoch in range(epochs):
            order = np.resize(random.permutation(counts.shape[0]), -(-counts.shape[0] // size) * size)
            steps = (
                (
                    {
                        "counts": counts.rows(rows).astype(np.float32),
                        "odds": odds[rows],
                        "profile": profile,
                        # A decoder that knows little yet would have contamination explain what it cannot.
                        "likelihood_weight": np.float32(epoch >= epochs // 2),
                    },
                    None,
                )
                for rows in order.reshape(-1, size)
            )
            trainer.train_epoch(steps, _loss)
        self.eval_mode()
        return self

    def decontaminate(
        self,
        counts: Float[Array, "cells genes"],
        ambient_profile: Float[Array, "genes"],
        random_params: Any = None,
    ) -> dict[str, Array]:
        """What `apply` adds; it checks nothing."""
        if random_params is None and not self.deterministic:
            random_params = self.encoder.stream.draw_key(counts)
        return self._decontaminate(counts, ambient_profile, random_params)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Take ambient counts off cells.

        Args:
            data: `counts` (cells, n_genes) and `ambient_profile` (n_genes,), which sums to 1. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for the latent in train mode; the operator's own stream if None.
            stats: Not used.

        Returns:
            The data with `decontaminated_counts` (cells, n_genes), 0 or more, `contamination_fraction` (cells,) in
            (0, 1), `latent`, `latent_mean` and `latent_logvar` (cells, latent_dim) and `reconstructed`
            (cells, n_genes); state, metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, a value is no count, or the profile does not sum to 1.
        """
        genes = self.config.n_genes
        check_shapes("ambient removal", data, {"counts": ("cells", genes), "ambient_profile": (genes,)})
        self._check_values(data)
        counts, profile = jnp.asarray(data["counts"], float), jnp.asarray(data["ambient_profile"], float)
        return {**data, **self.decontaminate(counts, profile, random_params)}, state, metadata

    def check_profile(self, profile: Any) -> None:
        """Refuse a profile that does not sum to 1, if it is concrete.

        Raises:
            ValueError: It sums to something else, or has a negative share.
        """
        check_counts("ambient removal", "ambient_profile", profile)
        values = concrete(profile)
        if values is not None and not math.isclose(float(values.sum(dtype=float)), 1, abs_tol=1e-3):
            total = float(values.sum(dtype=float))
            raise ValueError(f"ambient removal: ambient_profile sums to {total:.4g}, expected 1: divide it by its sum")

    def _start_from_means(self, counts: CountMatrix, odds: np.ndarray) -> None:
        """Let contamination begin where the groups are, and native expression at the mean of all cells."""
        totals = np.zeros(counts.shape[1])
        for _, block in counts.blocks():
            totals += np.asarray(block.sum(axis=0), float).ravel()
        means = np.maximum(totals / counts.shape[0], 1e-3)
        contamination, native = self.encoder.contamination_proj.bias, self.decoder.layers[-1].bias
        assert contamination is not None
        assert native is not None
        contamination[...] = jnp.full(1, odds.mean() * float(self._temperature))
        native[...] = jnp.asarray(means + np.log(-np.expm1(-means)), float)  # the inverse of softplus

    @jax.jit
    def _decontaminate(self, counts: Array, profile: Array, random_params: Any) -> dict[str, Array]:
        mean, logvar, odds = self.encoder(counts)
        latent = mean
        if not self.deterministic:
            keys = jax.random.split(random_params, counts.shape[0])
            noise = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:], mean.dtype))(keys)
            latent = mean + jnp.exp(0.5 * logvar) * noise
        contamination = jax.nn.sigmoid(odds / self._temperature)
        ambient = contamination[:, None] * counts.sum(axis=1, keepdims=True) * profile
        native = jax.nn.softplus(self.decoder(latent))
        return {
            "decontaminated_counts": jnp.maximum(counts - ambient, 0),
            "contamination_fraction": contamination,
            "latent": latent,
            "latent_mean": mean,
            "latent_logvar": logvar,
            "reconstructed": (1 - contamination[:, None]) * native + ambient,
        }

    def _check_values(self, data: PyTree) -> None:
        check_counts("ambient removal", "counts", data["counts"])
        self.check_profile(data["ambient_profile"])


class _Network(nnx.Module):
    """Linear layers with GELU between them, and after the last if asked for."""

    def __init__(self, sizes: Sequence[int], last_active: bool, rngs: nnx.Rngs):
        pairs = itertools.pairwise(sizes)
        self.layers = nnx.List([nnx.Linear(inputs, outputs, rngs=rngs) for inputs, outputs in pairs])
        self.last_active = last_active

    def __call__(self, values: Array) -> Array:
        for number, layer in enumerate(self.layers):
            values = layer(values)
            if self.last_active or number < len(self.layers) - 1:
                values = jax.nn.gelu(values)
        return values


class _Encoder(nnx.Module):
    """Counts to the latent's law and to the log-odds of contamination."""

    def __init__(self, config: AmbientRemovalConfig, rngs: nnx.Rngs):
        width = config.hidden_dims[-1]
        self.backbone = _Network([config.n_genes, *config.hidden_dims], True, rngs)
        self.mean_proj = nnx.Linear(width, config.latent_dim, rngs=rngs)
        self.logvar_proj = nnx.Linear(width, config.latent_dim, rngs=rngs)
        odds = math.log(config.ambient_prior / (1 - config.ambient_prior)) * config.temperature
        self.contamination_proj = nnx.Linear(
            width, 1, kernel_init=nnx.initializers.normal(1e-3), bias_init=nnx.initializers.constant(odds), rngs=rngs
        )
        self.stream = Dropout(0.0, rngs=rngs)

    def __call__(self, counts: Array) -> tuple[Array, Array, Array]:
        hidden = self.backbone(jnp.log1p(counts))
        logvar = jnp.clip(self.logvar_proj(hidden), *_LOGVAR_RANGE)
        return self.mean_proj(hidden), logvar, self.contamination_proj(hidden)[..., 0]


class _Objective(OperatorModule):
    """Mean bound of a batch of cells, with the prior on their contamination."""

    def __init__(self, operator: DifferentiableAmbientRemoval):
        super().__init__(operator.config)
        self.operator = operator

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        counts = data["counts"]
        found = self.operator.decontaminate(counts, data["profile"], random_params)
        contamination, weight = found["contamination_fraction"], data["likelihood_weight"]
        seen = weight * contamination + (1 - weight) * jax.lax.stop_gradient(contamination)
        native = jax.nn.softplus(self.operator.decoder(found["latent"]))
        ambient = seen[:, None] * counts.sum(axis=1, keepdims=True) * data["profile"]
        expected = (1 - seen[:, None]) * native + ambient
        log_probs = poisson_log_prob(counts, jnp.log(expected + _SMALLEST)).sum(axis=1)
        divergence = gaussian_divergence(found["latent_mean"], found["latent_logvar"])
        odds = jnp.log(contamination + _SMALLEST) - jnp.log1p(_SMALLEST - contamination)
        surprise = 0.5 * ((odds - data["odds"]) / _PRIOR_WIDTH) ** 2
        return {"loss": (divergence + surprise - log_probs).mean()}, state, metadata


def _loss(found: dict[str, Array], _: None) -> Array:
    return found["loss"]
