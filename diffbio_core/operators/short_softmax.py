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
    parts = jnp.moveaxis(logits, -1, 0)
    raised = jnp.exp(parts - functools.reduce(jnp.maximum, parts))
    return jnp.moveaxis(raised / _sum(raised), 0, -1)


@short_softmax.defjvp
def _short_softmax_jvp(
    primals: tuple[Float[Array, "*shape classes"]], tangents: tuple[Float[Array, "*shape classes"]]
) -> tuple[Float[Array, "*shape classes"], Float[Array, "*shape classes"]]:
    probabilities = short_softmax(*primals)
    parts = jnp.moveaxis(probabilities, -1, 0)
    moved = parts * jnp.moveaxis(tangents[0], -1, 0)
    return probabilities, jnp.moveaxis(moved - parts * _sum(moved), 0, -1)


def _sum(parts: Float[Array, "classes *shape"]) -> Float[Array, "*shape"]:
    return functools.reduce(operator.add, parts)
