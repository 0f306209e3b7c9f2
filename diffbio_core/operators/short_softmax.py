"""Softmax over a handful of classes or bases."""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def short_softmax(logits: Float[Array, "*shape classes"]) -> Float[Array, "*shape classes"]:
    """Softmax over a last axis so short that it is better written out.

    On CPUs XLA takes several times as long to reduce three or four numbers than to add as many arrays.
    """
    parts = jnp.unstack(logits, axis=-1)
    highest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, parts))
    raised = [jnp.exp(part - highest) for part in parts]
    total = functools.reduce(operator.add, raised)
    return jnp.stack([part / total for part in raised], axis=-1)
