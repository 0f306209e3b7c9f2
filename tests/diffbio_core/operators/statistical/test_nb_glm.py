import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import nbinom

from diffbio_core.operators.base import FixedValue
from diffbio_core.operators.statistical import DifferentiableNBGLM, NBGLMConfig
from tests.diffbio_core.operators.statistical.deseq2_results import deseq2_results


def _small():
    glm = DifferentiableNBGLM(NBGLMConfig(n_features=2))
    glm.beta[...] = jnp.log(jnp.array([[4.0, 10.0], [2.0, 1.0]]))
    glm.log_dispersion[...] = jnp.log(jnp.expm1(jnp.array([2.0, 5.0]) - 1e-4))
    return glm


def test_one_sample_gets_means_dispersions_and_its_likelihood():
    sample = {"counts": jnp.array([3.0, 0.0]), "design": jnp.array([1.0, 1.0]), "size_factor": jnp.array(0.5), "id": 7}

    found, _, _ = _small().apply(sample, {}, None)

    # Means 4 x 2 x 0.5 and 10 x 1 x 0.5; scipy's p is size / (size + mean).
    assert found["predicted_mean"] == pytest.approx([4.0, 5.0], rel=1e-6)
    assert found["dispersion"] == pytest.approx([2.0, 5.0], rel=1e-6)
    expected = nbinom.logpmf(3, 2, 2 / 6) + nbinom.logpmf(0, 5, 5 / 10)
    assert float(found["log_likelihood"]) == pytest.approx(expected, rel=1e-6)
    assert found["id"] == 7


def test_gradients_go_to_counts_design_and_parameters():
    glm = _small()
    counts, design, factor = jnp.array([3.0, 1.0]), jnp.array([1.0, 0.0]), jnp.array(1.0)

    by_parameter = nnx.grad(lambda glm: glm.negative_binomial_log_prob(counts, design, factor))(glm)
    by_counts, by_design = jax.grad(glm.negative_binomial_log_prob, argnums=(0, 1))(counts, design, factor)

    # Score of beta: (count - mean) / (1 + mean / dispersion), for means 4 and 10.
    assert by_parameter["beta"][...] == pytest.approx(
        np.array([[(3 - 4) / (1 + 4 / 2), (1 - 10) / (1 + 10 / 5)], [0, 0]]), rel=1e-5
    )
    assert by_design == pytest.approx(np.log([[4.0, 10.0], [2.0, 1.0]]) @ np.array([-1 / 3, -3.0]), rel=1e-5)
    assert np.isfinite(by_counts).all()
    assert (np.abs(by_parameter["log_dispersion"][...]) > 0).all()


def test_samples_together_are_the_sum_of_samples():
    glm = _small()
    counts, design, factors = jnp.array([[3.0, 0.0], [1, 2]]), jnp.eye(2), jnp.array([1.0, 2.0])
    one = [glm.negative_binomial_log_prob(*sample) for sample in zip(counts, design, factors, strict=True)]

    assert float(glm.batch_log_likelihood(counts, design, factors)) == pytest.approx(float(sum(one)))


def test_dispersions_that_are_not_estimated_are_no_parameter():
    glm = DifferentiableNBGLM(NBGLMConfig(n_features=3, estimate_dispersion=False))
    assert isinstance(glm.log_dispersion, FixedValue)
    assert set(nnx.state(glm, nnx.Param)) == {"beta"}


def test_a_fit_takes_deseq2s_estimates_over():
    counts, _, expected = deseq2_results("outliers")
    design = np.column_stack([np.ones(16), np.repeat([0, 1], 8)])
    glm = DifferentiableNBGLM(NBGLMConfig(n_features=300))

    glm.fit(counts, design)

    some = np.isfinite(expected["p"]) & (expected["base_mean"] > 10)
    ours = np.asarray(glm.get_coefficients()[1]) / np.log(2)
    assert np.abs(ours - expected["lfc"])[some].max() < 1e-4
    assert (np.abs(1 / np.asarray(glm.get_dispersion()) / expected["dispersion"] - 1)[some]).max() < 1e-3
    empty = (counts == 0).all(axis=0).to_numpy()
    assert empty.any()
    assert np.exp(glm.get_coefficients()[0][empty]) == pytest.approx(1e-8, rel=1e-4)


def test_other_sizes_are_refused():
    counts, _, _ = deseq2_results("outliers")
    glm = DifferentiableNBGLM(NBGLMConfig(n_features=5))
    with pytest.raises(ValueError, match="300 genes and 2 coefficients"):
        glm.fit(counts, np.column_stack([np.ones(16), np.repeat([0, 1], 8)]))
    with pytest.raises(ValueError, match="n_features must be positive"):
        NBGLMConfig(n_features=0)
