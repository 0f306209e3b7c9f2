import json
import logging
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffbio_core.pipelines import create_preprocessing_pipeline, create_variant_calling_pipeline
from diffbio_core.typing import Batch, Element
from diffbio_core.utils.training import (
    Trainer,
    TrainingConfig,
    create_optax_optimizer,
    create_synthetic_training_data,
    cross_entropy_loss,
    data_iterator,
)
from tests.diffbio_core.read_samples import largest_difference, read_sample


def loss_fn(predictions, targets):
    return cross_entropy_loss(predictions["logits"], targets["labels"])


def small_data(num_samples=4, **more):
    return create_synthetic_training_data(num_samples, 6, 8, 20, **more)


def small_trainer(**config):
    return Trainer(create_variant_calling_pipeline(reference_length=20, hidden_dim=8), TrainingConfig(**config))


@pytest.mark.slow
def test_a_pipeline_trained_on_synthetic_data_beats_the_majority_class_clearly():
    inputs, targets = create_synthetic_training_data(num_samples=60)
    new_inputs, new_targets = create_synthetic_training_data(num_samples=30, seed=7)
    trainer = Trainer(create_variant_calling_pipeline(), TrainingConfig(learning_rate=3e-3, num_epochs=12))
    trainer.train(lambda: data_iterator(inputs, targets), loss_fn)

    calls = trainer.pipeline.call_variants(Batch([Element(data) for data in new_inputs]))["predictions"]
    labels = np.stack([target["labels"] for target in new_targets])

    errors, majority_errors = float((calls != labels).mean()), float((labels != 0).mean())
    assert majority_errors > 0.08
    assert errors < 0.5 * majority_errors


def test_the_step_is_compiled_once_for_all_epochs():
    inputs, targets = small_data()
    trainer = small_trainer(num_epochs=3)
    traces = []

    def counting_loss(predictions, targets):
        traces.append(1)
        return loss_fn(predictions, targets)

    state = trainer.train(lambda: data_iterator(inputs, targets), counting_loss)

    assert len(traces) == 1
    assert (state.step, state.epoch, len(state.loss_history)) == (12, 3, 3)
    assert state.best_loss == min(state.loss_history)


def test_an_epoch_tells_the_mean_and_the_range_of_its_losses():
    inputs, targets = small_data()

    metrics = small_trainer().train_epoch(data_iterator(inputs, targets), loss_fn)

    assert metrics["min_loss"] <= metrics["avg_loss"] <= metrics["max_loss"]
    assert set(metrics) == {"avg_loss", "min_loss", "max_loss"}


def test_training_gives_the_same_pipeline_each_time_and_moves_the_quality_threshold():
    inputs, targets = small_data()
    thresholds = []
    for _ in range(2):
        trainer = small_trainer(num_epochs=2)
        trainer.train(lambda: data_iterator(inputs, targets), loss_fn)
        thresholds.append(float(trainer.pipeline.quality_filter.threshold[...]))

    assert thresholds[0] == thresholds[1] != 20


def test_the_mode_from_before_is_restored():
    inputs, targets = small_data()
    trainer = small_trainer()
    for training in (False, True):
        trainer.pipeline.set_training(training)
        trainer.train_epoch(data_iterator(inputs, targets), loss_fn)
        assert trainer.pipeline.deterministic is not training


def test_a_batch_of_equal_samples_steps_like_one_of_them():
    inputs, targets = small_data(1)
    pipelines = []
    for copies in (1, 3):
        trainer = small_trainer()
        trainer.pipeline.classifier.dropout.rate = 0.0
        trainer.train_epoch(data_iterator(inputs * copies, targets * copies, batch_size=copies), loss_fn)
        pipelines.append(trainer.pipeline)

    for first, second in zip(*map(jax.tree.leaves, pipelines), strict=True):
        assert largest_difference(first, second) < 1e-4


def test_batches_may_come_as_batch_objects():
    inputs, targets = small_data(2)
    batch = Batch([Element(data) for data in inputs])
    labels = {"labels": jnp.stack([target["labels"] for target in targets])}

    assert small_trainer().train_epoch([(batch, labels)], loss_fn)["avg_loss"] > 0


def test_other_pipelines_are_trained_too():
    data = {key: array for key, array in read_sample().items() if key != "positions"}
    trainer = Trainer(create_preprocessing_pipeline(), TrainingConfig(learning_rate=0.1))

    for _ in range(2):
        trainer.train_epoch([(data, {})], lambda predictions, _: predictions["preprocessed_reads"][..., 0].mean())

    assert trainer.training_state.loss_history[1] < trainer.training_state.loss_history[0]


