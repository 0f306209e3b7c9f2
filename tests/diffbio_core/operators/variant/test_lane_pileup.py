import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from diffbio_core.operators.variant import LanePileup, PileupConfig
from diffbio_core.windows.encoding import READ_START, REVERSE_STRAND

A, C, G, T, N, DELETED, NO_READ = 0, 1, 2, 3, 4, 5, 7
COLUMNS = np.array([[A, C | READ_START, N, DELETED, NO_READ], [A | REVERSE_STRAND, T, N, G, NO_READ]], np.uint8)
FRACTIONS = PileupConfig(use_quality_weights=False, apply_softmax=False, return_coverage=True, return_quality=True)


def window(base, quality=30):
    return {"base": base, "base_quality": np.where(base & 7 == NO_READ, 0, quality).astype(np.uint8)}


def pile_up(data, config=FRACTIONS):
    return LanePileup(config).apply(data, {}, None)[0]


def test_unknown_bases_count_a_quarter_each_and_deleted_ones_in_the_total_only():
    np.testing.assert_allclose(
        pile_up(window(COLUMNS))["pileup"],
        [[1, 0, 0, 0], [0, 0.5, 0, 0.5], [0.25] * 4, [0, 0, 0.5, 0], [0, 0, 0, 0]],
    )


def test_coverage_is_the_number_of_reads_and_quality_their_mean():
    quality = np.array([[10, 20, 30, 40, 0], [20, 20, 20, 20, 0]], np.uint8)
    result = pile_up({"base": COLUMNS, "base_quality": quality})
    assert result["coverage"].tolist() == [[2], [2], [2], [2], [0]]
    assert result["mean_quality"].tolist() == [[15], [20], [25], [30], [0]]


def test_bases_count_by_the_probability_that_they_were_read_right():
    quality = np.array([[10], [20]], np.uint8)
    config = PileupConfig(apply_softmax=False, return_coverage=True)
    result = pile_up({"base": np.array([[A], [T]], np.uint8), "base_quality": quality}, config)
    np.testing.assert_allclose(result["weighted_coverage"], [[0.9 + 0.99]], rtol=1e-6)
    np.testing.assert_allclose(result["pileup"], [[0.9 / 1.89, 0, 0, 0.99 / 1.89]], rtol=1e-6)


def test_a_weight_takes_from_its_base_and_not_from_the_total():
    weight = np.array([[0.5] * 5, [1.0] * 5], np.float32)
    result = pile_up({**window(COLUMNS), "weight": weight})
    np.testing.assert_allclose(result["pileup"][:2], [[0.75, 0, 0, 0], [0, 0.25, 0, 0.5]])


def test_uncovered_columns_have_the_distribution_of_ignorance():
    result = pile_up(window(COLUMNS), PileupConfig())
    np.testing.assert_allclose(result["pileup"][4], [0.25] * 4)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_neither_the_order_of_lanes_nor_empty_ones_show(seed):
    random = np.random.default_rng(seed)
    base = random.choice(np.array([A, C, G, T, N, DELETED, NO_READ], np.uint8), (16, 12))
    data = window(base, random.integers(2, 42, base.shape))
    order = random.permutation(16)
    shuffled = {name: values[order] for name, values in data.items()}
    padded = {
        "base": np.concatenate([data["base"], np.full((16, 12), NO_READ, np.uint8)]),
        "base_quality": np.concatenate([data["base_quality"], np.full((16, 12), 40, np.uint8)]),
    }
    expected = pile_up(data, PileupConfig())["pileup"]
    np.testing.assert_allclose(expected.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(pile_up(shuffled, PileupConfig())["pileup"], expected, rtol=1e-6)
    np.testing.assert_allclose(pile_up(padded, PileupConfig())["pileup"], expected, rtol=1e-6)


def test_jit_and_vmap_give_what_plain_calls_give():
    data = window(COLUMNS)
    plain = pile_up(data, PileupConfig())["pileup"]
    np.testing.assert_allclose(jax.jit(lambda data: pile_up(data, PileupConfig()))(data)["pileup"], plain, rtol=1e-6)
    stacked = jax.tree.map(lambda array: np.stack([array, array[::-1]]), data)
    result = jax.vmap(lambda data: pile_up(data, PileupConfig())["pileup"])(stacked)
    np.testing.assert_allclose(result, [plain, plain], rtol=1e-6)


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        weight = jnp.asarray(np.random.default_rng(0).random(COLUMNS.shape))
        check_grads(
            lambda weight: pile_up({**window(COLUMNS), "weight": weight}, PileupConfig())["pileup"], (weight,), 1
        )


def test_keys_pass_through_and_missing_ones_are_told():
    assert pile_up({**window(COLUMNS), "name": "w1"})["name"] == "w1"
    with pytest.raises(ValueError, match=r"missing: \['base_quality'\]"):
        pile_up({"base": COLUMNS})
    with pytest.raises(ValueError, match=r"base_quality has shape \(1, 5\), expected \(lanes=2, positions=5\)"):
        pile_up({"base": COLUMNS, "base_quality": np.zeros((1, 5), np.uint8)})
