"""Normalisation of counts by a variational autoencoder of a count law, after scVI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from diffbio_core.losses.count_likelihoods import (
    negative_binomial_log_prob,
    poisson_log_prob,
    zero_inflated_log_prob,
)
from diffbio_core.losses.statistical_losses import gaussian_divergence
from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.dropout import Dropout
from diffbio_core.operators.validation import check_counts, check_fraction, check_labels, check_positive, check_shapes
from diffbio_core.typing import Metadata, PyTree

LIKELIHOODS = ("poisson", "nb", "zinb")

_SMALLEST_LIBRARY = 1e-8
_LOGVAR_RANGE = (-10.0, 10.0)


@dataclass(frozen=True)
class VAENormalizerConfig(OperatorConfig):
    """Configuration of `VAENormalizer`.

    Attributes:
        latent_dim: Size of the latent.
        hidden_dims: Widths of the encoder's layers; the decoder has them in reverse.
        n_genes: Number of genes.
        use_batch_correction: Whether the decoder is told the batch, so that the latent need not be.
        likelihood: Law of the counts: "poisson", "nb" (negative binomial) or "zinb" (with more zeros).
        n_batches: Batches that the decoder can be told.
        dropout_rate: Fraction of each hidden layer of the encoder dropped in train mode. More than scVI's 0.1: there
            the other cells of a batch disturb training, too, through the normalisation of hidden layers.

    Raises:
        ValueError: A size that is not positive, no hidden layer, a rate outside [0, 1], or another likelihood.
    """

    latent_dim: int = 10
    hidden_dims: Sequence[int] = (128, 64)
    n_genes: int = 2000
    use_batch_correction: bool = False
    likelihood: str = "poisson"
    n_batches: int = 2
    dropout_rate: float = 0.2

    def __post_init__(self) -> None:
        # A list, as the documents have it, could not be hashed, and with it no module that holds the configuration.
        object.__setattr__(self, "hidden_dims", tuple(self.hidden_dims))
        object.__setattr__(self, "stochastic", True)
        object.__setattr__(self, "stream_name", self.stream_name or "sample")
        super().__post_init__()
        check_positive("VAE normaliser", latent_dim=self.latent_dim, n_genes=self.n_genes, n_batches=self.n_batches)
        check_fraction("VAE normaliser", dropout_rate=self.dropout_rate)
        if not self.hidden_dims or min(self.hidden_dims) < 1:
            raise ValueError(f"VAE normaliser: hidden_dims must be positive widths, got {self.hidden_dims}")
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"VAE normaliser: likelihood must be one of {LIKELIHOODS}, got {self.likelihood!r}")


class VAENormalizer(OperatorModule):
    """Encodes a cell's counts, decodes the share that each gene has of them (Lopez et al. 2018).

    Rates are library size x softmax over genes, so that `normalized` sums to 1. The latent is drawn in train mode, by a
    key of each cell's own, and is the mean of its law in evaluation mode. The dispersion is one number per gene.

    Attributes:
        fc_mean, fc_logvar: Heads of the encoder.
        fc_output: Head of the decoder: logits of the shares.
        fc_log_theta: Logarithm of each gene's inverse dispersion, for "nb" and "zinb".
        fc_pi_logit: Head of the decoder: log-odds of extra zeros, for "zinb".
    """

    config: VAENormalizerConfig

    def __init__(self, config: VAENormalizerConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        hidden, backwards = list(config.hidden_dims), list(config.hidden_dims)[::-1]
        told = config.n_batches if config.use_batch_correction else 0
        self.encoder = _Layers(config.n_genes, hidden, config.dropout_rate, rngs)
        self.fc_mean = nnx.Linear(hidden[-1], config.latent_dim, rngs=rngs)
        self.fc_logvar = nnx.Linear(hidden[-1], config.latent_dim, rngs=rngs)
        self.decoder = _Layers(config.latent_dim + told, backwards, 0.0, rngs)
        self.fc_output = nnx.Linear(backwards[-1], config.n_genes, rngs=rngs)
        if config.likelihood != "poisson":
            self.fc_log_theta = _PerGene(config.n_genes)
        if config.likelihood == "zinb":
            # Extra zeros are rare, and as rare in every cell, until the data say otherwise: see `prior_loss`.
            self.fc_pi_logit = nnx.Linear(
                backwards[-1],
                config.n_genes,
                kernel_init=nnx.initializers.zeros,
                bias_init=nnx.initializers.constant(-3.0),
                rngs=rngs,
            )

    def encode(
        self, counts: Float[Array, "*cells genes"], random_params: Any = None
    ) -> tuple[Float[Array, "*cells latent"], Float[Array, "*cells latent"]]:
        """Mean and log-variance of the latent's normal law.

        Args:
            counts: Raw counts.
            random_params: PRNG key for dropout in train mode.
        """
        hidden = self.encoder(jnp.log1p(counts), random_params)
        return self.fc_mean(hidden), jnp.clip(self.fc_logvar(hidden), *_LOGVAR_RANGE)

    def decode(
        self,
        z: Float[Array, "*cells latent"],
        library_size: float | Float[Array, "*cells"],
        batch_label: int | Int[Array, "*cells"] | None = None,
    ) -> dict[str, Float[Array, "*cells genes"]]:
        """Parameters of the count law.

        Args:
            z: Latent.
            library_size: Number of counts.
            batch_label: From 0 to n_batches - 1, where the decoder is told the batch.

        Returns:
            `log_rate`, and as the likelihood has them `log_theta` and `pi_logit`.
        """
        if self.config.use_batch_correction:
            if batch_label is None:
                raise ValueError("VAE normaliser: use_batch_correction needs batch_label")
            z = jnp.concatenate([z, jax.nn.one_hot(batch_label, self.config.n_batches, dtype=z.dtype)], axis=-1)
        hidden = self.decoder(z)
        shares = jax.nn.log_softmax(self.fc_output(hidden), axis=-1)
        log_rate = shares + jnp.log(library_size + _SMALLEST_LIBRARY)[..., None]
        found = {"log_rate": log_rate}
        if self.config.likelihood != "poisson":
            found["log_theta"] = jnp.broadcast_to(self.fc_log_theta.bias[...], log_rate.shape)
        if self.config.likelihood == "zinb":
            found["pi_logit"] = self.fc_pi_logit(hidden)
        return found

    def reparameterize(
        self,
        mean: Float[Array, "*cells latent"],
        logvar: Float[Array, "*cells latent"],
        random_params: Any = None,
    ) -> Float[Array, "*cells latent"]:
        """Draw a latent in train mode; its mean in evaluation mode.

        Args:
            mean: Mean of its normal law.
            logvar: Log-variance of it.
            random_params: PRNG key; the operator's own stream if None.
        """
        if self.deterministic:
            return mean
        key = self.encoder.dropout.draw_key(mean) if random_params is None else random_params
        return mean + jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape, mean.dtype)

    def kl_divergence(
        self, mean: Float[Array, "*cells latent"], logvar: Float[Array, "*cells latent"]
    ) -> Float[Array, ""]:
        """Divergence of the latent's law from the standard normal one, summed."""
        return gaussian_divergence(mean, logvar).sum()

    def reconstruction_loss(
        self, counts: Float[Array, "*cells genes"], decode_output: dict[str, Float[Array, "*cells genes"]]
    ) -> Float[Array, ""]:
        """Negative log-likelihood of counts, constants included, summed.

        Args:
            counts: Raw counts.
            decode_output: What `decode` gave.
        """
        return -self.log_prob(counts, decode_output).sum()

    def log_prob(
        self, counts: Float[Array, "*cells genes"], decode_output: dict[str, Float[Array, "*cells genes"]]
    ) -> Float[Array, "*cells genes"]:
        """Log-probability of every count, given what `decode` gave."""
        laws = {"poisson": poisson_log_prob, "nb": negative_binomial_log_prob, "zinb": zero_inflated_log_prob}
        return laws[self.config.likelihood](counts, **decode_output)

    def elbo_loss(
        self,
        recon: Float[Array, ""],
        mean: Float[Array, "*cells latent"],
        logvar: Float[Array, "*cells latent"],
        beta: float | Float[Array, ""] = 1.0,
    ) -> Float[Array, ""]:
        """Reconstruction loss and beta times the divergence."""
        return recon + beta * self.kl_divergence(mean, logvar)

    def prior_loss(self) -> Float[Array, ""]:
        """Negative logarithm of the parameters' prior, up to a constant; 0 but for "zinb". A training adds it once.

        Weights of the head for extra zeros are normal of variance 1 / width, so that a gene's log-odds differ by about
        1 between cells. Without it a zero that a low rate explains is as well an extra one, and the head learns by
        heart which cells have them.
        """
        if self.config.likelihood != "zinb":
            return jnp.zeros(())
        kernel = self.fc_pi_logit.kernel[...]
        return 0.5 * kernel.shape[0] * (kernel**2).sum()

    def compute_elbo_loss(
        self,
        counts: Float[Array, "*cells genes"],
        library_size: float | Float[Array, "*cells"],
        random_params: Any = None,
        batch_label: int | Int[Array, "*cells"] | None = None,
        beta: float | Float[Array, ""] = 1.0,
    ) -> Float[Array, ""]:
        """Negative evidence lower bound, summed over cells; the parameters' `prior_loss` is not in it.

        Args:
            counts: Raw counts of one cell or of several.
            library_size: Number of counts of each.
            random_params: PRNG key in train mode; the operator's own stream if None.
            batch_label: Batch, where the decoder is told it.
            beta: Weight of the divergence.
        """
        mean, logvar, z = self._latent(counts, random_params)
        recon = self.reconstruction_loss(counts, self.decode(z, library_size, batch_label))
        return self.elbo_loss(recon, mean, logvar, beta)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Normalise one cell.

        Args:
            data: `counts` (n_genes,) and `library_size` (), and `batch_label` () int where the decoder is told the
                batch. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for latent and dropout in train mode; the operator's own stream if None.
            stats: Not used.

        Returns:
            The data with `normalized` (n_genes,), which sums to 1, `latent_z`, `latent_mean` and `latent_logvar`
            (latent_dim,), `log_rate` (n_genes,), and, as the likelihood has them, `log_theta` and `pi_logit`; state,
            metadata.

        Raises:
            ValueError: A key is missing, shapes do not fit, or a count is NaN or negative.
        """
        expected: dict[str, tuple[str | int, ...]] = {"counts": (self.config.n_genes,), "library_size": ()}
        if self.config.use_batch_correction:
            expected["batch_label"] = ()
        check_shapes("VAE normaliser", data, expected)
        self._check_values(data)
        counts, library_size = jnp.asarray(data["counts"], float), jnp.asarray(data["library_size"], float)
        return {**data, **self.normalise(counts, library_size, random_params, data.get("batch_label"))}, state, metadata

    def normalise(
        self,
        counts: Float[Array, "*cells genes"],
        library_size: float | Float[Array, "*cells"],
        random_params: Any = None,
        batch_label: int | Int[Array, "*cells"] | None = None,
    ) -> dict[str, Array]:
        """What `apply` adds, for one cell or for several; arguments as there."""
        if random_params is None and not self.deterministic:
            random_params = self.encoder.dropout.draw_key(counts)
        return self._normalise(counts, library_size, random_params, batch_label)

    @jax.jit
    def _normalise(self, counts: Array, library_size: Array, random_params: Any, batch_label: Any) -> dict[str, Array]:
        mean, logvar, z = self._latent(counts, random_params)
        decoded = self.decode(z, library_size, batch_label)
        normalized = jnp.exp(decoded["log_rate"] - jnp.log(library_size + _SMALLEST_LIBRARY)[..., None])
        return {"normalized": normalized, "latent_z": z, "latent_mean": mean, "latent_logvar": logvar, **decoded}

    def _latent(self, counts: Array, random_params: Any) -> tuple[Array, Array, Array]:
        for_dropout, for_latent = (None, None) if random_params is None else jax.random.split(random_params)
        mean, logvar = self.encode(counts, for_dropout)
        return mean, logvar, self.reparameterize(mean, logvar, for_latent)

    def _check_values(self, data: PyTree) -> None:
        check_counts("VAE normaliser", "counts", data["counts"])
        if self.config.use_batch_correction:
            check_labels("VAE normaliser", "batch_label", data["batch_label"], self.config.n_batches)


class _Layers(nnx.Module):
    """Hidden layers: linear, normalised over the cell's own features, rectified, dropped.

    scVI normalises over the batch of cells; over the features a cell's result does not depend on its neighbours.
    """

    def __init__(self, inputs: int, widths: Sequence[int], dropout_rate: float, rngs: nnx.Rngs):
        sizes = [inputs, *widths]
        self.linear = nnx.List([nnx.Linear(size, width, rngs=rngs) for size, width in zip(sizes, widths, strict=False)])
        self.norm = nnx.List([nnx.LayerNorm(width, rngs=rngs) for width in widths])
        self.dropout = Dropout(dropout_rate, rngs=rngs)

    def __call__(self, values: Array, random_params: Any = None) -> Array:
        for layer, (linear, norm) in enumerate(zip(self.linear, self.norm, strict=True)):
            key = None if random_params is None else jax.random.fold_in(random_params, layer)
            values = self.dropout(jax.nn.relu(norm(linear(values))), key)
        return values


class _PerGene(nnx.Module):
    """A parameter of each gene that no cell changes."""

    def __init__(self, n_genes: int):
        self.bias = nnx.Param(jnp.zeros(n_genes))
