"""Training of pipelines: a trainer that compiles once, losses, and simulated samples to train on."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from diffbio_core.checkpoints import load_checkpoint, save_checkpoint
from diffbio_core.operators.base import OperatorModule
from diffbio_core.operators.validation import check_positive
from diffbio_core.training.step import TrainingStep
from diffbio_core.typing import Batch, Element
from diffbio_core.utils.synthetic_data import create_realistic_training_data, create_synthetic_training_data

__all__ = [
    "Trainer",
    "TrainingConfig",
    "TrainingState",
    "create_optax_optimizer",
    "create_realistic_training_data",
    "create_synthetic_training_data",
    "cross_entropy_loss",
    "data_iterator",
    "load_checkpoint",
    "replicate",
    "save_checkpoint",
    "shard_batch",
]

Sample = dict[str, Any]
LossFunction = Callable[[Any, Any], Array]
"""Takes predictions and targets, gives a scalar."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        learning_rate: Step size of Adam.
        num_epochs: Passes over the data.
        log_every: Epochs between two log lines.
        grad_clip_norm: Largest norm of a gradient; not clipped if None.
        seed: Seed of dropout.

    Raises:
        ValueError: A value that is not positive.
    """

    learning_rate: float = 1e-3
    num_epochs: int = 100
    log_every: int = 10
    grad_clip_norm: float | None = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(
            "training", learning_rate=self.learning_rate, num_epochs=self.num_epochs, log_every=self.log_every
        )
        if self.grad_clip_norm is not None:
            check_positive("training", grad_clip_norm=self.grad_clip_norm)


@dataclass
class TrainingState:
    """How far training has come.

    Attributes:
        step: Updates so far.
        epoch: Epochs so far.
        loss_history: Mean loss of each epoch.
        best_loss: The lowest of them.
    """

    step: int = 0
    epoch: int = 0
    loss_history: list[float] = field(default_factory=list)
    best_loss: float = math.inf


class Trainer:
    """Trains all parameters of a pipeline with Adam.

    Args:
        pipeline: Pipeline to train, in place.
        config: How to train.

    Attributes:
        pipeline: The pipeline, trained as far as `training_state` says.
        optimizer: Optax optimiser.
        training_state: How far training has come.
    """

    def __init__(self, pipeline: OperatorModule, config: TrainingConfig | None = None):
        self.pipeline = pipeline
        self.config = config or TrainingConfig()
        self.optimizer = create_optax_optimizer(self.config)
        self.training_state = TrainingState()
        self._optimizer_state = self.optimizer.init(nnx.state(pipeline, nnx.Param))
        self._steps: dict[tuple[Any, LossFunction], Callable[..., Any]] = {}

    def train(
        self, data_iterator_fn: Callable[[], Iterable[tuple[Sample, Sample]]], loss_fn: LossFunction
    ) -> TrainingState:
        """Train for the configured number of epochs.

        Args:
            data_iterator_fn: Gives a fresh iterator over (inputs, targets) for each epoch.
            loss_fn: Scalar loss of predictions and targets.

        Returns:
            How far training has come.

        Raises:
            ValueError: The iterator gives nothing, or the loss is not finite.
        """
        for _ in range(self.config.num_epochs):
            metrics = self.train_epoch(data_iterator_fn(), loss_fn)
            if self.training_state.epoch % self.config.log_every == 0:
                logger.info("epoch %d: mean loss %.4f", self.training_state.epoch, metrics["avg_loss"])
        return self.training_state

    def train_epoch(self, data_iterator: Iterable[tuple[Any, Any]], loss_fn: LossFunction) -> dict[str, float]:
        """Train on everything that an iterator gives, in train mode; the mode from before is restored.

        Args:
            data_iterator: (inputs, targets): one sample, samples stacked along a leading axis, or a `Batch`.
            loss_fn: Scalar loss of predictions and targets; the step is compiled once for each function.

        Returns:
            `avg_loss`, `min_loss` and `max_loss` over the steps.

        Raises:
            ValueError: The iterator gives nothing, or the loss is not finite.
        """
        was_deterministic = self.pipeline.deterministic
        self.pipeline.train_mode()
        try:
            losses = self._run_epoch(data_iterator, loss_fn)
        finally:
            self.pipeline.set_training(not was_deterministic)
        metrics = {"avg_loss": sum(losses) / len(losses), "min_loss": min(losses), "max_loss": max(losses)}
        self.training_state.epoch += 1
        self.training_state.loss_history.append(metrics["avg_loss"])
        self.training_state.best_loss = min(self.training_state.best_loss, metrics["avg_loss"])
        return metrics

    def _run_epoch(self, data_iterator: Iterable[tuple[Any, Any]], loss_fn: LossFunction) -> list[float]:
        graph, parameters, others = nnx.split(self.pipeline, nnx.Param, ...)
        step = self._step(graph, loss_fn)
        key = jax.random.key(self.config.seed)
        losses = []
        for inputs, targets in data_iterator:
            if isinstance(inputs, Batch):
                inputs = inputs.data
            made = step(
                parameters,
                self._optimizer_state,
                others,
                jax.random.fold_in(key, self.training_state.step),
                inputs,
                targets,
            )
            parameters, self._optimizer_state = made.parameters, made.optimizer_state
            nnx.update(self.pipeline, parameters)
            self.training_state.step += 1
            losses.append(made.loss)
        if not losses:
            raise ValueError("the data iterator gave no samples")
        values = [float(loss) for loss in losses]
        if not all(map(math.isfinite, values)):
            first = self.training_state.step - len(values) + [math.isfinite(value) for value in values].index(False)
            raise ValueError(f"the loss of step {first} is not finite; lower learning_rate or look at the data")
        return values

    def _step(self, graph: Any, loss_fn: LossFunction) -> Callable[..., Any]:
        if (graph, loss_fn) not in self._steps:

            def objective(parameters, others, key, inputs, targets):
                pipeline = nnx.merge(graph, parameters, others)
                return loss_fn(_predict(pipeline, inputs, key), targets), 1.0

            self._steps[graph, loss_fn] = TrainingStep(objective, self.optimizer).whole
        return self._steps[graph, loss_fn]


def create_optax_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Adam, after clipping by global norm where configured."""
    adam = optax.adam(config.learning_rate)
    return (
        adam if config.grad_clip_norm is None else optax.chain(optax.clip_by_global_norm(config.grad_clip_norm), adam)
    )


