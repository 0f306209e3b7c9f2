import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.metrics import local_inverse_simpson
from diffbio_core.operators.singlecell import BatchCorrectionConfig, DifferentiableHarmony
from tests.diffbio_core.cell_samples import cell_lines, pbmc_3500, shifted_batches

EMBEDDINGS, BATCHES, TYPES = shifted_batches()
DATA = {"embeddings": jnp.asarray(EMBEDDINGS), "batch_labels": jnp.asarray(BATCHES)}


def operator(**config) -> DifferentiableHarmony:
    return DifferentiableHarmony(BatchCorrectionConfig(n_clusters=6, n_features=6, **config))


def test_batches_mix_and_types_stay_apart():
    result = operator().fit(EMBEDDINGS, BATCHES).apply({**DATA, "name": "x"}, {}, None)[0]

    corrected = result["corrected_embeddings"]
    assert local_inverse_simpson(EMBEDDINGS, BATCHES, 10).mean() < 1.1
    assert local_inverse_simpson(corrected, BATCHES, 10).mean() > 1.6
    assert local_inverse_simpson(corrected, TYPES, 10).mean() < 1.01
    np.testing.assert_allclose(result["cluster_assignments"].sum(axis=1), 1, atol=1e-5)
    assert result["name"] == "x"
    assert result["embeddings"] is DATA["embeddings"]


def test_an_operator_that_was_not_fitted_mixes_too():
    corrected = operator().apply(DATA, {}, None)[0]["corrected_embeddings"]

    assert local_inverse_simpson(corrected, BATCHES, 10).mean() > 1.5


def test_the_same_seed_gives_the_same_bits():
    first, second = (operator().fit(EMBEDDINGS, BATCHES, seed=3).cluster_centroids[...] for _ in range(2))

    assert (first == second).all()


def test_gradients_reach_embeddings_and_centroids_under_jit():
    harmony = operator(n_iterations=2)

    @jax.jit
    def gradients(harmony, embeddings):
        def loss(harmony, embeddings):
            result = harmony.apply({"embeddings": embeddings, "batch_labels": DATA["batch_labels"]}, {}, None)[0]
            return (result["corrected_embeddings"] ** 2).mean()

        return jax.grad(loss, argnums=(0, 1))(harmony, embeddings)

    of_operator, of_embeddings = gradients(harmony, DATA["embeddings"])

    assert 0 < float(jnp.abs(of_embeddings).max()) < np.inf
    assert 0 < float(jnp.abs(nnx.state(of_operator, nnx.Param)["cluster_centroids"][...]).max()) < np.inf


def test_a_label_outside_the_batches_is_told():
    with pytest.raises(ValueError, match=r"batch_labels has 2 for cell 1, expected 0 to 1"):
        operator().apply({**DATA, "batch_labels": DATA["batch_labels"].at[1].set(2)}, {}, None)


def test_a_label_that_cannot_be_seen_leaves_no_result_that_looks_right():
    labels = DATA["batch_labels"].at[1].set(2)

    result = jax.jit(lambda labels: operator().apply({**DATA, "batch_labels": labels}, {}, None)[0])(labels)

    assert jnp.isnan(result["corrected_embeddings"]).all()


def test_the_number_of_batches_comes_from_the_data_where_it_is_not_given():
    harmony = operator(n_batches=None)

    eager = harmony.apply(DATA, {}, None)[0]["corrected_embeddings"]
    traced = jax.jit(lambda data: harmony.apply(data, {}, None)[0])(DATA)["corrected_embeddings"]

    assert harmony.compute_batch_proportions(DATA["batch_labels"], jnp.ones((300, 6)) / 6).shape == (6, 2)
    np.testing.assert_allclose(eager, traced, atol=2e-3)


def test_a_nan_is_told_by_its_place():
    with pytest.raises(ValueError, match=r"embeddings of shape \(300, 6\) has nan at \(4, 1\)"):
        operator().fit(DATA["embeddings"].at[4, 1].set(jnp.nan), BATCHES)


def test_a_step_corrects_from_given_centroids():
    corrected, assignments = operator().correction_step(
        DATA["embeddings"], DATA["batch_labels"], DATA["embeddings"][:6]
    )

    assert corrected.shape == (300, 6)
    proportions = operator().compute_batch_proportions(DATA["batch_labels"], assignments)
    np.testing.assert_allclose(proportions.sum(axis=1), 1, atol=1e-5)


def test_real_cells_are_moved_where_r_moves_them():
    components, donors, harmonised = pbmc_3500()
    harmony = DifferentiableHarmony(BatchCorrectionConfig(n_features=30, n_batches=3)).fit(components, donors)

    data = {"embeddings": jnp.asarray(components, float), "batch_labels": donors}
    corrected = np.asarray(harmony.apply(data, {}, None)[0]["corrected_embeddings"])

    agreement = [np.corrcoef(corrected[:, i], harmonised[:, i])[0, 1] for i in range(30)]
    assert np.mean(agreement) >= 0.993
    assert min(agreement) >= 0.95
    assert local_inverse_simpson(corrected, donors).mean() >= 2.25


def test_real_cell_lines_mix_over_data_sets_and_stay_apart():
    components, datasets, lines = cell_lines()
    harmony = DifferentiableHarmony(BatchCorrectionConfig(n_features=20, n_batches=3)).fit(components, datasets)

    data = {"embeddings": jnp.asarray(components, float), "batch_labels": datasets}
    corrected = harmony.apply(data, {}, None)[0]["corrected_embeddings"]

    assert local_inverse_simpson(corrected, datasets).mean() >= 1.70
    assert local_inverse_simpson(corrected, lines).mean() <= 1.01