def test_progress_is_logged_every_so_many_epochs(caplog):
    inputs, targets = small_data(1)
    with caplog.at_level(logging.INFO, "diffbio_core.utils.training"):
        small_trainer(num_epochs=4, log_every=2).train(lambda: data_iterator(inputs, targets), loss_fn)

    assert [record.message.split(":")[0] for record in caplog.records] == ["epoch 2", "epoch 4"]


def test_nothing_to_train_on_and_infinite_losses_are_refused():
    inputs, targets = small_data(1)

    with pytest.raises(ValueError, match="gave no samples"):
        small_trainer().train_epoch([], loss_fn)
    with pytest.raises(ValueError, match="loss of step 0 is not finite"):
        small_trainer().train_epoch(data_iterator(inputs, targets), lambda p, t: jnp.inf * loss_fn(p, t))


@pytest.mark.parametrize("field", ["learning_rate", "num_epochs", "log_every", "grad_clip_norm"])
def test_values_must_be_positive(field):
    with pytest.raises(ValueError, match=f"{field} must be positive"):
        TrainingConfig(**{field: 0})


@pytest.mark.parametrize(
    ("norm", "expected"),
    [(1.0, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))), (None, optax.adam(1e-3))],
)
def test_the_optimizer_is_adam_after_clipping(norm, expected):
    parameters, gradients = jnp.array([1.0, 2.0]), [jnp.array([30.0, -40.0]), jnp.array([0.1, 0.2])]
    moved = []
    for optimizer in (create_optax_optimizer(TrainingConfig(grad_clip_norm=norm)), expected):
        state, values = optimizer.init(parameters), parameters
        for gradient in gradients:
            updates, state = optimizer.update(gradient, state, values)
            values = optax.apply_updates(values, updates)
        moved.append(values)

    assert largest_difference(*moved) == 0


def test_cross_entropy_is_the_mean_of_the_log_probabilities_of_the_labels():
    logits = jnp.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    log_probabilities = np.log(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))

    assert float(cross_entropy_loss(logits, jnp.array([0, 1, 2]))) == pytest.approx(
        -np.mean([log_probabilities[0, 0], log_probabilities[1, 1], log_probabilities[2, 2]])
    )
    assert float(cross_entropy_loss(logits, jnp.array([0, -1, 3]))) == pytest.approx(-log_probabilities[0, 0])
    with pytest.raises(ValueError, match=r"logits have shape \(3, 3\), expected \(3, 4\)"):
        cross_entropy_loss(logits, jnp.array([0, 1, 2]), num_classes=4)


def test_samples_come_one_by_one_or_stacked_in_order():
    inputs, targets = [{"x": np.array([index])} for index in range(5)], [{"y": np.array(index)} for index in range(5)]

    one_by_one = list(data_iterator(inputs, targets))
    stacked = list(data_iterator(inputs, targets, batch_size=2))

    assert [sample["x"].tolist() for sample, _ in one_by_one] == [[0], [1], [2], [3], [4]]
    assert [sample["x"].tolist() for sample, _ in stacked] == [[[0], [1]], [[2], [3]], [[4]]]
    assert [target["y"].tolist() for _, target in stacked] == [[0, 1], [2, 3], [4]]
    with pytest.raises(ValueError, match="got 5 and 4"):
        list(data_iterator(inputs, targets[:4]))


@pytest.mark.slow
def test_devices_share_a_batch():
    code = """
import json, jax, numpy as np
from diffbio_core.pipelines import create_variant_calling_pipeline
from diffbio_core.typing import Batch, Element
from diffbio_core.utils.training import create_synthetic_training_data, replicate, shard_batch
inputs, _ = create_synthetic_training_data(4, 6, 8, 20)
pipeline = create_variant_calling_pipeline(reference_length=20, hidden_dim=8)
batch = Batch([Element(x) for x in inputs])
alone = pipeline.apply_batch(batch).data["logits"]
spread = replicate(pipeline).apply_batch(shard_batch(batch)).data["logits"]
try:
    shard_batch(Batch([Element(x) for x in inputs[:3]]))
except ValueError as error:
    message = str(error)
print(json.dumps([len(spread.sharding.device_set), float(abs(alone - spread).max()), message]))
"""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, env=os.environ | environment
    ).stdout

    devices, difference, message = json.loads(output)
    assert devices == 2
    assert difference < 1e-5
    assert message == "a batch of 3 samples cannot be split evenly over 2 devices"
