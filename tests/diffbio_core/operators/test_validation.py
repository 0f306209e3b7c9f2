"""What is refused, and in which words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.operators.validation import (
    check_fraction,
    check_positions,
    check_positive,
    check_quality,
    check_shapes,
    concrete,
)
from diffbio_core.typing import PADDED_POSITION

EXPECTED = {"reads": ("num_reads", "read_length", 4), "quality": ("num_reads", "read_length"), "length": ()}


def sample(**change):
    return {"reads": np.zeros((3, 5, 4)), "quality": np.zeros((3, 5)), "length": np.zeros(())} | change


def test_sizes_are_told_by_the_names_of_their_axes():
    assert check_shapes("pileup", sample(more=np.zeros(7)), EXPECTED) == {"num_reads": 3, "read_length": 5}


@given(st.lists(st.integers(0, 3), max_size=3), st.lists(st.integers(0, 3), max_size=3))
@settings(deadline=None)
def test_shapes_fit_where_axes_of_one_name_have_one_size(first, second):
    axes = {"a": ("x", "y", 2), "b": ("y", "y")}
    fits = len(first) == 3 and first[2] == 2 and len(second) == 2 and second[0] == first[1] and second[1] == first[1]
    data = {"a": np.zeros(first), "b": np.zeros(second)}

    if fits:
        assert check_shapes("x", data, axes) == {"x": first[0], "y": first[1]}
    else:
        with pytest.raises(ValueError, match=r"x: (a|b) has shape \("):
            check_shapes("x", data, axes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reads": np.zeros((3, 5, 3))}, "pileup: reads has shape (3, 5, 3), expected (num_reads, read_length, 4)"),
        ({"reads": np.zeros(3)}, "pileup: reads has shape (3,), expected (num_reads, read_length, 4)"),
        ({"quality": np.zeros((3, 6))}, "pileup: quality has shape (3, 6), expected (num_reads=3, read_length=5)"),
        ({"length": np.zeros(1)}, "pileup: length has shape (1,), expected ()"),
    ],
)
def test_a_shape_that_does_not_fit_is_told_beside_the_one_expected(change, message):
    with pytest.raises(ValueError, match="pileup") as caught:
        check_shapes("pileup", sample(**change), EXPECTED)
    assert str(caught.value) == message


def test_an_axis_alone_is_written_as_python_writes_it():
    with pytest.raises(ValueError, match=r"expected \(num_reads,\)$"):
        check_shapes("pileup", {"positions": np.zeros((2, 2))}, {"positions": ("num_reads",)})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"quality": 1, "reads": 2}, "missing: ['length']; got ['quality', 'reads']"),
        ({}, "missing: ['reads', 'quality', 'length']; got []"),
        ([1, 2], "missing: ['reads', 'quality', 'length']; got list"),
    ],
)
def test_missing_keys_are_told_beside_those_that_are_there(data, told):
    with pytest.raises(ValueError, match="missing") as caught:
        check_shapes("pileup", data, EXPECTED)
    assert str(caught.value) == f"pileup needs the keys ['length', 'quality', 'reads']; {told}"


def test_shapes_are_checked_under_jit_and_values_are_not():
    @jax.jit
    def check(quality, positions):
        check_quality("pileup", "quality", quality)
        check_positions("pileup", positions, 10)
        return check_shapes("pileup", {"quality": quality}, {"quality": (2, 3)})

    check(jnp.full((2, 3), jnp.nan), jnp.array([99]))
    with pytest.raises(ValueError, match=r"quality has shape \(3, 2\), expected \(2, 3\)"):
        check(jnp.zeros((3, 2)), jnp.array([0]))
    with pytest.raises(ValueError, match="are float32, expected integers"):
        check(jnp.zeros((2, 3)), jnp.array([0.0]))


def test_nan_among_qualities_is_counted_and_the_first_is_placed():
    quality = np.full((3, 4), 30.0)
    check_quality("filter", "quality", quality)
    check_quality("filter", "quality", np.array([np.inf, -1, 0]))
    quality[1, 2] = quality[2, 0] = np.nan

    with pytest.raises(ValueError, match="NaN") as caught:
        check_quality("filter", "scores", quality)
    assert str(caught.value) == "filter: scores of shape (3, 4) has 2 NaN, first at (1, 2); expected Phred numbers"


@pytest.mark.parametrize("positions", [[0, 9], [PADDED_POSITION, 5], [], [3]])
def test_reads_that_start_on_the_reference_and_padding_pass(positions):
    check_positions("pileup", np.array(positions, np.int64), 10)


@pytest.mark.parametrize("start", [-1, 10, PADDED_POSITION + 1, PADDED_POSITION - 1])
def test_a_read_that_starts_outside_the_reference_is_told(start):
    with pytest.raises(ValueError, match="positions") as caught:
        check_positions("pileup", jnp.array([0, start, 11], jnp.int32), 10)
    assert str(caught.value) == (
        f"pileup: positions of shape (3,) hold {start}, expected starts from 0 to 9 (reference_length 10)"
    )


@pytest.mark.parametrize("value", [0, -1, 0.0, float("nan"), float("-inf")])
def test_what_is_not_positive_is_told_by_name(value):
    check_positive("mapper", length=1, temperature=1e-9)
    with pytest.raises(ValueError, match=f"^mapper: temperature must be positive, got {value}$"):
        check_positive("mapper", length=1, temperature=value)


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, float("nan"), float("inf")])
def test_a_fraction_outside_0_to_1_is_told_by_name(value):
    check_fraction("dropout", low=0, rate=1)
    with pytest.raises(ValueError, match=f"^dropout: rate must lie between 0 and 1, got {value}$"):
        check_fraction("dropout", low=0, rate=value)


def test_only_arrays_that_are_not_traced_have_values():
    assert concrete(jnp.arange(3)).tolist() == [0, 1, 2]
    seen = []
    jax.jit(lambda x: seen.append(concrete(x)))(1.0)
    jax.grad(lambda x: seen.append(concrete(x)) or x)(1.0)
    jax.vmap(lambda x: seen.append(concrete(x)) or x)(jnp.ones(2))
    assert seen == [None, None, None]
