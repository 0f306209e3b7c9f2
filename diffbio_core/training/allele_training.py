"""Training of the caller's pipeline on labelled views: soft thresholds and network together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jax
import numpy as np
import optax
from flax import nnx
from jaxtyping import Int8

from diffbio_core.pipelines.allele_calling import AlleleCallingConfig, AlleleCallingPipeline
from diffbio_core.training.augmentation import AugmentationConfig, augment_view

Views = Mapping[str, np.ndarray]
"""Arrays of ``CandidateViews`` by name, the candidate first."""


@dataclass(frozen=True)
class AlleleTrainingConfig:
    """How the pipeline is trained.

    Attributes:
        epochs: Passes over the training views.
        batch_size: Candidates of one step.
        learning_rate: Peak of the cosine schedule.
        warm_up: Steps until the peak.
        weight_decay: Of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).
        clip_norm: Largest global norm of a gradient.
        held_out: Share of candidates kept for validation.
        average: Decay of the running average of parameters, which is what training returns.
        seed: Of initialisation, order and augmentation.
        augmentation: How views are changed.
    """

    epochs: int = 8
    batch_size: int = 256
    learning_rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    held_out: float = 0.04
    average: float = 0.998
    seed: int = 0
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


@dataclass(frozen=True)
class Progress:
    """How training stands.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        loss: Mean cross-entropy of the steps since the last report.
        held_out_loss: Cross-entropy on the held-out candidates.
        held_out_accuracy: Share of held-out candidates with the right number of copies.
    """

    step: int
    steps: int
    loss: float
    held_out_loss: float
    held_out_accuracy: float


def train_alleles(
    views: Views,
    labels: Int8[np.ndarray, "candidates"],
    pipeline_config: AlleleCallingConfig,
    config: AlleleTrainingConfig,
    report: Callable[[Progress], None] = lambda progress: None,
    report_every: int = 200,
) -> tuple[AlleleCallingPipeline, Progress]:
    """Train a pipeline from scratch.

    Args:
        views: Labelled views, all with the same number of rows.
        labels: 0, 1 or 2 copies of each.
        pipeline_config: What to train.
        config: How.
        report: Told now and then how training stands.
        report_every: Steps between two reports.

    Returns:
        The trained pipeline and how it stood at the end.
    """
    random = np.random.default_rng(config.seed)
    order = random.permutation(labels.size)
    held_out, train = np.split(order, [max(1, round(config.held_out * labels.size))])
    steps = max(1, config.epochs * train.size // config.batch_size)
    graph, parameters = nnx.split(AlleleCallingPipeline(pipeline_config, rngs=nnx.Rngs(config.seed)))
    schedule = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, min(config.warm_up, steps // 2), steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.clip_norm), optax.adamw(schedule, weight_decay=config.weight_decay)
    )

    def called(parameters: nnx.State, views: dict[str, jax.Array], name: str) -> jax.Array:
        pipeline = nnx.merge(graph, parameters)
        return jax.vmap(lambda view: pipeline.apply(view, {}, None)[0][name])(views)

    def loss(parameters: nnx.State, views: dict[str, jax.Array], labels: jax.Array) -> jax.Array:
        # Each member learns for itself: trained for their mean, they would be one larger network.
        logits = called(parameters, views, "member_logits")
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels[:, None]).mean(0).sum()

    @jax.jit
    def update(parameters, average, state, views, labels, key):
        keys = jax.random.split(key, labels.size)
        views = jax.vmap(lambda view, key: augment_view(view, config.augmentation, key))(views, keys)
        value, gradient = jax.value_and_grad(loss)(parameters, views, labels)
        change, state = optimizer.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, change)
        average = jax.tree.map(lambda a, p: config.average * a + (1 - config.average) * p, average, parameters)
        return parameters, average, state, value

    predict = jax.jit(lambda parameters, views: called(parameters, views, "logits"))

    def batch(which: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return {name: values[which] for name, values in views.items()}, labels[which].astype(np.int32)

    def standing(parameters: nnx.State, step: int, losses: list[float]) -> Progress:
        found = []
        for start in range(0, held_out.size, config.batch_size):
            chosen = held_out[start : start + config.batch_size]
            padded = np.resize(chosen, config.batch_size)
            found.append(np.asarray(predict(parameters, batch(padded)[0]))[: chosen.size])
        scores = np.concatenate(found)
        truth = labels[held_out].astype(np.int64)
        cross_entropy = -np.asarray(jax.nn.log_softmax(scores))[np.arange(truth.size), truth].mean()
        accuracy = (scores.argmax(1) == truth).mean()
        return Progress(step, steps, float(np.mean(losses)), float(cross_entropy), float(accuracy))

    average, state = parameters, optimizer.init(parameters)
    keys = jax.random.split(jax.random.key(config.seed), steps)
    losses: list[float] = []
    waiting = np.empty(0, np.int64)
    progress = None
    for step in range(steps):
        if waiting.size < config.batch_size:
            waiting = np.concatenate([waiting, random.permutation(train)])
        chosen, waiting = waiting[: config.batch_size], waiting[config.batch_size :]
        parameters, average, state, value = update(parameters, average, state, *batch(chosen), keys[step])
        losses.append(float(value))
        if (step + 1) % report_every == 0 or step + 1 == steps:
            progress = standing(average, step + 1, losses)
            report(progress)
            losses = []
    assert progress is not None
    return nnx.merge(graph, average), progress
