"""Softmax over a handful of classes or bases."""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def short_softmax(logits: Float[Array, "*shape classes"]) -> Float[Array, "*shape classes"]:
    """Softmax over a last axis so short that it is better written out.

    On CPUs XLA takes several times as long to reduce three or four numbers than to add as many long arrays.
    """
    highest = functools.reduce(jnp.maximum, jnp.unstack(logits, axis=-1))
    raised = jnp.exp(logits - highest[..., None])
    return raised / functools.reduce(operator.add, jnp.unstack(raised, axis=-1))[..., None]


@short_softmax.defjvp
def _short_softmax_jvp(
    primals: tuple[Float[Array, "*shape classes"]], tangents: tuple[Float[Array, "*shape classes"]]
) -> tuple[Float[Array, "*shape classes"], Float[Array, "*shape classes"]]:
    probabilities = short_softmax(*primals)
    # Transposed, long rows are faster than many short ones.
    parts = jnp.moveaxis(probabilities, -1, 0)
    moved = parts * jnp.moveaxis(tangents[0], -1, 0)
    return probabilities, jnp.moveaxis(moved - parts * functools.reduce(operator.add, moved), 0, -1)
