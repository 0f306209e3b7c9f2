"""What the text on the variant calling pipeline shows, from the quick start to evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from diffbio_core.operators.variant import VariantClassifier, VariantClassifierConfig
from diffbio_core.pipelines import VariantCallingPipelineConfig, create_variant_calling_pipeline
from diffbio_core.typing import Batch, Element
from diffbio_core.utils.training import (
    Trainer,
    TrainingConfig,
    create_synthetic_training_data,
    cross_entropy_loss,
    data_iterator,
    replicate,
    shard_batch,
)


@pytest.fixture
def pipeline():
    return create_variant_calling_pipeline(reference_length=100, num_classes=3, quality_threshold=20.0)


@pytest.fixture(scope="module")
def samples():
    return create_synthetic_training_data(num_samples=3, reference_length=100)


@nnx.jit
def train_step(pipeline, optimizer, batch_data, targets):
    def loss_fn(pipeline):
        result, _, _ = pipeline.apply(batch_data, {}, None)
        return cross_entropy_loss(result["logits"], targets["labels"])

    loss, grads = nnx.value_and_grad(loss_fn)(pipeline)
    optimizer.update(pipeline, grads)
    return loss


def test_quick_start(pipeline):
    num_reads, read_length = 20, 30
    data = {
        "reads": jax.random.uniform(jax.random.PRNGKey(0), (num_reads, read_length, 4)),
        "positions": jax.random.randint(jax.random.PRNGKey(1), (num_reads,), 0, 70),
        "quality": jax.random.uniform(jax.random.PRNGKey(2), (num_reads, read_length), minval=10, maxval=40),
    }
    data["reads"] = jax.nn.softmax(data["reads"], axis=-1)

    result, _, _ = pipeline.apply(data, {}, None)

    assert result["pileup"].shape == (100, 4)
    assert result["probabilities"].shape == (100, 3)


def test_configuration():
    config = VariantCallingPipelineConfig(
        reference_length=10000,
        num_classes=3,
        quality_threshold=20.0,
        pileup_window_size=21,
        classifier_hidden_dim=128,
        use_quality_weights=True,
    )

    assert (config.reference_length, config.pileup_window_size, config.classifier_hidden_dim) == (10000, 21, 128)


def test_input_format_and_output_format():
    pipeline = create_variant_calling_pipeline(reference_length=500)
    reads = jnp.eye(4)[jnp.tile(jnp.array([0, 1, 2, 3]), (3, 1))]
    positions = jnp.array([100, 250, 430])
    quality = jnp.array([[30, 35, 28, 40], [25, 30, 32, 35], [38, 40, 22, 31]], float)

    result, _, _ = pipeline.apply({"reads": reads, "positions": positions, "quality": quality}, {}, None)

    assert {key: array.shape for key, array in result.items()} == {
        "reads": (3, 4, 4),
        "positions": (3,),
        "quality": (3, 4),
        "filtered_reads": (3, 4, 4),
        "filtered_quality": (3, 4),
        "pileup": (500, 4),
        "logits": (500, 3),
        "probabilities": (500, 3),
    }
    assert jnp.array_equal(result["reads"], reads)
    covered = np.flatnonzero(np.abs(np.asarray(result["pileup"]) - 0.25).max(axis=-1) > 1e-6)
    assert covered.tolist() == [*range(100, 104), *range(250, 254), *range(430, 434)]


def test_the_stages_do_what_their_formulas_say(pipeline, samples):
    data = samples[0][0]
    result, _, _ = pipeline.apply({key: data[key] for key in ("reads", "positions", "quality")}, {}, None)

    threshold = pipeline.quality_filter.threshold[...]
    retention_weight = jax.nn.sigmoid(data["quality"] - threshold)
    pos, k = 40, 5
    window = result["pileup"][pos - k : pos + k + 1]
    logits = pipeline.classifier.classify(window)

    assert jnp.allclose(result["filtered_reads"], data["reads"] * retention_weight[..., None], atol=1e-6)
    assert window.shape == (11, 4)
    assert jnp.allclose(result["logits"][pos], logits, atol=1e-5)
    assert jnp.allclose(result["probabilities"][pos], jax.nn.softmax(logits), atol=1e-5)


def test_the_trainer_trains(pipeline, samples):
    trainer = Trainer(pipeline, TrainingConfig(learning_rate=1e-3, num_epochs=5, log_every=10, grad_clip_norm=1.0))

    def loss_fn(predictions, targets):
        return cross_entropy_loss(predictions["logits"], targets["labels"], num_classes=3)

    trainer.train(data_iterator_fn=lambda: data_iterator(*samples), loss_fn=loss_fn)

    assert trainer.pipeline is pipeline
    assert trainer.training_state.loss_history[-1] < trainer.training_state.loss_history[0]


def test_a_training_loop_of_ones_own(pipeline, samples):
    optimizer = optax.adam(learning_rate=1e-3)
    opt_state = optimizer.init(nnx.state(pipeline, nnx.Param))

    # nnx.jit, for a change that jax.jit makes to the pipeline would be lost; and of the gradients those of parameters.
    @nnx.jit
    def step(pipeline, opt_state, batch_data, targets):
        def loss_fn(pipeline):
            result, _, _ = pipeline.apply(batch_data, {}, None)
            return cross_entropy_loss(result["logits"], targets["labels"])

        loss, grads = jax.value_and_grad(loss_fn)(pipeline)
        params = nnx.state(pipeline, nnx.Param)
        updates, opt_state = optimizer.update(nnx.state(grads, nnx.Param), opt_state, params)
        nnx.update(pipeline, optax.apply_updates(params, updates))
        return loss, opt_state

    pipeline.train_mode()
    losses = []
    for _ in range(4):
        for batch, targets in data_iterator(*samples):
            loss, opt_state = step(pipeline, opt_state, batch, targets)
            losses.append(float(loss))
    pipeline.eval_mode()

    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert float(pipeline.quality_filter.threshold[...]) != 20


def test_inference_on_a_single_sample_finds_positions(pipeline, samples):
    pipeline.eval_mode()
    result, _, _ = pipeline.apply(samples[0][0], {}, None)
    predictions = jnp.argmax(result["probabilities"], axis=-1)

    variant_positions = jnp.where(predictions > 0)[0]

    assert predictions.shape == (100,)
    assert (predictions[variant_positions] > 0).all()


def test_inference_on_a_batch_and_calling(pipeline, samples):
    elements = [Element(data=d, state={}, metadata={}) for d in samples[0]]
    batch = Batch.from_elements(elements)

    result_batch = pipeline.apply_batch(batch)
    results = pipeline.call_variants(batch, threshold=0.5)

    assert jnp.allclose(results["probabilities"], result_batch.data["probabilities"], atol=1e-6)
    assert results["predictions"].shape == (3, 100)
    assert results["pileup"].shape == (3, 100, 4)


def test_components_are_read_and_changed(pipeline):
    assert float(pipeline.quality_filter.threshold[...]) == 20
    assert float(pipeline.pileup.temperature[...]) == 1
    assert isinstance(pipeline.classifier, VariantClassifier)

    pipeline.quality_filter.threshold[...] = 25.0
    params = nnx.state(pipeline, nnx.Param)
    shapes = jax.tree.map(lambda x: x.shape, params)

    assert float(pipeline.quality_filter.threshold[...]) == 25
    assert shapes["classifier"]["output_layer"]["kernel"].get_value() == (64, 3)


def test_the_temperature_is_annealed(pipeline, samples, capsys):
    optimizer = nnx.Optimizer(pipeline, optax.adam(1e-3), wrt=nnx.Param)

    def train_with_annealing(pipeline, data_fn, num_epochs):
        for epoch in range(num_epochs):
            temp = 5.0 * (0.5 / 5.0) ** (epoch / num_epochs)
            pipeline.pileup.temperature[...] = temp
            for batch, targets in data_fn():
                loss = train_step(pipeline, optimizer, batch, targets)
            print(f"Epoch {epoch}: temp={temp:.2f}, loss={loss:.4f}")

    train_with_annealing(pipeline, lambda: data_iterator(*samples), 2)

    assert float(pipeline.pileup.temperature[...]) == pytest.approx(5 * 0.1**0.5)
    assert "Epoch 1: temp=1.58" in capsys.readouterr().out


def test_a_custom_classifier_takes_the_place_of_the_first(pipeline, samples):
    pipeline.classifier = VariantClassifier(
        VariantClassifierConfig(num_classes=4, hidden_dim=256, input_window=21, dropout_rate=0.2), rngs=nnx.Rngs(42)
    )

    result, _, _ = pipeline.apply(samples[0][0], {}, None)

    assert result["probabilities"].shape == (100, 4)


def test_devices_share_a_batch(pipeline, samples):
    devices = jax.local_devices()[:1]
    pipeline_replicated = replicate(pipeline, devices)
    batch = shard_batch(Batch([Element(data) for data in samples[0]]), devices)

    @jax.jit
    def parallel_step(pipeline, data):
        return jax.vmap(lambda sample: pipeline.apply(sample, {}, None)[0]["probabilities"])(data)

    assert parallel_step(pipeline_replicated, batch.data).shape == (3, 100, 3)


def test_fast_inference(pipeline, samples):
    @jax.jit
    def fast_inference(pipeline, data):
        result, _, _ = pipeline.apply(data, {}, None)
        return result["probabilities"]

    sample_data, real_data, _ = samples[0]
    _ = fast_inference(pipeline, sample_data)
    preds = fast_inference(pipeline, real_data)

    assert jnp.allclose(preds, pipeline.apply(real_data, {}, None)[0]["probabilities"], atol=1e-5)


def test_evaluation(pipeline, samples):
    def compute_precision(preds, labels):
        return ((preds > 0) & (preds == labels)).sum() / ((preds > 0).sum() + 1e-8)

    def compute_recall(preds, labels):
        return ((labels > 0) & (preds == labels)).sum() / ((labels > 0).sum() + 1e-8)

    def evaluate_pipeline(pipeline, test_data, test_labels):
        pipeline.eval_mode()
        all_preds, all_labels = [], []
        for data, labels in zip(test_data, test_labels, strict=True):
            result, _, _ = pipeline.apply(data, {}, None)
            all_preds.append(jnp.argmax(result["probabilities"], axis=-1))
            all_labels.append(labels["labels"])
        preds, labels = jnp.concatenate(all_preds), jnp.concatenate(all_labels)
        precision, recall = compute_precision(preds, labels), compute_recall(preds, labels)
        f1 = 2 * precision * recall / (precision + recall + 1e-8)
        return {"accuracy": (preds == labels).mean(), "precision": precision, "recall": recall, "f1": f1}

    metrics = evaluate_pipeline(pipeline, *samples)

    assert set(metrics) == {"accuracy", "precision", "recall", "f1"}
    assert all(0 <= float(value) <= 1 for value in metrics.values())
