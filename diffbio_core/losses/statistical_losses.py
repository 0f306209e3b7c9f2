"""Negative log-likelihoods of counts, and the loss of variational autoencoders."""

from __future__ import annotations

import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.losses.count_likelihoods import negative_binomial_log_prob, zero_inflated_log_prob


def zinb_negative_log_likelihood(
    counts: Float[Array, "*shape"],
    log_rate: Float[Array, "*shape"],
    log_theta: Float[Array, "*#shape"],
    pi_logit: Float[Array, "*#shape"],
) -> Float[Array, ""]:
    """Negative log-likelihood under a zero-inflated negative binomial law, summed.

    Args:
        counts: Counts, 0 or more.
        log_rate: Natural logarithm of the negative binomial's mean.
        log_theta: Natural logarithm of its inverse dispersion: variance is mean + mean^2 / theta.
        pi_logit: Log-odds of a zero by chance of its own.
    """
    return -zero_inflated_log_prob(counts, log_rate, log_theta, pi_logit).sum()


class NegativeBinomialLoss(nnx.Module):
    """Mean negative log-likelihood of counts under a negative binomial law.

    Args:
        eps: Means and inverse dispersions below it are lifted to it, so that their logarithms are finite.

    Raises:
        ValueError: eps is not positive.
    """

    def __init__(self, eps: float = 1e-8):
        if not eps > 0:
            raise ValueError(f"NegativeBinomialLoss: eps must be positive, got {eps}")
        self.eps = eps

    def __call__(
        self, counts: Float[Array, "*shape"], mu: Float[Array, "*#shape"], theta: Float[Array, "*#shape"]
    ) -> Float[Array, ""]:
        """Loss of expected counts.

        Args:
            counts: Counts, 0 or more.
            mu: Expected counts.
            theta: Inverse dispersion, of a gene or of all: variance is mu + mu^2 / theta.
        """
        log_mu, log_theta = (jnp.log(jnp.maximum(value, self.eps)) for value in (mu, theta))
        return -negative_binomial_log_prob(counts, log_mu, log_theta).mean()


class VAELoss(nnx.Module):
    """Reconstruction error and divergence from the prior, summed over features and averaged over cells.

    Args:
        kl_weight: Weight of the divergence.
        reconstruction_type: "mse", squared error, or "bce", cross-entropy of values in [0, 1].

    Raises:
        ValueError: Another reconstruction type.
    """

    def __init__(self, kl_weight: float = 1.0, reconstruction_type: str = "mse"):
        if reconstruction_type not in ("mse", "bce"):
            raise ValueError(f"VAELoss: reconstruction_type must be 'mse' or 'bce', got {reconstruction_type!r}")
        self.kl_weight = kl_weight
        self.reconstruction_type = reconstruction_type

    def __call__(
        self,
        x: Float[Array, "*cells features"],
        x_recon: Float[Array, "*cells features"],
        mean: Float[Array, "*cells latent"],
        logvar: Float[Array, "*cells latent"],
    ) -> Float[Array, ""]:
        """Loss of a reconstruction.

        Args:
            x: What was to be reconstructed.
            x_recon: The reconstruction; logits for "bce".
            mean: Mean of the latent's normal law.
            logvar: Logarithm of its variance.
        """
        if self.reconstruction_type == "mse":
            error = (x - x_recon) ** 2
        else:
            error = optax.sigmoid_binary_cross_entropy(x_recon, x)
        return (error.sum(axis=-1) + self.kl_weight * gaussian_divergence(mean, logvar)).mean()


def gaussian_divergence(mean: Float[Array, "*cells latent"], logvar: Float[Array, "*cells latent"]) -> Array:
    """Kullback-Leibler divergence of each cell's normal law from the standard one: (*cells,)."""
    return -0.5 * (1 + logvar - mean**2 - jnp.exp(logvar)).sum(axis=-1)
