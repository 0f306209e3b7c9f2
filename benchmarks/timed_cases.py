"""What is measured alike in this package and in the public library: the inputs, and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

READ_LENGTH = 100

Run = Callable[[Any, dict[str, jax.Array]], jax.Array]
"""`run(operator, data)` gives an array to sum."""


def simulated_reads(num_reads: int, length: int) -> dict[str, jax.Array]:
    """Random reads at random starts."""
    generator = np.random.default_rng(0)
    bases = generator.integers(0, 4, (num_reads, READ_LENGTH), dtype=np.int8)
    return {
        "reads": jax.nn.one_hot(bases, 4),
        "positions": jnp.asarray(generator.integers(0, length - READ_LENGTH, num_reads, dtype=np.int32)),
        "quality": jnp.asarray(generator.uniform(10, 40, bases.shape).astype(np.float32)),
    }


def mapper_inputs() -> dict[str, jax.Array]:
    """32 reads of 150 against references of 500."""
    reference = jax.nn.one_hot(jax.random.randint(jax.random.key(0), (32, 500), 0, 4), 4)
    return {"read": reference[:, 100:250], "reference": reference}


def applied(output: str) -> Run:
    """One output of an operator's `apply`."""
    return lambda operator, data: operator.apply(data, {}, None)[0][output]


class Timed:
    """An operator in one direction, compiled: its parameters are arguments, taken apart once and for all."""

    def __init__(self, operator: nnx.Module, data: dict[str, jax.Array], run: Run, direction: str):
        definition, parameters, rest = nnx.split(operator, nnx.Param, ...)

        def output(parameters, rest, data):
            return run(nnx.merge(definition, parameters, rest), data)

        def loss(parameters, rest, data):
            # Uneven weights, so that no gradients cancel.
            result = output(parameters, rest, data)
            return (result * jnp.linspace(0, 1, result.shape[-1])).sum()

        self._function = jax.jit(output if direction == "forward" else jax.grad(loss))
        self._arguments = (parameters, rest, data)
        jax.block_until_ready(self._function(*self._arguments))

    def measure(self, repeats: int) -> list[float]:
        """Milliseconds of each warm call; at most ten seconds of them, at least three."""
        times: list[float] = []
        while len(times) < repeats and (sum(times) < 10_000 or len(times) < 3):
            start = time.perf_counter()
            jax.block_until_ready(self._function(*self._arguments))
            times.append(1e3 * (time.perf_counter() - start))
        return times