def cross_entropy_loss(
    logits: Float[Array, "*batch classes"], labels: Int[Array, "*batch"], num_classes: int = 3
) -> Float[Array, ""]:
    """Mean cross-entropy.

    Args:
        logits: Before softmax.
        labels: Class of each; one outside 0 to num_classes - 1 (padding) is left out of the mean.
        num_classes: Number of classes.

    Raises:
        ValueError: Another number of logits than of classes, or other leading axes.
    """
    if logits.shape != (*labels.shape, num_classes):
        raise ValueError(f"logits have shape {logits.shape}, expected {(*labels.shape, num_classes)} by the labels")
    counted = (labels >= 0) & (labels < num_classes)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(counted, labels, 0))
    return jnp.where(counted, losses, 0).sum() / jnp.maximum(counted.sum(), 1)


def data_iterator(
    inputs: Sequence[Sample], targets: Sequence[Sample], batch_size: int = 1
) -> Iterator[tuple[Sample, Sample]]:
    """Go through samples in order.

    Args:
        inputs: Arrays by key of each sample.
        targets: The same, of what is to be predicted.
        batch_size: Samples stacked along a leading axis, ragged ones padded; with 1, samples come without that axis.

    Yields:
        Inputs and targets.

    Raises:
        ValueError: Other numbers of inputs than of targets, or a batch size that is not positive.
    """
    check_positive("data_iterator", batch_size=batch_size)
    if len(inputs) != len(targets):
        raise ValueError(f"data_iterator needs as many inputs as targets, got {len(inputs)} and {len(targets)}")
    if batch_size == 1:
        yield from zip(inputs, targets, strict=True)
        return
    for start in range(0, len(inputs), batch_size):
        stop = start + batch_size
        yield _stacked(inputs[start:stop]), _stacked(targets[start:stop])


def replicate(pipeline: OperatorModule, devices: Sequence[Any] | None = None) -> OperatorModule:
    """A copy of a pipeline whose arrays lie on every device.

    Args:
        pipeline: Operator or pipeline.
        devices: All local ones if None.
    """
    return jax.device_put(pipeline, jax.NamedSharding(_mesh(devices), jax.P()))


def shard_batch(batch: Any, devices: Sequence[Any] | None = None) -> Any:
    """Spread the samples of a batch over devices, so that `jax.jit` computes each part where it lies.

    Args:
        batch: `Batch`, or arrays with a leading batch axis.
        devices: All local ones if None.

    Raises:
        ValueError: The number of samples is no multiple of the number of devices.
    """
    mesh = _mesh(devices)
    for leaf in jax.tree.leaves(batch):
        if leaf.shape[0] % mesh.size:
            raise ValueError(f"a batch of {leaf.shape[0]} samples cannot be split evenly over {mesh.size} devices")
    return jax.device_put(batch, jax.NamedSharding(mesh, jax.P("batch")))


def _predict(pipeline: OperatorModule, inputs: Sample, key: Array) -> Any:
    """Predictions for one sample, or for samples stacked along a leading axis."""
    if not any(jnp.ndim(inputs[name]) == ndim for name, ndim in _STACKED_RANKS.items() if name in inputs):
        return pipeline.apply(inputs, {}, None, key)[0]
    keys = jax.random.split(key, len(jax.tree.leaves(inputs)[0]))
    return jax.vmap(lambda sample, key: pipeline.apply(sample, {}, None, key)[0])(inputs, keys)


_STACKED_RANKS = {"reads": 4, "symbol": 3, "sequence": 3, "read": 4, "pileup_window": 3, "variant_features": 3}
"""Number of axes that tells stacked samples from one sample, by key."""


def _stacked(samples: Sequence[Sample]) -> Sample:
    return Batch([Element(data=sample) for sample in samples]).data


def _mesh(devices: Sequence[Any] | None) -> jax.sharding.Mesh:
    devices = jax.local_devices() if devices is None else list(devices)
    return jax.make_mesh((len(devices),), ("batch",), axis_types=(jax.sharding.AxisType.Auto,), devices=devices)
