"""Read images: reads laid out in lanes over the reference, for convolutional classifiers."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from diffbio_core.operators.numerics.columns import sum_columns
from diffbio_core.typing import PADDED_POSITION

IMAGE_CHANNELS = ("A", "C", "G", "T", "quality", "strand")
"""What an image holds of a base: quality in units of `HIGHEST_QUALITY`, strand 1 forward, -1 reverse, 0 unknown."""

HIGHEST_QUALITY = 40.0
"""Phred quality that fills the quality channel."""


def read_image(
    reads: Float[Array, "num_reads read_length 4"],
    positions: Int[Array, " num_reads"],
    quality: Float[Array, "num_reads read_length"],
    height: int,
    reference_length: int,
    strand: Array | None = None,
    read_mask: Bool[Array, "num_reads read_length"] | Num[Array, "num_reads read_length"] | None = None,
) -> Float[Array, "height reference_length 6"]:
    """Lay reads out in lanes.

    Reads go to lanes in turn, in the order of their starts, so that no two share a cell unless more than `height` reads
    lie over a column. Where they do, a cell holds their mean: no read is lost.

    Args:
        reads: One-hot or soft bases.
        positions: Column of each read's first base, 0-based.
        quality: Phred qualities.
        height: Number of lanes.
        reference_length: Number of columns.
        strand: 0 for a forward read, 1 for a reverse one (num_reads,).
        read_mask: 1 for a base, 0 for padding; all are bases if None.

    Returns:
        The image, its channels as in `IMAGE_CHANNELS`.
    """
    present = jnp.ones_like(quality) if read_mask is None else read_mask.astype(quality.dtype)
    sign = jnp.zeros_like(positions) if strand is None else 1 - 2 * strand
    cells = jnp.concatenate(
        [
            reads * present[..., None],
            jnp.stack([quality / HIGHEST_QUALITY * present, sign[:, None] * present, present], -1),
        ],
        axis=-1,
    )
    summed = sum_lanes(cells, positions, assign_lanes(positions, height), height, reference_length)
    return summed[..., :-1] / jnp.maximum(summed[..., -1:], 1)


def assign_lanes(positions: Int[Array, " num_reads"], num_lanes: int) -> Int[Array, " num_reads"]:
    """Lane of each read: the rank of its start, modulo the number of lanes; padding comes last and moves none."""
    order = jnp.argsort(jnp.where(positions == PADDED_POSITION, jnp.iinfo(positions.dtype).max, positions))
    ranks = jnp.zeros_like(order).at[order].set(jnp.arange(order.shape[0], dtype=order.dtype))
    return ranks % num_lanes


def sum_lanes(
    values: Float[Array, "num_reads read_length *channels"],
    positions: Int[Array, " num_reads"],
    lanes: Int[Array, " num_reads"],
    num_lanes: int,
    reference_length: int,
) -> Float[Array, "num_lanes reference_length *channels"]:
    """Sum what reads carry over the cells of lanes x reference columns on which they lie.

    Args:
        values: Anything per base.
        positions: Column of each read's first base, 0-based; what lies outside the reference counts nowhere.
        lanes: Lane of each read.
        num_lanes: Number of lanes.
        reference_length: Number of columns.
    """
    margin = values.shape[1]
    length = reference_length + 2 * margin
    starts = lanes * length + jnp.clip(positions, -margin, reference_length) + margin
    summed = sum_columns(values, starts, num_lanes * length)
    return summed.reshape(num_lanes, length, *values.shape[2:])[:, margin : margin + reference_length]
