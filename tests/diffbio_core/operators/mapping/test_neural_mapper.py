import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.mapping import NeuralReadMapper, NeuralReadMapperConfig
from diffbio_core.operators.mapping.neural_mapper import _diagonal_means
from tests.diffbio_core.read_samples import largest_difference

STARTS = np.array([0, 17, 40])


@pytest.fixture(scope="module")
def mapper():
    config = NeuralReadMapperConfig(
        read_length=20, reference_window=60, embedding_dim=16, num_heads=2, num_layers=2, dropout_rate=0.5
    )
    return NeuralReadMapper(config, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def reference():
    return jnp.eye(4)[jnp.asarray(np.random.default_rng(0).integers(0, 4, 60))]


@pytest.fixture(scope="module")
def reads(reference):
    return jnp.stack([reference[start : start + 20] for start in STARTS])


def test_reads_are_placed_where_they_come_from_before_any_training(mapper, reads, reference):
    result, _, _ = mapper.apply({"read": reads, "reference": jnp.stack([reference] * 3), "name": "x"}, {}, None)

    assert result["best_position"].tolist() == STARTS.tolist()
    assert result["alignment_scores"].shape == result["position_probs"].shape == (3, 60)
    assert largest_difference(result["position_probs"].sum(axis=-1), np.ones(3)) < 1e-5
    assert ((result["mapping_quality"] > 0.5) & (result["mapping_quality"] <= 1)).all()
    assert result["name"] == "x"


def test_both_forms_of_input_give_the_same_scores(mapper, reads, reference):
    batched, _, _ = mapper.apply({"read": reads, "reference": jnp.stack([reference] * 3)}, {}, None)
    shared, _, _ = mapper.apply({"reads": reads, "reference": reference}, {}, None)

    assert largest_difference(batched["alignment_scores"], shared["alignment_scores"]) < 1e-5
    assert largest_difference(batched["alignment_scores"], mapper.compute_alignment_scores(reads, reference)) < 1e-5
    assert shared["positions"].tolist() == STARTS.tolist()
    assert largest_difference(shared["scores"], shared["alignment_scores"].max(axis=-1)) == 0


def test_diagonal_means_are_means_along_diagonals():
    generator = np.random.default_rng(0)
    reference, read = generator.normal(size=(9, 4)), generator.normal(size=(5, 4))
    expected = [
        sum(reference[start + offset] @ read[offset] for offset in range(5) if start + offset < 9) / 5 / 2
        for start in range(9)
    ]

    assert largest_difference(_diagonal_means(jnp.asarray(reference), jnp.asarray(read)), expected) < 1e-5


def test_the_expected_position_follows_gradients(mapper, reads, reference):
    def position(read):
        return mapper.apply({"read": read, "reference": reference}, {}, None)[0]["expected_position"].sum()

    assert jnp.abs(jax.jit(jax.grad(position))(reads)).max() > 0


def test_every_weight_gets_a_gradient(mapper, reads, reference):
    def score(mapper):
        return (mapper.compute_alignment_scores(reads, reference) ** 2).sum()

    gradients = nnx.state(jax.jit(jax.grad(score))(mapper), nnx.Param)

    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


def test_dropout_is_drawn_in_train_mode_only(mapper, reads, reference):
    still = mapper.compute_alignment_scores(reads, reference)
    training = nnx.merge(*nnx.split(mapper))
    training.train_mode()
    moving = [training.compute_alignment_scores(reads, reference, jax.random.key(seed)) for seed in range(2)]

    assert largest_difference(still, moving[0]) > 0
    assert largest_difference(*moving) > 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "missing"),
        ({"read": jnp.ones((2, 20, 4))}, r"missing: \['reference'\]"),
        ({"read": jnp.ones((2, 20, 5)), "reference": jnp.ones((60, 4))}, r"read has shape \(2, 20, 5\)"),
        ({"read": jnp.ones((2, 20, 4)), "reference": jnp.ones((3, 60, 4))}, r"expected \(batch=2, window, 4\)"),
        ({"read": jnp.ones((2, 21, 4)), "reference": jnp.ones((60, 4))}, "longer than 20 bp"),
        ({"read": jnp.ones((2, 20, 4)), "reference": jnp.ones((61, 4))}, "longer than 60 bp"),
        ({"read": jnp.full((2, 20, 4), jnp.nan), "reference": jnp.ones((60, 4))}, "NaN"),
    ],
)
def test_bad_input_is_named(mapper, data, message):
    with pytest.raises(ValueError, match=message):
        mapper.apply(data, {}, None)


def test_heads_must_divide_the_embedding():
    with pytest.raises(ValueError, match="num_heads must divide embedding_dim, got 3 and 64"):
        NeuralReadMapperConfig(num_heads=3)
