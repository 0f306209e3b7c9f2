import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.metrics import local_inverse_simpson
from diffbio_core.operators.normalization import DifferentiableUMAP, UMAPConfig
from diffbio_core.operators.normalization.fuzzy_graph import fuzzy_edges, fuzzy_similarities
from tests.diffbio_core.cell_samples import shifted_batches

FEATURES, _, TYPES = shifted_batches(cells=120)


def umap(**config) -> DifferentiableUMAP:
    return DifferentiableUMAP(UMAPConfig(input_features=6, n_neighbors=8, **config))


def test_memberships_of_a_cell_sum_to_the_logarithm_of_its_neighbours():
    # Far apart, so that nobody is a neighbour both ways but in the own group of nine.
    points = np.concatenate([np.random.default_rng(group).normal(100 * group, 1, (9, 3)) for group in range(3)])
    similar = np.asarray(fuzzy_similarities(jnp.asarray(points, jnp.float32), 8))

    assert (similar == similar.T).all()
    assert (np.diag(similar) == 0).all()
    assert np.isclose(similar.max(axis=1), 1, atol=1e-5).all()
    # With all of the group as neighbours, memberships m of one direction sum to log2(8) = 3; m + m' - mm' of both
    # sum to between that and twice as much.
    assert ((similar.sum(axis=1) > 3) & (similar.sum(axis=1) < 6)).all()
    assert (similar[:9, 9:] == 0).all()


def test_edges_are_the_similarities():
    heads, tails, weights = fuzzy_edges(jnp.asarray(FEATURES), 8)
    similar = np.asarray(fuzzy_similarities(jnp.asarray(FEATURES), 8))

    np.testing.assert_allclose(weights, similar[heads, tails] / similar.sum(), atol=1e-5)


def test_a_fit_keeps_types_together_and_follows_its_seed():
    first, second = (umap().fit(FEATURES, epochs=15, seed=1) for _ in range(2))

    view = first.project(FEATURES)
    assert (view == second.project(FEATURES)).all()
    assert local_inverse_simpson(view, TYPES, 10).mean() < 1.05


def test_the_output_has_the_documented_keys():
    result = umap(metric="cosine").apply({"features": jnp.asarray(FEATURES), "name": "x"}, {}, None)[0]

    assert result["embedding"].shape == (120, 2)
    for key in ("high_dim_similarities", "low_dim_similarities"):
        similar = np.asarray(result[key])
        assert similar.shape == (120, 120)
        assert similar.min() >= 0
        assert similar.max() <= 1
        assert (np.diag(similar) == 0).all()
    assert result["name"] == "x"


def test_low_dimensional_similarities_are_those_of_the_shape():
    operator = umap()
    result = operator.apply({"features": jnp.asarray(FEATURES)}, {}, None)[0]
    squares = ((result["embedding"][:, None] - result["embedding"][None]) ** 2).sum(axis=2)

    expected = 1 / (1 + 1.929 * squares**0.7915) * (1 - jnp.eye(120))

    np.testing.assert_allclose(result["low_dim_similarities"], expected, atol=1e-4)


def test_gradients_of_the_loss_reach_network_and_shape():
    def loss(operator):
        result = operator.apply({"features": jnp.asarray(FEATURES)}, {}, None)[0]
        return operator._compute_umap_loss(result["high_dim_similarities"], result["low_dim_similarities"])

    for leaf in jax.tree.leaves(nnx.state(jax.jit(jax.grad(loss))(umap()), nnx.Param)):
        assert jnp.isfinite(leaf).all()
        assert (leaf != 0).any()


def test_another_metric_is_refused():
    with pytest.raises(ValueError, match="metric must be one of"):
        umap(metric="manhattan")
