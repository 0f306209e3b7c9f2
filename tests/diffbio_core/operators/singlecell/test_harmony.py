import jax
import jax.numpy as jnp
import numpy as np

from diffbio_core.operators.singlecell import harmony
from tests.diffbio_core.cell_samples import shifted_batches

EMBEDDINGS, BATCHES, _ = shifted_batches(cells=50)
ONE_HOT = np.eye(2, dtype=np.float32)[BATCHES]
SETTINGS = harmony.Settings(2.0, 0.1)


def test_the_correction_is_the_ridge_regression_on_intercept_and_batches():
    assignments = np.random.default_rng(1).dirichlet(np.ones(4), 50)
    design = np.concatenate([np.ones((50, 1)), ONE_HOT], axis=1)
    expected = EMBEDDINGS.astype(float)
    for cluster in range(4):
        weighted = design * assignments[:, cluster, None]
        effects = np.linalg.solve(weighted.T @ design + np.diag([0, 1, 1]), weighted.T @ EMBEDDINGS)
        effects[0] = 0
        expected = expected - weighted @ effects

    corrected = harmony.ridge_corrected(EMBEDDINGS, ONE_HOT, jnp.asarray(assignments, jnp.float32))

    np.testing.assert_allclose(corrected, expected, atol=2e-5)


def test_an_empty_batch_changes_nothing():
    assignments = jnp.full((50, 4), 0.25)

    with_empty = harmony.ridge_corrected(EMBEDDINGS, np.pad(ONE_HOT, ((0, 0), (0, 3))), assignments)

    np.testing.assert_allclose(with_empty, harmony.ridge_corrected(EMBEDDINGS, ONE_HOT, assignments), atol=1e-5)


def test_without_a_penalty_assignments_are_those_of_soft_spherical_clustering():
    start = harmony.start(EMBEDDINGS, EMBEDDINGS[:5], harmony.Settings(0.0, 0.1))

    after = harmony.round_of(EMBEDDINGS, BATCHES, start, harmony.Settings(0.0, 0.1), n_batches=2)

    np.testing.assert_allclose(after.assignments, harmony.soft_assignments(EMBEDDINGS, after.centroids, 0.1), atol=1e-5)


def test_the_penalty_evens_out_batches_within_clusters():
    def unevenness(theta: float) -> float:
        settings = harmony.Settings(theta, 0.1)
        found = harmony.round_of(
            EMBEDDINGS, BATCHES, harmony.start(EMBEDDINGS, EMBEDDINGS[:6], settings), settings, n_batches=2
        )
        sizes = np.asarray(found.assignments).T @ ONE_HOT
        expected = sizes.sum(axis=1, keepdims=True) * ONE_HOT.mean(axis=0)
        return float((np.abs(sizes - expected)).sum())

    assert unevenness(4.0) < 0.9 * unevenness(0.0)


def test_rounds_end_once_the_objective_has_settled():
    few = harmony.rounds(EMBEDDINGS, BATCHES, EMBEDDINGS[:5], SETTINGS, n_batches=2, most=10, tolerance=1e9)
    two = harmony.rounds(EMBEDDINGS, BATCHES, EMBEDDINGS[:5], SETTINGS, n_batches=2, most=2, tolerance=0.0)

    np.testing.assert_allclose(few.corrected, two.corrected, atol=1e-6)


def test_gradients_go_through_the_rounds():
    direction = np.random.default_rng(2).normal(size=EMBEDDINGS.shape).astype(np.float32)

    def loss(step):
        found = harmony.rounds(
            EMBEDDINGS + step * direction, BATCHES, EMBEDDINGS[:5], SETTINGS, n_batches=2, most=3, tolerance=0.0
        )
        return (found.corrected**2).mean()

    slope = float(jax.grad(loss)(0.0))

    assert abs(slope - float((loss(1e-2) - loss(-1e-2)) / 2e-2)) < 0.01 * abs(slope) + 1e-3
