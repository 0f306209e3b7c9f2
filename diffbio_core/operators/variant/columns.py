"""Sums of reads over reference columns, in forms that XLA runs and differentiates fast."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

from diffbio_core.operators.soft_quality import soft_retention

_CHUNK_BASES = 1 << 17
"""Bases added at once: their products, 2 MB in float32, stay in the cache, and XLA fuses nothing beyond the chunk."""


@functools.partial(jax.jit, static_argnames="reference_length")
def sum_bases(
    reads: Float[Array, "num_reads read_length 4"],
    weights: Float[Array, "num_reads read_length"],
    positions: Int[Array, " num_reads"],
    reference_length: int,
) -> Float[Array, "reference_length 4"]:
    """Sum base x weight over the reference columns on which the reads lie.

    Args:
        reads: One-hot or soft bases.
        weights: Weight of each base.
        positions: Column of each read's first base, 0-based; what lies outside the reference counts nowhere.
        reference_length: Number of columns.

    Returns:
        Sums per column.
    """
    return _sum_products(reads, weights, positions, reference_length)


@functools.partial(jax.jit, static_argnames="reference_length")
def sum_filtered_bases(
    reads: Float[Array, "num_reads read_length 4"],
    weights: Float[Array, "num_reads read_length"],
    quality: Float[Array, "num_reads read_length"],
    threshold: Float[Array, ""],
    positions: Int[Array, " num_reads"],
    reference_length: int,
) -> Float[Array, "reference_length 4"]:
    """Sum base x weight x sigmoid(quality - threshold) over the reference columns on which the reads lie.

    The same as `sum_bases` of filtered reads, but with a gradient to the threshold that costs one more sum: a single
    number moves all weights, so that forward mode is cheaper than going back to every base.

    Args:
        reads: One-hot or soft bases.
        weights: Weight of each base.
        quality: Phred qualities.
        threshold: Phred quality at which half of a base is kept.
        positions: Column of each read's first base, 0-based; what lies outside the reference counts nowhere.
        reference_length: Number of columns.

    Returns:
        Sums per column.
    """
    return _sum_filtered(reads, weights, quality, threshold, positions, reference_length)


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


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _sum_products(reads: Array, weights: Array, positions: Array, reference_length: int) -> Array:
    return _on_reference(_add_products, (reads, weights), positions, reference_length)


@functools.partial(_sum_products.defjvp, symbolic_zeros=True)
def _sum_products_jvp(reference_length, primals, tangents):
    reads, weights, positions = primals
    by_read, by_weight, _ = tangents
    tangent = jnp.zeros((reference_length, reads.shape[-1]), reads.dtype)
    if not isinstance(by_read, SymbolicZero):
        tangent += _plain(_add_products, (by_read, weights), positions, reference_length)
    if not isinstance(by_weight, SymbolicZero):
        tangent += _plain(_add_channels, (reads, by_weight), positions, reference_length)
    return _sum_products(reads, weights, positions, reference_length), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(5,))
def _sum_filtered(
    reads: Array, weights: Array, quality: Array, threshold: Array, positions: Array, reference_length: int
) -> Array:
    return _sum_products(reads, weights * soft_retention(quality, threshold), positions, reference_length)


@functools.partial(_sum_filtered.defjvp, symbolic_zeros=True)
def _sum_filtered_jvp(reference_length, primals, tangents):
    reads, weights, quality, threshold, positions = primals
    by_read, by_weight, by_quality, by_threshold, _ = tangents
    kept = soft_retention(quality, threshold)
    slope = weights * kept * (1 - kept)
    tangent = jnp.zeros((reference_length, reads.shape[-1]), reads.dtype)
    if not isinstance(by_read, SymbolicZero):
        tangent += _plain(_add_products, (by_read, weights * kept), positions, reference_length)
    if not isinstance(by_weight, SymbolicZero):
        tangent += _plain(_add_channels, (reads, by_weight * kept), positions, reference_length)
    if not isinstance(by_quality, SymbolicZero):
        tangent += _plain(_add_channels, (reads, by_quality * slope), positions, reference_length)
    if not isinstance(by_threshold, SymbolicZero):
        tangent -= by_threshold * _sum_products(reads, slope, positions, reference_length)
    return _sum_products(reads, weights * kept, positions, reference_length), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _sum_values(values: Array, positions: Array, reference_length: int) -> Array:
    return _on_reference(_add_windows, (values,), positions, reference_length)


@_sum_values.defjvp
def _sum_values_jvp(reference_length, primals, tangents):
    values, positions = primals
    tangent = _plain(_add_windows, (tangents[0],), positions, reference_length)
    return _sum_values(values, positions, reference_length), tangent


def _add_windows(sums: Array, starts: Array, values: Array) -> Array:
    """Add a run of columns per read: one index each, where one per base would take several times as long."""
    windows = jax.lax.ScatterDimensionNumbers(
        update_window_dims=tuple(range(1, values.ndim)),
        inserted_window_dims=(),
        scatter_dims_to_operand_dims=(0,),
    )
    in_bounds = jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
    return jax.lax.scatter_add(sums, starts[:, None], values, windows, mode=in_bounds)


def _add_products(sums: Array, starts: Array, reads: Array, weights: Array) -> Array:
    return _add_windows(sums, starts, reads * weights[..., None])


def _add_channels(sums: Array, starts: Array, reads: Array, weights: Array) -> Array:
    """The same sum, transposed to four slices added: XLA on CPUs reduces a last axis of four ten times slower."""
    return _add_windows(sums, starts, jnp.stack([reads[..., base] * weights for base in range(reads.shape[-1])], -1))


def _on_reference(add, arrays: tuple[Array, ...], positions: Array, reference_length: int) -> Array:
    """Sum over reads; under `jax.vmap` over all samples' reads, their references laid end to end.

    XLA's scatter over batches is several times slower on CPUs.
    """
    margin = arrays[0].shape[1]
    length = reference_length + 2 * margin

    @custom_vmap
    def run(arrays: tuple[Array, ...], starts: Array) -> Array:
        return _run(add, arrays, starts, length)

    @run.def_vmap
    def _(axis_size, in_batched, arrays, starts):
        arrays, starts = jax.tree.map(
            lambda batched, array: array if batched else jnp.broadcast_to(array, (axis_size, *array.shape)),
            tuple(in_batched),
            (arrays, starts),
        )
        offsets = starts + length * jnp.arange(axis_size, dtype=starts.dtype)[:, None]
        flat = tuple(array.reshape(-1, *array.shape[2:]) for array in arrays)
        sums = _run(add, flat, offsets.reshape(-1), axis_size * length)
        return sums.reshape(axis_size, length, *sums.shape[1:]), True

    return run(arrays, _starts(positions, margin, reference_length))[margin : margin + reference_length]


def _plain(add, arrays: tuple[Array, ...], positions: Array, reference_length: int) -> Array:
    """`_on_reference` without a rule of its own for `jax.vmap`, so that reverse mode can transpose it."""
    margin = arrays[0].shape[1]
    sums = _run(add, arrays, _starts(positions, margin, reference_length), reference_length + 2 * margin)
    # Transposed, the barrier keeps XLA from computing a column's gradient anew for each base that gathers it.
    return jax.lax.optimization_barrier(sums)[margin : margin + reference_length]


def _run(add, arrays: tuple[Array, ...], starts: Array, length: int) -> Array:
    """Add reads chunk by chunk to columns that have a margin on both sides."""
    num_reads, read_length = arrays[0].shape[:2]
    sums = jnp.zeros((length, *arrays[0].shape[2:]), arrays[0].dtype)
    chunk = _chunk(num_reads, max(1, _CHUNK_BASES // max(1, read_length)))
    split = num_reads // chunk * chunk if chunk else 0
    if split > chunk:
        stacked = [array[:split].reshape(-1, chunk, *array.shape[1:]) for array in (starts, *arrays)]
        sums, _ = jax.lax.scan(lambda sums, part: (add(sums, *part), None), sums, stacked)
    else:
        split = 0
    return add(sums, starts[split:], *[array[split:] for array in arrays]) if split < num_reads else sums


def _chunk(num_reads: int, largest: int) -> int:
    """Reads per chunk: a divisor of their number if one is near the largest allowed, since a remainder costs a copy."""
    if num_reads <= largest:
        return num_reads
    return next((size for size in range(largest, largest // 4, -1) if num_reads % size == 0), largest)


def _starts(positions: Array, margin: int, reference_length: int) -> Array:
    """Starts within the margins: a read wholly outside the reference falls wholly into one."""
    return jnp.clip(positions, -margin, reference_length).astype(jnp.int32) + margin
