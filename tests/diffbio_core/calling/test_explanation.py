"""Gradients of a call by the qualities that it was made of."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.calling.explanation import gradients, log_odds
from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
from diffbio_core.operators.allele.quality_filter import WindowQualityFilterConfig
from diffbio_core.pipelines.allele_calling import AlleleCallingConfig, AlleleCallingPipeline
from tests.diffbio_core.candidate_views import random_views

SMALL = AlleleClassifierConfig(channels=6, kernels=(3, 3), hidden=8, logit_steps=2**44)


@pytest.mark.parametrize("copies", [0, 2])
def test_gradients_by_qualities_equal_finite_differences(copies):
    with jax.enable_x64(True):
        # Finer steps than finite differences can see stand for no rounding: its gradient is that of no rounding.
        fine = WindowQualityFilterConfig(weight_steps=2**44)
        small = AlleleCallingConfig(quality_filter=fine, classifier=SMALL)
        graph, parameters = nnx.split(AlleleCallingPipeline(small, rngs=nnx.Rngs(0)))
        parameters = jax.tree.map(lambda values: values.astype(jnp.float64), parameters)
        pipeline = nnx.merge(graph, parameters)
        view = {name: array[0] for name, array in jax.device_get(random_views(1, 1, 24)).items()}
        found = dict(zip(("base_quality", "mapping_quality"), gradients(pipeline, view, copies), strict=True))
        value = jax.jit(lambda qualities: log_odds(pipeline, view, qualities, copies))
        qualities = {name: view[name].astype(float) for name in found}
        random, step = np.random.default_rng(0), 1e-5
        for name, gradient in found.items():
            assert np.any(gradient != 0)
            direction = random.normal(size=gradient.shape)
            moved = [float(value({**qualities, name: qualities[name] + s * step * direction})) for s in (1, -1)]
            slope = (moved[0] - moved[1]) / (2 * step)
            assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-8)


def test_rows_without_a_read_decide_nothing():
    small = replace(SMALL, logit_steps=256)
    pipeline = AlleleCallingPipeline(AlleleCallingConfig(classifier=small), rngs=nnx.Rngs(0))
    view = {name: np.array(array[0]) for name, array in jax.device_get(random_views(1, 1, 24)).items()}
    view["group"][20:], view["symbol"][20:] = 0, 7
    bases, mapping = gradients(pipeline, view, 1)
    assert not bases[20:].any()
    assert not mapping[20:].any()
    assert bases[:20].any()
