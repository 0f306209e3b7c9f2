"""Refuses inputs that an operator cannot take, by name, with what was found and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffbio_core.typing import PADDED_POSITION


def check_shapes(owner: str, data: Any, expected: Mapping[str, tuple[str | int, ...]]) -> dict[str, int]:
    """Check that keys are there and that their shapes fit each other.

    Args:
        owner: Name of the operator, for messages.
        data: A sample's arrays by key.
        expected: Axes by key: a number is that size, a name is any size but the same wherever it stands.

    Returns:
        Sizes by axis name.

    Raises:
        ValueError: A key is missing, or an array has other axes.
    """
    missing = [key for key in expected if key not in data] if isinstance(data, Mapping) else list(expected)
    if missing:
        found = sorted(data) if isinstance(data, Mapping) else type(data).__name__
        raise ValueError(f"{owner} needs the keys {sorted(expected)}; missing: {missing}; got {found}")
    sizes: dict[str, int] = {}
    for key, axes in expected.items():
        shape = np.shape(data[key])
        wanted = [sizes.get(axis, axis) if isinstance(axis, str) else axis for axis in axes]
        fits = len(shape) == len(axes) and all(
            size == want for size, want in zip(shape, wanted, strict=True) if isinstance(want, int)
        )
        if not fits:
            raise ValueError(f"{owner}: {key} has shape {shape}, expected {_axes(axes, sizes)}")
        sizes |= {axis: size for axis, size in zip(axes, shape, strict=True) if isinstance(axis, str)}
    return sizes


def check_quality(owner: str, name: str, quality: Any) -> None:
    """Refuse NaN among Phred qualities, if they are concrete.

    Raises:
        ValueError: Some quality is NaN.
    """
    values = concrete(quality)
    if values is None:
        return
    nans = np.isnan(values)
    if nans.any():
        where = tuple(int(axis) for axis in np.argwhere(nans)[0])
        raise ValueError(
            f"{owner}: {name} of shape {values.shape} has {nans.sum()} NaN, first at {where}; expected Phred numbers"
        )


def check_positions(owner: str, positions: Any, reference_length: int) -> None:
    """Refuse reads that start outside the reference, if positions are concrete; padding is let through.

    Raises:
        ValueError: The positions are no integers, or one lies outside 0 to reference_length - 1.
    """
    if not jnp.issubdtype(jnp.result_type(positions), jnp.integer):
        raise ValueError(
            f"{owner}: positions of shape {np.shape(positions)} are {jnp.result_type(positions)}, expected integers"
        )
    values = concrete(positions)
    if values is None:
        return
    outside = ((values < 0) | (values >= reference_length)) & (values != PADDED_POSITION)
    if outside.any():
        raise ValueError(
            f"{owner}: positions of shape {values.shape} hold {int(values[outside][0])}, "
            f"expected starts from 0 to {reference_length - 1} (reference_length {reference_length})"
        )


def check_finite(owner: str, name: str, values: Any) -> None:
    """Refuse NaN and infinity, if the values are concrete.

    Raises:
        ValueError: Some value is not finite; the first is named by its place.
    """
    values = concrete(values)
    if values is None or np.isfinite(values).all():
        return
    first = tuple(int(axis) for axis in np.argwhere(~np.isfinite(values))[0])
    raise ValueError(f"{owner}: {name} of shape {values.shape} has {values[first]} at {first}; expected finite numbers")


def check_counts(owner: str, name: str, counts: Any) -> None:
    """Refuse counts that are NaN, infinite or negative, if they are concrete.

    Raises:
        ValueError: Some value is no count; the first is named by its place.
    """
    check_finite(owner, name, counts)
    values = concrete(counts)
    if values is None or not (values < 0).any():
        return
    first = tuple(int(axis) for axis in np.argwhere(values < 0)[0])
    raise ValueError(
        f"{owner}: {name} of shape {values.shape} has {values[first]} at {first}; expected counts of 0 or more"
    )


def check_labels(owner: str, name: str, labels: Any, number: int | None) -> None:
    """Refuse labels that are no integers or, if they are concrete, lie outside 0 to number - 1.

    Args:
        owner: Name of the operator, for messages.
        name: Key of the labels.
        labels: Codes of categories.
        number: Of categories; any if None.

    Raises:
        ValueError: The labels are no integers, or one lies outside.
    """
    if not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise ValueError(
            f"{owner}: {name} of shape {np.shape(labels)} are {jnp.result_type(labels)}, expected integer codes"
        )
    values = concrete(labels)
    if values is None:
        return
    outside = values < 0 if number is None else (values < 0) | (values >= number)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        limit = "0 or more" if number is None else f"0 to {number - 1}"
        raise ValueError(f"{owner}: {name} has {int(values.flat[first])} for cell {first}, expected {limit}")


def check_positive(owner: str, **lengths: float) -> None:
    """Refuse a length, a number of things or a temperature that is not positive.

    Raises:
        ValueError: One of them is zero, negative or NaN.
    """
    for name, value in lengths.items():
        if not value > 0:
            raise ValueError(f"{owner}: {name} must be positive, got {value}")


def check_fraction(owner: str, **fractions: float) -> None:
    """Refuse a fraction outside 0 to 1.

    Raises:
        ValueError: One of them lies outside, or is NaN.
    """
    for name, value in fractions.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{owner}: {name} must lie between 0 and 1, got {value}")


def concrete(array: Any) -> np.ndarray | None:
    """The values of an array, or None while it is being traced."""
    return None if isinstance(array, Tracer) else np.asarray(array)


def _axes(axes: tuple[str | int, ...], sizes: Mapping[str, int]) -> str:
    named = [f"{axis}={sizes[axis]}" if isinstance(axis, str) and axis in sizes else str(axis) for axis in axes]
    return f"({', '.join(named)}{',' if len(named) == 1 else ''})"
