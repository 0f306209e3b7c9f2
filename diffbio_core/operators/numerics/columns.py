"""Sums of reads over reference columns, in forms that XLA runs and differentiates fast."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float, Int, Num

from diffbio_core.operators.numerics.soft_quality import base_weights, soft_retention

PerBase = Callable[..., tuple[Array, ...]]
"""What is added of each base, from arrays (num_reads, read_length, ...) to arrays of the same first axes."""

_CHUNK_BASES = 1 << 18
"""Bases added at once: enough for several cores, and what is computed of them (5 MB in float32) stays in cache."""


@functools.partial(jax.jit, static_argnames=("reference_length", "by_quality"))
def sum_bases(
    reads: Float[Array, "num_reads read_length 4"],
    quality: Float[Array, "num_reads read_length"],
    positions: Int[Array, " num_reads"],
    reference_length: int,
    read_mask: Bool[Array, "num_reads read_length"] | Num[Array, "num_reads read_length"] | None = None,
    threshold: Float[Array, ""] | None = None,
    by_quality: bool = True,
) -> tuple[Float[Array, "reference_length 4"], Float[Array, " reference_length"]]:
    """Sum base x weight, and weights, over the reference columns on which the reads lie.

    A gradient to the threshold alone costs one more sum, not a way back to every base: a single number moves all
    weights, so that forward mode is cheaper.

    Args:
        reads: One-hot or soft bases.
        quality: Phred qualities.
        positions: Column of each read's first base, 0-based; what lies outside the reference counts nowhere.
        reference_length: Number of columns.
        read_mask: 1 for a base, 0 for padding; all are bases if None.
        threshold: Phred threshold of a soft filter, as if `reads` had been multiplied by sigmoid(quality - threshold);
            no filter if None.
        by_quality: Weigh by `base_weights`; else all bases weigh 1.

    Returns:
        Sums of base x weight and sums of weights, per column.
    """
    if read_mask is not None:
        read_mask = jnp.asarray(read_mask, quality.dtype)
    return _sum_bases(reads, quality, read_mask, threshold, positions, reference_length, by_quality)


@functools.partial(jax.jit, static_argnames="reference_length")
def sum_columns(
    values: Float[Array, "num_reads read_length *channels"], positions: Int[Array, " num_reads"], reference_length: int
) -> Float[Array, "reference_length *channels"]:
    """Sum what bases carry over the reference columns on which the reads lie.

    Args:
        values: One or more numbers per base.
        positions: Column of each read's first base, 0-based; what lies outside the reference counts nowhere.
        reference_length: Number of columns.

    Returns:
        Sums per column.
    """
    return _sum_values(values, positions, reference_length)


@functools.partial(jax.custom_jvp, nondiff_argnums=(5, 6))
def _sum_bases(
    reads: Array,
    quality: Array,
    read_mask: Array | None,
    threshold: Array | None,
    positions: Array,
    reference_length: int,
    by_quality: bool,
) -> tuple[Array, Array]:
    arrays = (reads, quality, read_mask, _of_each_read(threshold, reads))
    weighted = functools.partial(_weighted, by_quality=by_quality)
    sums, total = _on_reference(weighted, arrays, positions, reference_length)
    return sums, total


@functools.partial(_sum_bases.defjvp, symbolic_zeros=True)
def _sum_bases_jvp(reference_length, by_quality, primals, tangents):
    reads, quality, read_mask, threshold, positions = primals
    by_read, by_base_quality, by_mask, by_threshold, _ = tangents
    if _is_zero(by_threshold):
        sums = _sum_bases(reads, quality, read_mask, threshold, positions, reference_length, by_quality)
        tangent = jnp.zeros_like(sums[0])
    else:
        *sums, slopes = _sum_bases_and_slopes(
            reads, quality, read_mask, threshold, positions, reference_length, by_quality
        )
        tangent = -by_threshold * slopes
    total_tangent = jnp.zeros_like(sums[1])

    if not _is_zero(by_read):
        weights = _weights(quality, read_mask, by_quality) * _kept(quality, threshold)
        tangent += _plain(_products, (by_read, weights), positions, reference_length)
    if not (_is_zero(by_base_quality) and _is_zero(by_mask)):

        def weigh(quality, read_mask):
            weights = _weights(quality, read_mask, by_quality)
            return weights, weights * _kept(quality, threshold)

        moved = [
            jnp.zeros_like(primal) if isinstance(by, SymbolicZero) else by
            for primal, by in ((quality, by_base_quality), (read_mask, by_mask))
        ]
        _, (by_weight, by_both) = jax.jvp(weigh, (quality, read_mask), tuple(moved))
        tangent += _plain(_channels, (reads, by_both), positions, reference_length)
        total_tangent += _plain(_values, (by_weight,), positions, reference_length)
    return tuple(sums), (tangent, total_tangent)


@functools.partial(jax.custom_jvp, nondiff_argnums=(5, 6))
def _sum_bases_and_slopes(
    reads: Array,
    quality: Array,
    read_mask: Array | None,
    threshold: Array,
    positions: Array,
    reference_length: int,
    by_quality: bool,
) -> tuple[Array, Array, Array]:
    """`_sum_bases`, and how fast the first sum falls where the threshold rises."""
    arrays = (reads, quality, read_mask, _of_each_read(threshold, reads))
    weighted = functools.partial(_weighted, by_quality=by_quality, slopes=True)
    sums, total, slopes = _on_reference(weighted, arrays, positions, reference_length)
    return sums, total, slopes


@_sum_bases_and_slopes.defjvp
def _sum_bases_and_slopes_jvp(reference_length, by_quality, primals, tangents):
    positions = primals[-1]

    def apart(reads, quality, read_mask, threshold):
        weights, kept = _weights(quality, read_mask, by_quality), _kept(quality, threshold)
        return (
            _sum_values(_product(reads, weights * kept), positions, reference_length),
            _sum_values(weights, positions, reference_length),
            _sum_values(_product(reads, weights * kept * (1 - kept)), positions, reference_length),
        )

    return jax.jvp(apart, primals[:-1], tangents[:-1])


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _sum_values(values: Array, positions: Array, reference_length: int) -> Array:
    return _on_reference(_values, (values,), positions, reference_length)[0]


@_sum_values.defjvp
def _sum_values_jvp(reference_length, primals, tangents):
    values, positions = primals
    tangent = _plain(_values, (tangents[0],), positions, reference_length)
    return _sum_values(values, positions, reference_length), tangent


def _weighted(
    reads: Array, quality: Array, read_mask: Array | None, threshold: Array | None, *, by_quality: bool, slopes=False
) -> tuple[Array, ...]:
    """Base x weight and weight of each base; base x slope too, if wanted."""
    weights, kept = _weights(quality, read_mask, by_quality), _kept(quality, threshold)
    # The barrier keeps XLA from computing the exponentials anew for each of the four channels.
    both, weights, slope = jax.lax.optimization_barrier(
        (weights * kept, weights, weights * kept * (1 - kept) if slopes else None)
    )
    return (_product(reads, both), weights, *([_product(reads, slope)] if slopes else []))


def _weights(quality: Array, read_mask: Array | None, by_quality: bool) -> Array:
    weights = base_weights(quality) if by_quality else jnp.ones_like(quality)
    return weights if read_mask is None else weights * read_mask


def _kept(quality: Array, threshold: Array | None) -> Array | float:
    return 1.0 if threshold is None else soft_retention(quality, threshold)


def _of_each_read(threshold: Array | None, reads: Array) -> Array | None:
    return None if threshold is None else jnp.broadcast_to(threshold, (reads.shape[0], 1))


def _is_zero(tangent: Any) -> bool:
    return tangent is None or isinstance(tangent, SymbolicZero)


def _product(reads: Array, weights: Array) -> Array:
    return reads * weights[..., None]


def _products(reads: Array, weights: Array) -> tuple[Array]:
    return (_product(reads, weights),)


def _channels(reads: Array, weights: Array) -> tuple[Array]:
    """The same products, transposed to four slices added: XLA on CPUs reduces a last axis of four ten times slower."""
    return (jnp.stack([reads[..., base] * weights for base in range(reads.shape[-1])], -1),)


def _values(values: Array) -> tuple[Array]:
    return (values,)


def _add_windows(sums: Array, starts: Array, values: Array) -> Array:
    """Add a run of columns per read: one index each, where one per base would take several times as long."""
    windows = jax.lax.ScatterDimensionNumbers(
        update_window_dims=tuple(range(1, values.ndim)),
        inserted_window_dims=(),
        scatter_dims_to_operand_dims=(0,),
    )
    in_bounds = jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
    return jax.lax.scatter_add(sums, starts[:, None], values, windows, mode=in_bounds)


def _on_reference(
    per_base: PerBase, arrays: tuple[Array | None, ...], positions: Array, reference_length: int
) -> tuple[Array, ...]:
    """Sum over reads; under `jax.vmap` over all samples' reads, their references laid end to end.

    XLA's scatter over batches is several times slower on CPUs.
    """
    margin = _read_length(arrays)
    length = reference_length + 2 * margin

    @custom_vmap
    def run(arrays: tuple[Array | None, ...], starts: Array) -> tuple[Array, ...]:
        return _run(per_base, arrays, starts, length)

    @run.def_vmap
    def _(axis_size, in_batched, arrays, starts):
        arrays, starts = jax.tree.map(
            lambda batched, array: array if batched else jnp.broadcast_to(array, (axis_size, *array.shape)),
            tuple(in_batched),
            (arrays, starts),
        )
        offsets = starts + length * jnp.arange(axis_size, dtype=starts.dtype)[:, None]
        flat = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), arrays)
        sums = _run(per_base, flat, offsets.reshape(-1), axis_size * length)
        return tuple(each.reshape(axis_size, length, *each.shape[1:]) for each in sums), (True,) * len(sums)

    sums = run(arrays, _starts(positions, margin, reference_length))
    return tuple(each[margin : margin + reference_length] for each in sums)


def _plain(per_base: PerBase, arrays: tuple[Array, ...], positions: Array, reference_length: int) -> Array:
    """`_on_reference` of one sum without a rule of its own for `jax.vmap`, so that reverse mode can transpose it."""
    margin = _read_length(arrays)
    (sums,) = _run(per_base, arrays, _starts(positions, margin, reference_length), reference_length + 2 * margin)
    # Transposed, the barrier keeps XLA from computing a column's gradient anew for each base that gathers it.
    return jax.lax.optimization_barrier(sums)[margin : margin + reference_length]


def _run(per_base: PerBase, arrays: tuple[Array | None, ...], starts: Array, length: int) -> tuple[Array, ...]:
    """Add reads chunk by chunk to columns that have a margin on both sides."""
    num_reads = starts.shape[0]
    shapes = jax.eval_shape(per_base, *arrays)
    none = tuple(jnp.zeros((length, *shape.shape[2:]), shape.dtype) for shape in shapes)

    def add(sums: tuple[Array, ...], starts: Array, *arrays: Array | None) -> tuple[Array, ...]:
        added = zip(sums, per_base(*arrays), strict=True)
        return tuple(_add_windows(each, starts, values) for each, values in added)

    def add_halves(sums: tuple[tuple[Array, ...], ...], part: tuple[Any, ...]) -> tuple[Any, None]:
        # XLA adds on one core of a CPU, halves that do not wait for each other on two.
        half = part[0].shape[0] // 2
        first, second = (jax.tree.map(lambda array, at=at: array[at], part) for at in (slice(half), slice(half, None)))
        return (add(sums[0], *first), add(sums[1], *second)), None

    chunk = _chunk(num_reads, max(1, _CHUNK_BASES // max(1, _read_length(arrays))))
    if num_reads <= chunk:
        return add(none, starts, *arrays)
    split = num_reads // chunk * chunk
    parts = jax.tree.map(lambda array: array[:split].reshape(-1, chunk, *array.shape[1:]), (starts, *arrays))
    (first, second), _ = jax.lax.scan(add_halves, (none, none), parts)
    if split < num_reads:
        first = add(first, *jax.tree.map(lambda array: array[split:], (starts, *arrays)))
    return tuple(one + other for one, other in zip(first, second, strict=True))


def _read_length(arrays: tuple[Array | None, ...]) -> int:
    assert arrays[0] is not None
    return arrays[0].shape[1]


def _chunk(num_reads: int, largest: int) -> int:
    """Reads per chunk: a divisor of their number if one is near the largest allowed, since a remainder costs a copy."""
    if num_reads <= largest:
        return num_reads
    return next((size for size in range(largest, largest // 4, -1) if num_reads % size == 0), largest)


def _starts(positions: Array, margin: int, reference_length: int) -> Array:
    """Starts within the margins: a read wholly outside the reference falls wholly into one."""
    return jnp.clip(positions, -margin, reference_length).astype(jnp.int32) + margin
