"""What the text on the pileup shows: plain use, the operator interface, gradients."""

import jax
import jax.numpy as jnp
import pytest

from diffbio_core.operators.variant import DifferentiablePileup, PileupConfig


@pytest.fixture
def pileup_op():
    return DifferentiablePileup(PileupConfig(reference_length=100, use_quality_weights=True))


@pytest.fixture
def sample():
    num_reads, read_length = 20, 30
    return {
        "reads": jax.nn.softmax(jax.random.uniform(jax.random.PRNGKey(0), (num_reads, read_length, 4)), axis=-1),
        "positions": jax.random.randint(jax.random.PRNGKey(1), (num_reads,), 0, 70),
        "quality": jax.random.uniform(jax.random.PRNGKey(2), (num_reads, read_length), minval=10, maxval=40),
    }


def test_basic_use_gives_a_distribution_per_position(pileup_op, sample):
    result = pileup_op.compute_pileup(sample["reads"], sample["positions"], sample["quality"], 100)

    assert result["pileup"].shape == (100, 4)
    assert jnp.allclose(result["pileup"].sum(axis=-1), 1, atol=1e-5)


def test_the_operator_interface_gives_the_same(pileup_op, sample):
    result, state, metadata = pileup_op.apply(sample, {}, None)

    direct = pileup_op.compute_pileup(sample["reads"], sample["positions"], sample["quality"], 100)["pileup"]
    assert jnp.array_equal(result["pileup"], direct)
    assert (state, metadata) == ({}, None)


def test_gradients_are_taken_of_the_operator_itself(sample):
    pileup_op = DifferentiablePileup(PileupConfig(reference_length=100, learnable_temperature=True))

    def pileup_loss(pileup_op, reads, positions, quality, target_pileup):
        result, _, _ = pileup_op.apply({"reads": reads, "positions": positions, "quality": quality}, {}, None)
        return jnp.mean((result["pileup"] - target_pileup) ** 2)

    target = jnp.eye(4)[jnp.zeros(100, int)]
    grads = jax.grad(pileup_loss)(pileup_op, *sample.values(), target)

    assert isinstance(grads, DifferentiablePileup)
    assert float(grads.temperature[...]) != 0
