import jax
import jax.numpy as jnp
import numpy as np

from diffbio_core.metrics import adjusted_rand_index
from diffbio_core.operators.numerics.distances import squared_distances
from diffbio_core.operators.singlecell.kmeans import kmeans, kmeans_plus_plus
from tests.diffbio_core.cell_samples import shifted_batches

POINTS, _, TYPES = shifted_batches()


def test_groups_are_found_and_centroids_are_their_means():
    centroids, labels, inertia = kmeans(jax.random.key(0), POINTS, 3, restarts=5)

    assert adjusted_rand_index(labels, TYPES) == 1
    for cluster in range(3):
        np.testing.assert_allclose(centroids[cluster], POINTS[np.asarray(labels) == cluster].mean(axis=0), atol=1e-4)
    assert abs(float(inertia) / float(squared_distances(POINTS, centroids).min(axis=1).sum()) - 1) < 1e-5


def test_more_clusters_than_points_leave_finite_centroids():
    centroids, labels, inertia = kmeans(jax.random.key(0), POINTS[:3], 5)

    assert jnp.isfinite(centroids).all()
    assert len(set(labels.tolist())) == 3
    assert float(inertia) < 1e-3


def test_starts_are_points_and_follow_the_seed():
    first, second = (kmeans_plus_plus(jax.random.key(1), POINTS, 4) for _ in range(2))

    assert (first == second).all()
    assert all((np.abs(POINTS - start).sum(axis=1) == 0).any() for start in np.asarray(first))
    assert not (first == kmeans_plus_plus(jax.random.key(2), POINTS, 4)).all()
