import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.operators.preprocessing import DifferentiableDuplicateWeighting, DuplicateWeightingConfig
from diffbio_core.typing import Batch, Element

OPERATOR = DifferentiableDuplicateWeighting(DuplicateWeightingConfig(similarity_threshold=0.95))


def reads(codes):
    return jnp.eye(4)[jnp.asarray(codes)]


def random_codes(num_reads, length=80, seed=0):
    return np.random.default_rng(seed).integers(0, 4, (num_reads, length))


def weights_of(codes, quality=35.0):
    return np.asarray(OPERATOR.weigh(reads(codes), jnp.full(np.shape(codes), quality))[0])


def test_unrelated_reads_all_weigh_one():
    assert weights_of(random_codes(40)) == pytest.approx(np.ones(40), abs=1e-3)


def test_copies_share_the_weight_of_one_read():
    codes = random_codes(6)

    weights = weights_of(np.concatenate([codes, codes[:1], codes[:1]]))

    assert weights[1:6] == pytest.approx(np.ones(5), abs=0.02)
    assert weights[[0, 6, 7]] == pytest.approx(np.full(3, 1 / 3), abs=0.02)


def test_copies_with_a_wrong_base_are_still_found():
    codes = random_codes(4, length=120)
    copy = codes[0].copy()
    copy[30] = (copy[30] + 1) % 4

    weights = weights_of(np.concatenate([codes, copy[None]]))

    assert weights[1:4].min() > 0.9
    assert weights[[0, 4]].max() < 0.65


def test_many_copies_of_one_read_share_its_weight_too():
    codes = random_codes(3)

    weights = weights_of(np.concatenate([codes, np.repeat(codes[:1], 49, axis=0)]))

    assert weights[[0, *range(3, 52)]].sum() == pytest.approx(1, abs=0.05)


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_weights_follow_their_reads_into_any_order(seed, order):
    codes = np.concatenate([random_codes(7, 30, seed), random_codes(3, 30, seed)])
    shuffled = np.random.default_rng(order).permutation(10)

    assert weights_of(codes)[shuffled] == pytest.approx(weights_of(codes[shuffled]), abs=1e-5)


@given(st.integers(0, 1000), st.sampled_from([2, 12]))
@settings(max_examples=8, deadline=None)
def test_weights_lie_in_0_to_1_and_the_largest_is_1(seed, num_reads):
    weights = weights_of(random_codes(num_reads, length=6, seed=seed))

    assert weights.max() == 1
    assert weights.min() > 0


def test_one_read_alone_weighs_one_and_has_a_unit_embedding():
    data = {"sequence": reads(random_codes(1))[0], "quality_scores": jnp.full(80, 30.0)}

    result, _, _ = OPERATOR.apply(data, {}, None)

    assert float(result["uniqueness_weight"]) == 1
    assert float((result["embedding"] ** 2).sum()) == pytest.approx(1, abs=1e-5)
    assert weights_of(random_codes(1)).tolist() == [1]


def test_a_batch_of_elements_is_weighed_like_its_arrays():
    codes = np.repeat(random_codes(2), [1, 2], axis=0)
    batch = Batch([Element({"sequence": read, "quality_scores": jnp.full(80, 35.0)}) for read in reads(codes)])

    result = OPERATOR.apply_batch(batch)

    weights, _ = OPERATOR.apply_batch(reads(codes), jnp.full((3, 80), 35.0))
    assert np.asarray(result.data["uniqueness_weight"]) == pytest.approx(np.asarray(weights))
    assert result.data["embedding"].shape == (3, 32)


@given(st.integers(0, 1000), st.sampled_from([2, 12]))
@settings(max_examples=8, deadline=None)
def test_weights_of_a_batch_have_a_mean_of_one_and_the_ratios_of_the_others(seed, num_reads):
    codes = random_codes(num_reads, length=6, seed=seed)

    weights, _ = OPERATOR.apply_batch(reads(codes), jnp.full(codes.shape, 35.0))

    assert float(weights.mean()) == pytest.approx(1, abs=1e-5)
    assert np.asarray(weights / weights.max()) == pytest.approx(weights_of(codes), abs=1e-5)


def test_masked_reads_weigh_nothing():
    mask = jnp.ones((3, 80)).at[2].set(0)

    weights, _ = OPERATOR.weigh(reads(random_codes(3)), jnp.full((3, 80), 35.0), mask)

    assert weights.tolist() == pytest.approx([1, 1, 0], abs=1e-3)


def test_thresholds_and_projection_get_gradients():
    codes = np.repeat(random_codes(2), 2, axis=0)
    noisy = reads(codes) * 0.7 + 0.3 * jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(4), (4, 80)))

    def total(operator):
        return (operator.apply_batch(noisy, jnp.full((4, 80), 30.0))[0] * jnp.arange(4)).sum() + operator.weigh(
            jnp.concatenate([noisy, reads(random_codes(1, seed=9))]), jnp.full((5, 80), 30.0)
        )[0].sum()

    gradients = jax.jit(jax.grad(total))(DifferentiableDuplicateWeighting(DuplicateWeightingConfig(temperature=5.0)))

    assert float(gradients.similarity_threshold[...]) > 0
    assert jnp.abs(gradients.projection[...]).max() > 0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"quality_scores has shape \(2, 79\)"):
        OPERATOR.apply_batch(reads(random_codes(2)), jnp.ones((2, 79)))
    with pytest.raises(ValueError, match="similarity_threshold must lie between 0 and 1"):
        DuplicateWeightingConfig(similarity_threshold=1.2)
