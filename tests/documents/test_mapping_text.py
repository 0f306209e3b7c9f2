"""What the text on read mapping shows: both forms of input, one read or several."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from diffbio_core.operators.mapping import NeuralReadMapper, NeuralReadMapperConfig


@pytest.fixture(scope="module")
def reference():
    return jax.nn.one_hot(jax.random.randint(jax.random.key(0), (300,), 0, 4), 4)


def test_a_read_and_its_own_reference_are_mapped(reference):
    mapper = NeuralReadMapper(NeuralReadMapperConfig(embedding_dim=64), rngs=nnx.Rngs(42))

    data = {"read": reference[None, 100:250], "reference": reference[None]}
    result, state, meta = mapper.apply(data, {}, None)

    assert result["alignment_scores"].shape == result["position_probs"].shape == (1, 300)
    assert result["best_position"].tolist() == [100]
    assert result["mapping_quality"].shape == (1,)
    assert (state, meta) == ({}, None)


def test_reads_are_mapped_to_one_reference(reference):
    config = NeuralReadMapperConfig(
        read_length=150, reference_window=1000, embedding_dim=128, num_layers=4, num_heads=8
    )
    mapper = NeuralReadMapper(config, rngs=nnx.Rngs(42))
    reads = jnp.stack([reference[start : start + 150] for start in (3, 77, 150)])

    result, _, _ = mapper.apply({"reads": reads, "reference": reference}, {}, None)
    positions = result["positions"]
    mapping_scores = result["scores"]

    assert positions.tolist() == [3, 77, 150]
    assert mapping_scores.shape == (3,)
