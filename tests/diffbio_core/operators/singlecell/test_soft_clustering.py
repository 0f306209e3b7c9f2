import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.metrics import adjusted_rand_index
from diffbio_core.operators.singlecell import (
    BatchCorrectionConfig,
    DifferentiableHarmony,
    SoftClusteringConfig,
    SoftKMeansClustering,
)
from tests.diffbio_core.cell_samples import cell_lines, shifted_batches

EMBEDDINGS, _, TYPES = shifted_batches()


def clustering(**config) -> SoftKMeansClustering:
    return SoftKMeansClustering(SoftClusteringConfig(n_clusters=3, n_features=6, **config))


def test_fitted_clusters_are_the_types():
    result = clustering().fit(EMBEDDINGS).apply({"embeddings": jnp.asarray(EMBEDDINGS), "name": "x"}, {}, None)[0]

    assert adjusted_rand_index(result["cluster_labels"], TYPES) == 1
    np.testing.assert_allclose(result["cluster_assignments"].sum(axis=1), 1, atol=1e-5)
    assert result["centroids"].shape == (3, 6)
    assert result["name"] == "x"


def test_assignments_are_a_softmax_of_squared_distances():
    soft = clustering(temperature=2.0)
    distances = ((EMBEDDINGS[:, None] - np.asarray(soft.centroids[...])) ** 2).sum(axis=2)

    expected = jax.nn.softmax(-jnp.asarray(distances) / 2, axis=1)

    np.testing.assert_allclose(soft.compute_assignments(EMBEDDINGS), expected, atol=1e-5)


def test_the_same_seed_gives_the_same_bits():
    first, second = (clustering().fit(EMBEDDINGS, seed=2).centroids[...] for _ in range(2))

    assert (first == second).all()


def test_centroids_are_parameters_only_if_learnable():
    assert "centroids" in nnx.state(clustering(), nnx.Param)
    assert "centroids" not in nnx.state(clustering(learnable_centroids=False), nnx.Param)


def test_other_features_are_refused():
    with pytest.raises(ValueError, match=r"soft clustering: embeddings has shape \(300, 5\), expected \(cells, 6\)"):
        clustering().apply({"embeddings": EMBEDDINGS[:, :5]}, {}, None)


def test_real_cell_lines_are_told_apart():
    components, datasets, lines = cell_lines()
    harmony = DifferentiableHarmony(BatchCorrectionConfig(n_features=20, n_batches=3)).fit(components, datasets)
    data = {"embeddings": jnp.asarray(components, float), "batch_labels": datasets}
    corrected = harmony.apply(data, {}, None)[0]["corrected_embeddings"]

    soft = SoftKMeansClustering(SoftClusteringConfig(n_clusters=2, n_features=20)).fit(corrected)

    labels = soft.apply({"embeddings": corrected}, {}, None)[0]["cluster_labels"]
    assert adjusted_rand_index(labels, lines) >= 0.99
