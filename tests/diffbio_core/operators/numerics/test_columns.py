"""Sums over columns against a loop over bases, in value and in slope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.operators.numerics import columns
from diffbio_core.operators.numerics.columns import sum_bases, sum_columns
from diffbio_core.typing import PADDED_POSITION
from tests.diffbio_core.read_samples import in_float64, largest_difference, read_sample

SEEDS = st.integers(0, 2**20)
LENGTH = 20
ARGUMENTS = "reads", "quality", "read_mask", "threshold"


def scattered_sample(seed, num_reads=12, read_length=8):
    """Reads that lie on the reference, over either end of it, and beyond; half-masked bases; a threshold."""
    generator = np.random.default_rng(seed)
    positions = generator.integers(-read_length - 2, LENGTH + 3, num_reads)
    positions[:3] = PADDED_POSITION, np.iinfo(np.int32).max, np.iinfo(np.int32).min
    return read_sample(num_reads, read_length, LENGTH, seed) | {
        "positions": jnp.asarray(generator.permutation(positions), jnp.int32),
        "read_mask": jnp.asarray(generator.uniform(0, 1, (num_reads, read_length)), float),
        "threshold": jnp.asarray(generator.uniform(15, 30), float),
    }


def added_by_loop(values, positions, length=LENGTH):
    """What bases carry, added to their columns one by one."""
    values = np.asarray(values, np.float64)
    sums = np.zeros((length, *values.shape[2:]))
    for start, read in zip(np.asarray(positions).tolist(), values, strict=True):
        for column, base in enumerate(read, start):
            if 0 <= column < length:
                sums[column] += base
    return sums


def summed_by_loop(data, by_quality=True):
    """The definition of `sum_bases`, in double precision."""
    reads, quality = (np.asarray(data[key], np.float64) for key in ("reads", "quality"))
    weights = np.maximum(1 - 10 ** (-quality / 10), 0) if by_quality else np.ones(quality.shape)
    if data.get("read_mask") is not None:
        weights = weights * np.asarray(data["read_mask"], np.float64)
    kept = 1.0
    if data.get("threshold") is not None:
        kept = 1 / (1 + np.exp(float(data["threshold"]) - quality))
    bases = added_by_loop(reads * (weights * kept)[..., None], data["positions"])
    return bases, added_by_loop(weights, data["positions"])


def summed(data, by_quality=True):
    return sum_bases(**data, reference_length=LENGTH, by_quality=by_quality)


def without(data, *keys):
    return {key: array for key, array in data.items() if key not in keys}


@given(SEEDS, st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_bases_are_summed_over_the_columns_of_the_reference(seed, masked, filtered, by_quality):
    left_out = [key for key, kept in (("read_mask", masked), ("threshold", filtered)) if not kept]
    data = without(scattered_sample(seed), *left_out)

    for found, expected in zip(summed(data, by_quality), summed_by_loop(data, by_quality), strict=True):
        assert largest_difference(found, expected) < 1e-5


@pytest.mark.parametrize("channels", [(), (1,), (3,), (2, 5)])
def test_bases_may_carry_any_numbers(channels):
    positions = scattered_sample(4)["positions"]
    values = np.random.default_rng(5).normal(size=(12, 8, *channels))

    assert largest_difference(sum_columns(values, positions, LENGTH), added_by_loop(values, positions)) < 1e-5


def test_a_negative_quality_weighs_nothing():
    data = read_sample() | {"quality": jnp.full((12, 8), -3.0)}

    assert all((sums == 0).all() for sums in summed(data))


@pytest.mark.parametrize("kind", [bool, np.int32])
def test_a_mask_may_be_of_any_type(kind):
    data = scattered_sample(1)
    mask = np.random.default_rng(0).integers(0, 2, (12, 8))

    def value(quality, mask):
        bases, total = summed(data | {"quality": quality, "read_mask": mask})
        return (bases**2).sum() + (total**2).sum()

    found = jax.value_and_grad(value)(data["quality"], mask.astype(kind))
    expected = jax.value_and_grad(value)(data["quality"], mask.astype(np.float32))

    assert all((one == other).all() for one, other in zip(found, expected, strict=True))


def test_reads_may_be_longer_than_the_reference():
    data = read_sample(num_reads=3, read_length=50, reference_length=60) | {"positions": jnp.array([-20, -5, 4])}

    for found, expected in zip(summed(data), summed_by_loop(data), strict=True):
        assert largest_difference(found, expected) < 1e-5


def test_more_reads_than_one_chunk_holds_are_summed_alike():
    read_length = 16
    chunk = columns._CHUNK_BASES // read_length
    num_reads = 2 * chunk + 17
    generator = np.random.default_rng(3)
    values = generator.random((num_reads, read_length), np.float32)
    positions = generator.integers(-read_length, LENGTH, num_reads)
    at = positions[:, None] + np.arange(read_length)
    inside = (at >= 0) & (at < LENGTH)
    expected = np.bincount(at[inside], values[inside].astype(np.float64), LENGTH)

    np.testing.assert_allclose(sum_columns(values, positions, LENGTH), expected, rtol=1e-5)


# In chunks of four; of five, with three reads left over; of one, since no chunk is shorter than a read.
@pytest.mark.parametrize(("num_reads", "chunk_bases"), [(12, 40), (13, 40), (13, 4)])
def test_chunks_of_reads_give_what_all_at_once_give(monkeypatch, num_reads, chunk_bases):
    data = scattered_sample(2, num_reads)

    def value(arrays):
        weighted, total = summed({**data, **arrays})
        return (weighted**2).sum() + (total**2).sum()

    def run():
        sum_bases.clear_cache()
        return jax.tree.leaves(jax.jit(jax.value_and_grad(value))({key: data[key] for key in ARGUMENTS}))

    whole = run()
    monkeypatch.setattr(columns, "_CHUNK_BASES", chunk_bases)
    chunked = run()
    sum_bases.clear_cache()

    for found, expected in zip(chunked, whole, strict=True):
        assert largest_difference(found, expected) < 1e-4


def test_chunks_are_equal_where_a_divisor_is_near_the_largest():
    assert columns._chunk(100, 100) == 100
    assert columns._chunk(100, 99) == 50
    assert columns._chunk(101, 50) == 50


@pytest.mark.parametrize(
    "moved", [*([name] for name in ARGUMENTS), ["quality", "threshold"], ["reads", "quality"], list(ARGUMENTS)]
)
@pytest.mark.parametrize("by_quality", [True, False])
def test_slopes_agree_with_finite_differences_of_the_loop(moved, by_quality):
    with jax.enable_x64(True):
        data = in_float64(scattered_sample(6))
        generator = np.random.default_rng(7)
        direction = {name: jnp.asarray(generator.uniform(0.5, 1.5, data[name].shape)) for name in moved}
        cotangents = generator.normal(size=(LENGTH, 4)), generator.normal(size=LENGTH)
        arrays = {name: data[name] for name in moved}

        def value(arrays):
            return sum((c * s).sum() for c, s in zip(cotangents, summed({**data, **arrays}, by_quality), strict=True))

        def by_loop(step):
            shifted = {name: arrays[name] + step * direction[name] for name in moved}
            sums = summed_by_loop({**data, **shifted}, by_quality)
            return sum((c * s).sum() for c, s in zip(cotangents, sums, strict=True))

        expected = (by_loop(1e-5) - by_loop(-1e-5)) / 2e-5
        _, forward = jax.jvp(value, (arrays,), (direction,))
        gradients = jax.grad(value)(arrays)
        backward = sum(float((gradients[name] * direction[name]).sum()) for name in moved)

        assert abs(expected) > 1e-2
        assert float(forward) == pytest.approx(expected, rel=1e-6, abs=1e-7)
        assert backward == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_the_curvature_over_the_threshold_agrees_with_finite_differences_of_the_loop():
    with jax.enable_x64(True):
        data = in_float64(scattered_sample(8))
        weights = np.random.default_rng(9).normal(size=(LENGTH, 4))

        def value(threshold):
            return (weights * summed({**data, "threshold": threshold})[0]).sum()

        def by_loop(step):
            return (weights * summed_by_loop({**data, "threshold": data["threshold"] + step})[0]).sum()

        expected = (by_loop(1e-3) - 2 * by_loop(0) + by_loop(-1e-3)) / 1e-6

        assert abs(expected) > 1e-2
        assert float(jax.grad(jax.grad(value))(data["threshold"])) == pytest.approx(expected, rel=1e-4)


def test_what_bases_outside_the_reference_carry_has_no_slope():
    data = scattered_sample(10)
    column = np.asarray(data["positions"], np.int64)[:, None] + np.arange(8)
    outside = (column < 0) | (column >= LENGTH)

    gradients = jax.grad(lambda arrays: sum(sums.sum() for sums in summed(data | arrays)))(
        {name: data[name] for name in ("reads", "quality", "read_mask")}
    )

    for gradient in gradients.values():
        assert (np.asarray(gradient)[outside] == 0).all()
        assert (np.asarray(gradient)[~outside] != 0).all()


@pytest.mark.parametrize("shared", [(), ("positions",), ("threshold",), ("reads", "quality")])
def test_vmap_sums_each_sample_over_its_own_reference(shared):
    samples = [scattered_sample(seed) for seed in range(3)]
    samples = [sample | {name: samples[0][name] for name in shared} for sample in samples]
    axes = {name: None if name in shared else 0 for name in samples[0]}
    stacked = {
        name: samples[0][name] if name in shared else jnp.stack([sample[name] for sample in samples])
        for name in samples[0]
    }

    def value(arrays, data):
        weighted, total = summed({**data, **arrays})
        return (weighted**2).sum() + (total**2).sum(), (weighted, total)

    def values_and_gradients(data):
        arrays = {name: data[name] for name in ARGUMENTS}
        return jax.value_and_grad(value, has_aux=True)(arrays, data)

    together = jax.jit(jax.vmap(values_and_gradients, (axes,)))(stacked)

    for index, sample in enumerate(samples):
        alone = jax.jit(values_and_gradients)(sample)
        for each, expected in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(each[index], expected, rtol=1e-4, atol=1e-4)


def test_vmap_adds_what_bases_carry_to_the_columns_of_their_own_sample():
    samples = [scattered_sample(seed) for seed in range(3)]
    values, positions = (jnp.stack([sample[name] for sample in samples]) for name in ("quality", "positions"))

    together = jax.vmap(lambda values, positions: sum_columns(values, positions, LENGTH))(values, positions)

    for index, sample in enumerate(samples):
        assert largest_difference(together[index], added_by_loop(sample["quality"], sample["positions"])) < 1e-4
