import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import nbinom, poisson

from diffbio_core.operators.normalization import VAENormalizer, VAENormalizerConfig
from tests.diffbio_core.cell_samples import typed_counts

COUNTS = jnp.asarray(typed_counts(cells=8, genes=12)[0])
CELL = {"counts": COUNTS[0], "library_size": COUNTS[0].sum()}


def normaliser(**config) -> VAENormalizer:
    settings = {"n_genes": 12, "hidden_dims": [8, 6], "latent_dim": 3} | config
    return VAENormalizer(VAENormalizerConfig(**settings))


@pytest.mark.parametrize("likelihood", ["poisson", "nb", "zinb"])
def test_the_output_has_the_documented_keys(likelihood):
    result, state, metadata = normaliser(likelihood=likelihood).apply({**CELL, "name": "x"}, {"s": 1}, {"m": 2})

    assert float(result["normalized"].sum()) == pytest.approx(1, abs=1e-5)
    assert result["latent_z"].shape == result["latent_mean"].shape == result["latent_logvar"].shape == (3,)
    rate = np.exp(result["log_rate"])
    np.testing.assert_allclose(rate, np.asarray(result["normalized"]) * float(CELL["library_size"]), rtol=1e-4)
    assert ("log_theta" in result) == (likelihood != "poisson")
    assert ("pi_logit" in result) == (likelihood == "zinb")
    assert (result["name"], state, metadata) == ("x", {"s": 1}, {"m": 2})


def test_evaluation_takes_the_mean_and_training_draws():
    vae = normaliser()

    assert (vae.apply(CELL, {}, None)[0]["latent_z"] == vae.apply(CELL, {}, None)[0]["latent_mean"]).all()
    vae.train_mode()
    drawn = [vae.apply(CELL, {}, None, jax.random.key(seed))[0]["latent_z"] for seed in (1, 1, 2)]
    assert (drawn[0] == drawn[1]).all()
    assert not (drawn[0] == drawn[2]).any()


def test_cells_of_a_batch_draw_each_for_itself_without_a_key():
    vae = normaliser(dropout_rate=0.0)
    vae.train_mode()
    result = jax.vmap(lambda counts: vae.apply({"counts": counts, "library_size": counts.sum()}, {}, None)[0])(COUNTS)

    noise = (result["latent_z"] - result["latent_mean"]) / np.exp(0.5 * np.asarray(result["latent_logvar"]))
    assert len(np.unique(np.round(noise[:, 0], 4))) == 8


def test_several_cells_are_what_each_is_alone():
    vae = normaliser(likelihood="zinb")

    together = vae.normalise(COUNTS, COUNTS.sum(axis=1))

    for cell in range(8):
        alone = vae.apply({"counts": COUNTS[cell], "library_size": COUNTS[cell].sum()}, {}, None)[0]
        np.testing.assert_allclose(together["normalized"][cell], alone["normalized"], atol=1e-6)
        np.testing.assert_allclose(together["latent_mean"][cell], alone["latent_mean"], atol=1e-5)


def test_the_reconstruction_loss_is_scipys():
    rate, theta = np.exp(normaliser().apply(CELL, {}, None)[0]["log_rate"]), 1.0

    expected = -poisson.logpmf(COUNTS[0], rate).sum()
    vae = normaliser()
    assert float(vae.reconstruction_loss(COUNTS[0], vae.decode(jnp.zeros(3), 1.0))) > 0
    result = vae.apply(CELL, {}, None)[0]
    found = vae.reconstruction_loss(COUNTS[0], {"log_rate": result["log_rate"]})
    assert float(found) == pytest.approx(expected, rel=1e-5)
    over = normaliser(likelihood="nb").reconstruction_loss(
        COUNTS[0], {"log_rate": result["log_rate"], "log_theta": jnp.zeros(12)}
    )
    assert float(over) == pytest.approx(-nbinom.logpmf(COUNTS[0], theta, theta / (theta + rate)).sum(), rel=1e-5)


def test_the_bound_is_reconstruction_and_divergence():
    vae = normaliser()
    mean, logvar = vae.encode(COUNTS[0])
    recon = vae.reconstruction_loss(COUNTS[0], vae.decode(mean, CELL["library_size"]))
    divergence = -0.5 * (1 + logvar - mean**2 - jnp.exp(logvar)).sum()

    assert float(vae.kl_divergence(mean, logvar)) == pytest.approx(float(divergence), rel=1e-5)
    assert float(vae.compute_elbo_loss(COUNTS[0], CELL["library_size"])) == pytest.approx(
        float(recon + divergence), rel=1e-5
    )
    assert float(vae.elbo_loss(recon, mean, logvar, beta=0.0)) == pytest.approx(float(recon))


def test_the_prior_is_of_the_head_for_extra_zeros_alone():
    assert float(normaliser().prior_loss()) == float(normaliser(likelihood="nb").prior_loss()) == 0
    vae = normaliser(likelihood="zinb")

    assert float(vae.prior_loss()) == 0
    vae.fc_pi_logit.kernel[...] = jnp.full((8, 12), 0.5)
    assert float(vae.prior_loss()) == pytest.approx(0.5 * 8 * 8 * 12 * 0.25)


def test_gradients_reach_every_parameter_and_the_counts():
    vae = normaliser(likelihood="zinb")
    vae.train_mode()

    def loss(vae, counts):
        return vae.compute_elbo_loss(counts, counts.sum(), jax.random.key(0))

    of_vae, of_counts = jax.jit(jax.grad(loss, argnums=(0, 1)))(vae, COUNTS[0])

    assert jnp.isfinite(of_counts).all()
    assert (of_counts != 0).any()
    for leaf in jax.tree.leaves(nnx.state(of_vae, nnx.Param)):
        assert jnp.isfinite(leaf).all()
        assert (leaf != 0).any()


def test_a_decoder_that_is_told_the_batch_uses_it():
    vae = normaliser(use_batch_correction=True, n_batches=3)

    shares = [vae.apply({**CELL, "batch_label": label}, {}, None)[0]["normalized"] for label in (0, 1)]

    assert np.abs(shares[0] - shares[1]).max() > 1e-4
    with pytest.raises(ValueError, match="missing: \\['batch_label'\\]"):
        vae.apply(CELL, {}, None)
    with pytest.raises(ValueError, match="batch_label has 3 for cell 0, expected 0 to 2"):
        vae.apply({**CELL, "batch_label": 3}, {}, None)


@pytest.mark.parametrize(("value", "told"), [(np.nan, "has nan at"), (-1.0, "has -1.0 at")])
def test_what_is_no_count_is_told(value, told):
    with pytest.raises(ValueError, match=told):
        normaliser().apply({**CELL, "counts": COUNTS[0].at[3].set(value)}, {}, None)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"likelihood": "gaussian"}, "likelihood must be one of"),
        ({"hidden_dims": []}, "hidden_dims must be positive widths"),
        ({"latent_dim": 0}, "latent_dim must be positive"),
    ],
)
def test_a_wrong_configuration_is_told(config, told):
    with pytest.raises(ValueError, match=told):
        normaliser(**config)
