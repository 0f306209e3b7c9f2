"""Elements and batches: the samples that operators work on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any
"""Any nest of dicts, lists and tuples with arrays as leaves."""

Metadata = dict[str, Any] | None
"""What a sample carries that is no array, or nothing."""

PADDED_POSITION = -(2**30)
"""Start of a read that only fills a batch: no operator lets it touch the reference."""


@dataclass
class Element:
    """One sample.

    Attributes:
        data: Arrays by key.
        state: Arrays that an operator may carry from call to call.
        metadata: What is no array: names, sources.
    """

    data: dict[str, Any]
    state: PyTree = field(default_factory=dict)
    metadata: Metadata = field(default_factory=dict)


@jax.tree_util.register_pytree_with_keys_class
class BatchData(dict[str, Any]):
    """Arrays of a batch by key; a dict, which can also be asked for its value as an `nnx.Variable` can."""

    def get_value(self) -> dict[str, Any]:
        """The arrays as a plain dict."""
        return dict(self)

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        """Arrays are children, in the order of their keys, as those of a dict."""
        keys = tuple(sorted(self))
        return [(jax.tree_util.DictKey(key), self[key]) for key in keys], keys

    @classmethod
    def tree_unflatten(cls, keys: tuple[str, ...], children: Iterable[Any]) -> BatchData:
        """Same keys, other children."""
        return cls(zip(keys, children, strict=True))


@jax.tree_util.register_pytree_node_class
class Batch:
    """Samples stacked along a new leading axis, those of fewer or shorter reads padded.

    Padding holds zeros, and `PADDED_POSITION` in `positions`. Where `reads` had to be padded, the batch gets the key
    `read_mask` (batch, num_reads, read_length), 1 for a base and 0 for padding, which operators respect.

    Args:
        elements: Samples of the same keys, and of the same number of axes per key.

    Attributes:
        data: Arrays by key, the batch axis first.
        state: The stacked states.
        metadata: One entry per sample.

    Raises:
        ValueError: No elements, other keys than those of the first, or arrays that cannot be padded to one shape.
    """

    data: BatchData
    state: PyTree
    metadata: tuple[Metadata, ...]

    def __init__(self, elements: Iterable[Element]):
        elements = list(elements)
        if not elements:
            raise ValueError("a batch needs at least one element, got none")
        keys = set(elements[0].data)
        for index, element in enumerate(elements):
            if set(element.data) != keys:
                raise ValueError(f"element {index} has keys {sorted(element.data)}, the first one {sorted(keys)}")
        stacked = {key: _stack(key, [element.data[key] for element in elements]) for key in elements[0].data}
        self.data = BatchData(stacked)
        if "reads" in keys and "read_mask" not in keys:
            shapes = [np.shape(element.data["reads"])[:-1] for element in elements]
            if len(set(shapes)) > 1:
                self.data["read_mask"] = _stack("read_mask", [jnp.ones(shape) for shape in shapes])
        self.state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[element.state for element in elements])
        self.metadata = tuple(element.metadata for element in elements)

    @classmethod
    def from_elements(cls, elements: Iterable[Element]) -> Batch:
        """Stack samples; the same as `Batch(elements)`."""
        return cls(elements)

    @classmethod
    def from_parts(
        cls, data: dict[str, Any], state: PyTree = None, metadata: Iterable[Metadata] | None = None
    ) -> Batch:
        """Wrap arrays that are stacked already.

        Args:
            data: Arrays by key, the batch axis first.
            state: The stacked states, {} if None.
            metadata: One entry per sample, None for each if None.

        Raises:
            ValueError: Arrays of different batch sizes, or another number of metadata entries.
        """
        sizes = {key: np.shape(leaf)[0] if np.ndim(leaf) else None for key, leaf in data.items()}
        if len(set(sizes.values())) != 1 or None in sizes.values():
            raise ValueError(f"every array of a batch needs the same leading axis, got sizes {sizes}")
        batch = cls.__new__(cls)
        batch.data = BatchData(data)
        batch.state = {} if state is None else state
        size = next(size for size in sizes.values() if size is not None)
        batch.metadata = (None,) * size if metadata is None else tuple(metadata)
        if len(batch.metadata) != size:
            raise ValueError(f"metadata has {len(batch.metadata)} entries for {size} samples")
        return batch

    @property
    def batch_size(self) -> int:
        """Number of samples."""
        return len(self.metadata)

    @property
    def elements(self) -> list[Element]:
        """The samples one by one, padding kept."""
        return list(self)

    def __len__(self) -> int:
        return self.batch_size

    def __getitem__(self, index: int) -> Element:
        metadata = self.metadata[index]
        data, state = jax.tree.map(lambda leaf: leaf[index], (self.data, self.state))
        return Element(data=dict(data), state=state, metadata=metadata)

    def __iter__(self) -> Iterator[Element]:
        return (self[index] for index in range(self.batch_size))

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple[Metadata, ...]]:
        """Arrays are children; metadata is static."""
        return (self.data, self.state), self.metadata

    @classmethod
    def tree_unflatten(cls, metadata: tuple[Metadata, ...], children: tuple[Any, Any]) -> Batch:
        """Inverse of `tree_flatten`; checks nothing, since leaves may be any object there."""
        batch = cls.__new__(cls)
        batch.data, batch.state = children
        batch.metadata = metadata
        return batch


def _stack(key: str, arrays: list[Any]) -> jax.Array:
    shapes = [np.shape(array) for array in arrays]
    if len(set(shapes)) == 1:
        return jnp.stack([jnp.asarray(array) for array in arrays])
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"{key} has shapes {shapes}: samples of a batch need the same number of axes")
    target = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    fill = PADDED_POSITION if key == "positions" else 0
    return jnp.stack(
        [
            jnp.pad(jnp.asarray(array), [(0, size - own) for size, own in zip(target, shape, strict=True)],
                    constant_values=fill)
            for array, shape in zip(arrays, shapes, strict=True)
        ]
    )  # fmt: skip
