import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import nbinom

from diffbio_core.losses import NegativeBinomialLoss, VAELoss, zinb_negative_log_likelihood


def test_the_zero_inflated_loss_at_zero_and_above():
    def loss(count):
        return float(
            zinb_negative_log_likelihood(
                jnp.array([count]), jnp.log(jnp.array([5.0])), jnp.log(jnp.array([2.0])), jnp.zeros(1)
            )
        )

    assert loss(0.0) == pytest.approx(0.6147, abs=5e-5)
    assert loss(3.0) == pytest.approx(2.8218, abs=5e-5)


def test_the_loss_adds_error_and_weighted_divergence():
    x, mean, logvar = jnp.array([[1.0, 2.0]]), jnp.array([[1.0]]), jnp.array([[0.0]])

    # (1 - 0)^2 + (2 - 0)^2, and 0.5 x 1^2 weighted by 2.
    assert float(VAELoss(kl_weight=2.0)(x, jnp.zeros((1, 2)), mean, logvar)) == pytest.approx(6.0)
    cross_entropy = VAELoss(reconstruction_type="bce")(jnp.ones((1, 2)), jnp.zeros((1, 2)), 0 * mean, logvar)
    assert float(cross_entropy) == pytest.approx(2 * np.log(2))


def test_another_reconstruction_type_is_refused():
    with pytest.raises(ValueError, match="reconstruction_type must be 'mse' or 'bce', got 'l1'"):
        VAELoss(reconstruction_type="l1")


def test_the_negative_binomial_loss_is_the_mean_over_counts_with_a_theta_per_gene():

    counts, mu, theta = jnp.array([[3.0, 0.0], [7.0, 1.0]]), jnp.array([[4.0, 2.0], [5.0, 0.0]]), jnp.array([2.0, 5.0])

    loss = float(NegativeBinomialLoss(eps=1e-3)(counts, mu, theta))

    lifted = np.array([[4.0, 2.0], [5.0, 1e-3]])
    size = np.array([2.0, 5.0])
    assert loss == pytest.approx(-nbinom.logpmf(np.asarray(counts), size, size / (size + lifted)).mean(), rel=1e-5)
    with pytest.raises(ValueError, match="eps must be positive"):
        NegativeBinomialLoss(eps=0)
