import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.pipelines import DEPipelineConfig, DifferentialExpressionPipeline
from diffbio_core.pipelines.differential_expression import median_of_ratios
from tests.diffbio_core.operators.statistical.deseq2_results import deseq2_results

KEYS = {
    "size_factors",
    "predicted_mean",
    "log_fold_change",
    "wald_statistic",
    "standard_error",
    "p_values",
    "significant",
}


@pytest.fixture(scope="module")
def groups():
    counts, _, expected = deseq2_results("outliers")
    data = {
        "counts": jnp.asarray(counts.to_numpy(), jnp.float32),
        "design": jnp.asarray(np.column_stack([np.ones(16), np.repeat([0, 1], 8)]), jnp.float32),
    }
    return data, expected


def _pipeline(**options):
    return DifferentialExpressionPipeline(DEPipelineConfig(n_genes=300, **options))


def test_a_new_pipeline_gives_deseq2s_numbers(groups):
    data, expected = groups

    found, state, metadata = _pipeline().apply({**data, "genes": "kept"}, {"a": 1}, {"b": 2})

    known = np.isfinite(expected["p"]) & (expected["base_mean"] > 10)
    assert np.abs(found["log_fold_change"] - expected["lfc"])[known].max() < 1e-4
    np.testing.assert_allclose(found["p_values"][known.to_numpy()], expected["p"][known], rtol=5e-3, atol=1e-30)
    np.testing.assert_allclose(
        (found["standard_error"] / np.log(2))[known.to_numpy()], expected["se"][known], rtol=1e-3
    )
    assert set(found) == KEYS | set(data) | {"genes"}
    assert (state, metadata) == ({"a": 1}, {"b": 2})
    for key in KEYS:
        assert np.isfinite(found[key]).all(), key


def test_compiling_changes_nothing(groups):
    data, _ = groups
    pipeline = _pipeline()
    found = pipeline.apply(data, {}, None)[0]

    compiled = jax.jit(lambda counts: pipeline.apply({**data, "counts": counts}, {}, None)[0])(data["counts"])

    # A gene with a huge outlier is fitted loosely; size factors that differ in the last bit move it.
    ours, theirs = np.asarray(compiled["log_fold_change"]), np.asarray(found["log_fold_change"])
    assert np.quantile(np.abs(ours - theirs), 0.95) < 1e-4
    np.testing.assert_allclose(compiled["size_factors"], found["size_factors"], rtol=1e-6)


def test_gradients_to_counts_are_those_of_the_refitted_coefficients():
    rng = np.random.default_rng(0)
    counts = rng.negative_binomial(5, 5 / (5 + 200), (6, 40)).astype(float)
    design = np.column_stack([np.ones(6), [0, 0, 0, 1, 1, 1]])
    pipeline = DifferentialExpressionPipeline(DEPipelineConfig(n_genes=40, use_size_factors=False))

    def change(counts):
        data = {"counts": counts, "design": jnp.asarray(design)}
        return pipeline.apply(data, {}, None)[0]["log_fold_change"][3]

    gradient = jax.grad(change)(jnp.asarray(counts))

    # With one mean per group and no size factors the change is log2 of the ratio of the groups' sums.
    sums = counts[:3, 3].sum(), counts[3:, 3].sum()
    expected = np.repeat([-1 / sums[0], 1 / sums[1]], 3) / np.log(2)
    np.testing.assert_allclose(gradient[:, 3], expected, rtol=2e-3)
    assert (np.asarray(gradient)[:, np.arange(40) != 3] == 0).all()


def test_gradients_to_parameters_are_those_at_the_estimates(groups):
    data, _ = groups
    pipeline = _pipeline()

    gradient = nnx.grad(lambda pipeline: pipeline.apply(data, {}, None)[0]["log_fold_change"].sum())(pipeline)

    np.testing.assert_allclose(gradient["nb_glm"]["beta"][...], np.repeat([[0], [1 / np.log(2)]], 300, axis=1))


def test_a_fit_is_kept_and_says_more(groups):
    data, expected = groups
    pipeline = DifferentialExpressionPipeline(DEPipelineConfig())

    result = pipeline.fit(data)
    found = pipeline.apply(data, {}, None)[0]

    assert pipeline.config.n_genes == 300
    known = np.isfinite(expected["p"]) & ~result.model.replaced
    np.testing.assert_allclose(found["p_values"][known.to_numpy()], result["p_values"][known], rtol=5e-3, atol=1e-30)
    np.testing.assert_allclose(result["padj"], expected["padj"], rtol=2e-3)
    assert set(result) > KEYS
    assert result["cooks"].shape == (16, 300)
    assert result["predicted_mean"].shape == (16, 300)


def test_train_mode_takes_the_parameters_as_they_are(groups):
    data, _ = groups
    pipeline = _pipeline()
    pipeline.train_mode()
    pipeline.nb_glm.beta[...] = jnp.zeros((2, 300))

    found = pipeline.apply(data, {}, None)[0]

    assert (np.asarray(found["log_fold_change"]) == 0).all()
    np.testing.assert_allclose(found["predicted_mean"], np.repeat(found["size_factors"][:, None], 300, axis=1))


def test_size_factors_are_medians_of_ratios(groups):
    data, _ = groups
    counts = np.asarray(data["counts"], dtype=float)
    full = (counts > 0).all(axis=0)
    ratios = np.log(counts[:, full]) - np.log(counts[:, full]).mean(axis=0)
    np.testing.assert_allclose(median_of_ratios(data["counts"]), np.exp(np.median(ratios, axis=1)), rtol=1e-5)

    # Every gene has a zero: over the positive counts of a sample.
    sparse = jnp.array([[0.0, 4, 2], [8, 0, 2], [1, 1, 0]])
    logs = np.log(np.maximum(sparse, 1))
    expected = [np.exp(np.median((logs[row] - logs.mean(axis=0))[np.asarray(sparse[row]) > 0])) for row in range(3)]
    np.testing.assert_allclose(median_of_ratios(sparse), expected / np.exp(np.log(expected).mean()), rtol=1e-6)


def test_what_cannot_be_used_is_refused(groups):
    data, _ = groups
    with pytest.raises(ValueError, match="n_conditions must be 2 or more"):
        DEPipelineConfig(n_conditions=1)
    with pytest.raises(ValueError, match="counts has shape"):
        DifferentialExpressionPipeline(DEPipelineConfig(n_genes=7)).apply(data, {}, None)
    with pytest.raises(ValueError, match="gene 1 in sample 0 is no whole number"):
        _pipeline().apply({**data, "counts": data["counts"].at[0, 1].set(0.5)}, {}, None)
    with pytest.raises(ValueError, match="fit needs a design"):
        _pipeline().fit(data["counts"])
