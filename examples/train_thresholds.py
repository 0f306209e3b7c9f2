"""Train a variant calling pipeline's quality threshold together with its network, and see why it pays.

Run it with `python examples/train_thresholds.py`: in half a minute it prints the held-out loss of a pipeline of which
only the network was trained, and of one that also learned where to cut.

The reads come from a sequencer whose qualities promise too much: half of all bases are guesses in two of five cases,
but are reported with Q20 to Q28, an error of one in a hundred at most. A threshold of 20, right for honest qualities,
lets these bases into the pileup, where they look like heterozygous variants. No network can take them out again: a
pileup holds sums, and in a sum a guess and a true base are alike. The threshold stands before the sum, and because the
pileup is differentiable, the loss reaches it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from diffbio_core.pipelines import VariantCallingPipeline, create_variant_calling_pipeline
from diffbio_core.utils.training import create_realistic_training_data, cross_entropy_loss

REFERENCE_LENGTH = 100
BATCH_SIZE = 32
THRESHOLD_LEARNING_RATE = 0.2
"""Phred per step, about: a threshold has far to go, in units in which weights have not."""

Arrays = dict[str, jax.Array]


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        held_out_loss: Cross-entropy on samples that training did not see.
        variants_found: Share of their variants that are called as what they are.
        false_calls: Share of their other positions that are called as variants.
        threshold: Phred quality at which half of a base is kept.
    """

    held_out_loss: float
    variants_found: float
    false_calls: float
    threshold: float


def main(samples: int, steps: int, seed: int) -> dict[str, Outcome]:
    """Train twice from the same start on the same samples; print and return what comes of it."""
    training = degraded_samples(samples, seed)
    held_out = degraded_samples(max(1, samples // 5), seed + 1)
    outcomes = {}
    for name, learn_threshold in (("network only", False), ("network and threshold", True)):
        pipeline = train(training, steps, learn_threshold)
        outcomes[name] = assess(pipeline, held_out)
        print(f"{name}: {describe(outcomes[name])}")
    return outcomes


def degraded_samples(number: int, seed: int) -> tuple[Arrays, Arrays]:
    """Simulated samples and their labels, stacked, as an overconfident sequencer reports them."""
    inputs, targets = create_realistic_training_data(
        num_samples=number, num_reads=30, reference_length=REFERENCE_LENGTH, error_rate=0.002, seed=seed
    )
    data = {key: np.stack([np.asarray(sample[key]) for sample in inputs]) for key in inputs[0]}
    random = np.random.default_rng(seed)
    bad = random.random(data["quality"].shape) < 0.5
    guessed = bad & (random.random(bad.shape) < 0.4)
    guesses = np.eye(4, dtype=np.float32)[random.integers(0, 4, bad.shape)]
    data["reads"] = np.where(guessed[..., None], guesses, data["reads"])
    data["quality"] = np.where(bad, random.uniform(20, 28, bad.shape), random.uniform(32, 40, bad.shape))
    labels = {"labels": np.stack([np.asarray(target["labels"]) for target in targets])}
    return jax.tree.map(_as_float32, data), jax.tree.map(jnp.asarray, labels)


def train(samples: tuple[Arrays, Arrays], steps: int, learn_threshold: bool) -> VariantCallingPipeline:
    """A pipeline after some steps over batches of samples."""
    pipeline = create_variant_calling_pipeline(reference_length=REFERENCE_LENGTH, apply_pileup_softmax=False)
    graph, parameters = nnx.split(pipeline)
    optimizer = optimizer_of(learn_threshold)
    state = optimizer.init(parameters)

    @jax.jit
    def step(parameters: Any, state: Any, batch: tuple[Arrays, Arrays]) -> tuple[Any, Any]:
        gradient = jax.grad(lambda parameters: loss_of(nnx.merge(graph, parameters), *batch))(parameters)
        change, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, change), state

    for number in range(steps):
        parameters, state = step(parameters, state, batch_of(samples, number))
    return nnx.merge(graph, parameters)


def batch_of(samples: tuple[Arrays, Arrays], number: int) -> tuple[Arrays, Arrays]:
    """A batch by its number; behind the last sample comes the first again."""
    which = np.arange(number * BATCH_SIZE, (number + 1) * BATCH_SIZE) % len(samples[1]["labels"])
    return jax.tree.map(lambda array: array[which], samples)


def optimizer_of(learn_threshold: bool) -> optax.GradientTransformation:
    """Adam, with a rate of its own for the threshold, which may also stay where it is."""
    of_threshold = optax.adam(THRESHOLD_LEARNING_RATE) if learn_threshold else optax.set_to_zero()
    return optax.partition({"threshold": of_threshold, "network": optax.adam(3e-3)}, _label_parameters)


def loss_of(pipeline: VariantCallingPipeline, inputs: Arrays, targets: Arrays) -> jax.Array:
    """Mean cross-entropy over all positions of all samples."""
    return cross_entropy_loss(predict(pipeline, inputs)["logits"], targets["labels"])


def predict(pipeline: VariantCallingPipeline, inputs: Arrays) -> Arrays:
    """What the pipeline gives for stacked samples."""
    return jax.vmap(lambda sample: pipeline.apply(sample, {}, None)[0])(inputs)


def assess(pipeline: VariantCallingPipeline, samples: tuple[Arrays, Arrays]) -> Outcome:
    """How well a pipeline does on samples."""
    inputs, targets = samples
    called, labels = predict(pipeline, inputs)["logits"].argmax(-1), targets["labels"]
    return Outcome(
        held_out_loss=float(loss_of(pipeline, inputs, targets)),
        variants_found=float((called == labels)[labels > 0].mean()),
        false_calls=float((called > 0)[labels == 0].mean()),
        threshold=float(pipeline.quality_filter.threshold[...]),
    )


def describe(outcome: Outcome) -> str:
    """One line of an outcome."""
    return (
        f"held-out loss {outcome.held_out_loss:.4f}, {outcome.variants_found:.1%} of variants found, "
        f"{outcome.false_calls:.2%} of other positions called, threshold Q{outcome.threshold:.1f}"
    )


def _label_parameters(parameters: Any) -> Any:
    """Which of the two each parameter belongs to, by where it stands in the pipeline."""

    def label(path: tuple[Any, ...], _: Any) -> str:
        return "threshold" if "quality_filter" in jax.tree_util.keystr(path) else "network"

    return jax.tree_util.tree_map_with_path(label, parameters)


def _as_float32(array: np.ndarray) -> jax.Array:
    return jnp.asarray(array, jnp.float32 if array.dtype == np.float64 else array.dtype)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1500, help="samples to train on")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    main(**vars(parser.parse_args()))
