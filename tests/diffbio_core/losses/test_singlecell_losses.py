import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_core.losses import (
    BatchMixingLoss,
    ClusteringCompactnessLoss,
    ShannonDiversityLoss,
    SimpsonDiversityLoss,
)
from tests.diffbio_core.cell_samples import shifted_batches

EMBEDDINGS, BATCHES, TYPES = shifted_batches(cells=60)


def test_mixing_is_zero_where_batches_lie_apart_and_towards_minus_one_where_they_alternate():
    apart = jnp.concatenate([jnp.arange(30.0), 1000 + jnp.arange(30.0)])[:, None]
    line = jnp.arange(60.0)[:, None]

    loss = BatchMixingLoss(n_neighbors=6, n_batches=2)

    assert float(loss(apart, jnp.arange(60) // 30)) == pytest.approx(0, abs=1e-6)
    assert -1 <= float(loss(line, jnp.arange(60) % 2)) < -0.85


def test_mixing_has_gradients_also_where_cells_are_fewer_than_neighbours():
    gradient = jax.grad(BatchMixingLoss(n_neighbors=15, n_batches=2))(jnp.asarray(EMBEDDINGS[:8]), BATCHES[:8])

    assert 0 < float(jnp.abs(gradient).max()) < np.inf


def test_compactness_is_the_spread_where_centroids_are_apart():
    assignments = jax.nn.one_hot(TYPES, 3)
    centroids = np.stack([EMBEDDINGS[kind == TYPES].mean(axis=0) for kind in range(3)])
    spread = ((EMBEDDINGS - centroids[TYPES]) ** 2).sum(axis=1).mean()

    assert float(ClusteringCompactnessLoss()(EMBEDDINGS, assignments)) == pytest.approx(spread, rel=1e-4)
    assert float(ClusteringCompactnessLoss()(EMBEDDINGS, assignments, centroids)) == pytest.approx(spread, rel=1e-4)


def test_coinciding_centroids_cost_the_whole_separation():
    centroids = jnp.zeros((3, 6))

    loss = ClusteringCompactnessLoss(separation_weight=2.0, min_separation=1.5)
    value, gradient = jax.value_and_grad(lambda c: loss(jnp.zeros((4, 6)), jnp.full((4, 3), 1 / 3), c))(centroids)

    assert float(value) == pytest.approx(3.0, abs=1e-4)
    assert jnp.isfinite(gradient).all()


def test_diversity_is_least_where_all_clusters_are_used_alike():
    even, one = jnp.full((5, 4), 0.25), jnp.eye(4)[jnp.zeros(5, int)]

    assert float(ShannonDiversityLoss()(even)) == pytest.approx(-1)
    assert float(ShannonDiversityLoss()(one)) == pytest.approx(0, abs=1e-6)
    assert float(SimpsonDiversityLoss()(even)) == pytest.approx(0.25)
    assert float(SimpsonDiversityLoss()(one)) == pytest.approx(1)
