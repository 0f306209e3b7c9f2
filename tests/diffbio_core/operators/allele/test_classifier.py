"""The ensemble is the mean of its members, each a network of its own."""

import jax
import numpy as np
import pytest
from flax import nnx

from diffbio_core.candidates.views import WIDTH
from diffbio_core.operators.allele.classifier import AlleleClassifier, AlleleClassifierConfig
from diffbio_core.operators.allele.pileup import PILEUP_CHANNELS, SUMMARY_CHANNELS


@pytest.fixture(scope="module")
def data():
    pileup, summary = (jax.random.key(seed) for seed in (0, 1))
    return {
        "allele_pileup": jax.random.uniform(pileup, (WIDTH, PILEUP_CHANNELS)),
        "allele_summary": jax.random.uniform(summary, (SUMMARY_CHANNELS,)),
    }


def small(members, seed=0):
    config = AlleleClassifierConfig(members=members, channels=4, kernels=(3, 3), hidden=8)
    return AlleleClassifier(config, rngs=nnx.Rngs(seed))


def test_logits_are_the_mean_of_the_members(data):
    result, _, _ = small(3).apply(data, {}, None)
    members = np.asarray(result["member_logits"])
    assert members.shape == (3, 3)
    np.testing.assert_allclose(result["logits"], members.mean(0), rtol=1e-6)
    np.testing.assert_allclose(result["probabilities"], jax.nn.softmax(members.mean(0)), rtol=1e-6)


def test_members_start_from_weights_of_their_own(data):
    members = np.asarray(small(2).apply(data, {}, None)[0]["member_logits"])
    assert not np.allclose(members[0], members[1])


def test_one_member_alone_is_the_classifier(data):
    result, _, _ = small(1).apply(data, {}, None)
    np.testing.assert_array_equal(result["logits"], result["member_logits"][0])


def test_logits_of_members_are_multiples_of_the_step(data):
    members = np.asarray(small(2).apply(data, {}, None)[0]["member_logits"])
    np.testing.assert_array_equal(members * 256, np.round(members * 256))


def test_an_ensemble_without_members_is_refused():
    with pytest.raises(ValueError, match="members"):
        AlleleClassifierConfig(members=0)
