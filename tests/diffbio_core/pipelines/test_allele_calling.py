"""The caller's pipeline: gradients, and that only the reads themselves show in a result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
from diffbio_core.operators.allele.quality_filter import WindowQualityFilterConfig
from diffbio_core.pipelines.allele_calling import AlleleCallingConfig, AlleleCallingPipeline
from tests.diffbio_core.candidate_views import random_views

SMALL = AlleleClassifierConfig(channels=6, kernels=(3, 3), hidden=8, logit_steps=2**44)


def logits(pipeline, views):
    return jax.vmap(lambda view: pipeline.apply(view, {}, None)[0]["logits"])(views)


@pytest.fixture(scope="module")
def pipeline():
    return AlleleCallingPipeline(AlleleCallingConfig(), rngs=nnx.Rngs(3))


@pytest.fixture(scope="module")
def call(pipeline):
    graph, parameters = nnx.split(pipeline)
    compiled = jax.jit(lambda views: logits(nnx.merge(graph, parameters), views))
    return lambda views: np.asarray(compiled(views))


def test_gradients_of_thresholds_and_of_every_weight_equal_finite_differences():
    with jax.enable_x64(True):
        # Finer steps than finite differences can see stand for no rounding: its gradient is that of no rounding.
        config = AlleleCallingConfig(quality_filter=WindowQualityFilterConfig(weight_steps=2**44), classifier=SMALL)
        graph, parameters = nnx.split(AlleleCallingPipeline(config, rngs=nnx.Rngs(0)))
        parameters = jax.tree.map(lambda values: values.astype(jnp.float64), parameters)
        views, labels = random_views(1, 4, 24), jnp.array([0, 1, 2, 1])

        @jax.jit
        def loss(parameters):
            log_probabilities = jax.nn.log_softmax(logits(nnx.merge(graph, parameters), views))
            return -jnp.take_along_axis(log_probabilities, labels[:, None], 1).mean()

        gradients = jax.tree.leaves(jax.grad(loss)(parameters))
        leaves, tree = jax.tree.flatten(parameters)
        random = np.random.default_rng(0)
        step = 1e-6
        for index, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
            assert np.any(np.asarray(gradient) != 0)
            direction = random.normal(size=leaf.shape)
            moved = [
                float(loss(tree.unflatten([*leaves[:index], leaf + sign * step * direction, *leaves[index + 1 :]])))
                for sign in (1, -1)
            ]
            slope = (moved[0] - moved[1]) / (2 * step)
            assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-8)


def test_a_lower_quality_threshold_gives_low_quality_bases_more_weight():
    view = jax.tree.map(lambda values: values[0], random_views(2, 1, 16))

    def weight(threshold):
        config = AlleleCallingConfig(
            quality_filter=WindowQualityFilterConfig(quality_threshold=threshold), classifier=SMALL
        )
        filtered, _, _ = AlleleCallingPipeline(config).quality_filter.apply(view, {}, None)
        return np.asarray(filtered["weight"])

    low, high = weight(10.0), weight(25.0)
    assert np.all((low >= 0) & (low <= 1))
    assert np.all(low >= high)
    assert np.any(low > high)


def test_the_order_of_reads_does_not_show(call):
    views = random_views(4, 32, 32)
    order = np.random.default_rng(0).permutation(32)
    shuffled = {
        name: values[:, order] if name in ("symbol", "base_quality", "mapping_quality", "group") else values
        for name, values in views.items()
    }
    np.testing.assert_array_equal(call(views), call(shuffled))


def test_rows_without_reads_do_not_show(call):
    views = random_views(5, 32, 32)
    empty = random_views(5, 32, 32)
    padding = {"symbol": 7, "base_quality": 0, "mapping_quality": 0, "group": 0}
    padded = {
        name: np.concatenate([values, np.full_like(empty[name], padding[name])], axis=1) if name in padding else values
        for name, values in views.items()
    }
    np.testing.assert_array_equal(call(views), call(padded))


def test_the_place_in_a_batch_does_not_show(call):
    views = random_views(6, 128, 32)
    for roll in (1, 7, 64, 101):
        rolled = {name: np.roll(values, roll, axis=0) for name, values in views.items()}
        np.testing.assert_array_equal(call(views), np.roll(call(rolled), -roll, axis=0))


def test_keys_that_the_pipeline_does_not_know_pass_through(pipeline):
    view = {**jax.tree.map(lambda values: values[0], random_views(7, 1, 8)), "name": "rs1"}
    data, state, metadata = pipeline.apply(view, {"step": 3}, {"contig": "chr1"})
    assert data["name"] == "rs1"
    assert state == {"step": 3}
    assert metadata == {"contig": "chr1"}
    np.testing.assert_allclose(np.asarray(data["probabilities"]).sum(), 1, rtol=1e-6)
