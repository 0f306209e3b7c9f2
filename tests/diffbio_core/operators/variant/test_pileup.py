import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.operators.numerics.columns import sum_bases
from diffbio_core.operators.numerics.soft_quality import base_weights
from diffbio_core.operators.variant import DifferentiablePileup, PileupConfig
from diffbio_core.operators.variant.read_image import assign_lanes, sum_lanes
from diffbio_core.typing import PADDED_POSITION
from tests.diffbio_core.read_samples import largest_difference, read_sample

SEEDS = st.integers(0, 2**20)
A, C = np.eye(4)[:2]


def pile_up(data, **config):
    operator = DifferentiablePileup(PileupConfig(**{"reference_length": 20, **config}))
    return operator.apply(data, {}, None)[0]


def counted_by_hand(data, reference_length, weights):
    """W and C of the definition, base by base."""
    bases, total = np.zeros((reference_length, 4)), np.zeros(reference_length)
    for read, start, weight in zip(*map(np.asarray, (data["reads"], data["positions"], weights)), strict=True):
        for offset in range(len(read)):
            if 0 <= start + offset < reference_length:
                bases[start + offset] += read[offset] * weight[offset]
                total[start + offset] += weight[offset]
    return bases, total


def test_the_pileup_is_the_softmax_of_weighted_fractions():
    data = read_sample()
    bases, total = counted_by_hand(data, 20, 1 - 10 ** (-np.asarray(data["quality"]) / 10))
    fractions = bases / np.maximum(total, 1e-30)[:, None]

    soft = pile_up(data, temperature=0.5, return_coverage=True)
    raw = pile_up(data, apply_softmax=False)

    assert largest_difference(soft["pileup"], jax.nn.softmax(fractions / 0.5, axis=-1)) < 1e-6
    assert largest_difference(soft["weighted_coverage"][:, 0], total) < 1e-5
    assert largest_difference(raw["pileup"], fractions) < 1e-6


def test_coverage_is_the_read_depth_and_mean_quality_the_mean_of_the_bases_there():
    data = {
        "reads": jnp.asarray(np.stack([[A, C], [C, C]])),
        "positions": jnp.array([0, 1]),
        "quality": jnp.array([[10.0, 20.0], [30.0, 40.0]]),
    }

    result = pile_up(data, reference_length=4, return_coverage=True, return_quality=True)

    assert result["coverage"][:, 0].tolist() == [1, 2, 1, 0]
    assert result["mean_quality"][:, 0].tolist() == [10, 25, 40, 0]
    assert result["weighted_coverage"][:, 0] == pytest.approx([0.9, 0.99 + 0.999, 0.9999, 0], abs=1e-6)


def test_an_uncovered_column_is_even_with_softmax_and_zero_without():
    data = read_sample(reference_length=20) | {"positions": jnp.zeros(12, jnp.int32)}

    assert (pile_up(data)["pileup"][8:] == 0.25).all()
    assert (pile_up(data, apply_softmax=False)["pileup"][8:] == 0).all()


def test_without_quality_weights_every_base_counts_once():
    data = read_sample()
    bases, total = counted_by_hand(data, 20, np.ones(data["quality"].shape))

    result = pile_up(data, use_quality_weights=False, apply_softmax=False)

    assert largest_difference(result["pileup"], bases / np.maximum(total, 1)[:, None]) < 1e-6


def test_keys_that_the_operator_does_not_know_pass_through():
    data = read_sample() | {"sample": "NA12878"}

    result = pile_up(data)

    assert all(result[key] is data[key] for key in data)


@given(SEEDS, st.floats(0.05, 5))
@settings(max_examples=15, deadline=None)
def test_a_pileup_sums_to_one_in_every_column(seed, temperature):
    assert np.allclose(pile_up(read_sample(seed=seed), temperature=temperature)["pileup"].sum(axis=-1), 1, atol=1e-5)


@given(SEEDS, SEEDS)
@settings(max_examples=15, deadline=None)
def test_a_pileup_does_not_depend_on_the_order_of_reads(seed, order):
    data = read_sample(seed=seed)
    shuffled = np.random.default_rng(order).permutation(len(data["positions"]))

    first, second = pile_up(data), pile_up({key: array[shuffled] for key, array in data.items()})

    assert largest_difference(first["pileup"], second["pileup"]) < 1e-6


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_lanes_of_reads_give_the_pileup_of_the_reads(seed):
    data = read_sample(num_reads=15, seed=seed)
    weights = base_weights(data["quality"])
    lanes = assign_lanes(data["positions"], 15)

    in_lanes = sum_lanes(data["reads"] * weights[..., None], data["positions"], lanes, 15, 20)

    weighted, _ = sum_bases(data["reads"], data["quality"], data["positions"], 20)
    assert largest_difference(in_lanes.sum(axis=0), weighted) < 1e-5


def test_under_jit_bases_outside_the_reference_count_nowhere():
    inside = read_sample(num_reads=2, read_length=3, reference_length=5)
    data = {key: jnp.concatenate([array] * 4) for key, array in inside.items()}
    data["positions"] = jnp.array([-1, 3, -3, 5, -100, 100, 2**31 - 1, -(2**31)], jnp.int32)
    bases, total = counted_by_hand(
        {key: array[:2] for key, array in data.items()}, 5, base_weights(data["quality"][:2])
    )

    result = jax.jit(lambda data: pile_up(data, reference_length=5, return_coverage=True, apply_softmax=False))(data)

    assert result["coverage"][:, 0].tolist() == [1, 1, 0, 1, 1]
    assert largest_difference(result["weighted_coverage"][:, 0], total) < 1e-6
    assert largest_difference(result["pileup"] * result["weighted_coverage"], bases) < 1e-6


def test_masked_bases_count_nowhere():
    data = read_sample()
    mask = jnp.ones(data["quality"].shape).at[3:].set(0).at[0, 4:].set(0)
    weights = np.asarray(base_weights(data["quality"]) * mask)
    bases, total = counted_by_hand(data, 20, weights)
    padded = data | {"read_mask": mask, "positions": data["positions"].at[3:].set(PADDED_POSITION)}

    result = pile_up(padded, return_coverage=True, apply_softmax=False)

    assert largest_difference(result["pileup"], bases / np.maximum(total, 1e-30)[:, None]) < 1e-6
    assert result["coverage"].sum() == mask.sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reads": jnp.ones((12, 8, 3))}, r"reads has shape \(12, 8, 3\), expected \(num_reads, read_length, 4\)"),
        ({"positions": jnp.zeros(5, jnp.int32)}, r"positions has shape \(5,\), expected \(num_reads=12,\)"),
        ({"quality": jnp.ones((12, 7))}, r"quality has shape \(12, 7\)"),
        ({"quality": jnp.full((12, 8), jnp.nan)}, r"quality of shape \(12, 8\) has 96 NaN"),
        ({"positions": jnp.full(12, 20)}, r"positions of shape \(12,\) hold 20, expected starts from 0 to 19"),
        ({"positions": jnp.full(12, -1)}, "hold -1, expected starts from 0 to 19"),
        ({"positions": jnp.zeros(12)}, "are float32, expected integers"),
        ({"read_mask": jnp.ones((12, 9))}, r"read_mask has shape \(12, 9\)"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        pile_up(read_sample() | change)


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match=r"missing: \['quality'\]"):
        pile_up({key: array for key, array in read_sample().items() if key != "quality"})


@pytest.mark.parametrize("length", [0, -5])
def test_a_reference_without_columns_is_refused(length):
    with pytest.raises(ValueError, match="reference_length must be positive"):
        PileupConfig(reference_length=length)
