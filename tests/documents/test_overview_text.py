"""What the overview of pipelines shows."""

import pickle

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

from diffbio_core.checkpoints import load_checkpoint, save_checkpoint
from diffbio_core.operators import DifferentiableQualityFilter, QualityFilterConfig
from diffbio_core.operators.base import OperatorConfig, OperatorModule
from diffbio_core.operators.variant import DifferentiablePileup, PileupConfig, VariantClassifier
from diffbio_core.pipelines import (
    VariantCallingPipeline,
    VariantCallingPipelineConfig,
    create_variant_calling_pipeline,
)
from diffbio_core.typing import Batch, Element
from diffbio_core.utils.training import create_synthetic_training_data, cross_entropy_loss, data_iterator


@pytest.fixture(scope="module")
def samples():
    return create_synthetic_training_data(num_samples=2)


@pytest.fixture
def pipeline():
    return create_variant_calling_pipeline(reference_length=100)


def test_one_gradient_reaches_all_stages(pipeline, samples):
    (data, *_), (targets, *_) = samples
    graph, params, rest = nnx.split(pipeline, nnx.Param, ...)

    def pipeline_loss(params, data, targets):
        predictions, _, _ = nnx.merge(graph, params, rest).apply(data, {}, None)
        return cross_entropy_loss(predictions["logits"], targets["labels"])

    grads = jax.jit(jax.grad(pipeline_loss))(params, data, targets)

    assert float(grads["quality_filter"]["threshold"][...]) != 0
    assert jnp.abs(grads["classifier"]["output_layer"]["kernel"][...]).max() > 0


def test_a_factory_makes_a_pipeline_with_sensible_defaults():
    pipeline = create_variant_calling_pipeline(reference_length=1000, num_classes=3, quality_threshold=20.0)

    assert pipeline.config == VariantCallingPipelineConfig(reference_length=1000)


def test_a_configuration_gives_full_control():
    config = VariantCallingPipelineConfig(
        reference_length=1000,
        num_classes=3,
        quality_threshold=20.0,
        pileup_window_size=11,
        classifier_hidden_dim=64,
        use_quality_weights=True,
    )

    pipeline = VariantCallingPipeline(config, rngs=nnx.Rngs(seed=42))

    assert pipeline.config is config


def test_a_single_sample_gives_pileup_logits_and_probabilities(pipeline, samples):
    reads, positions, quality = (samples[0][0][key] for key in ("reads", "positions", "quality"))

    result_data, _, _ = pipeline.apply({"reads": reads, "positions": positions, "quality": quality}, {}, None)

    assert result_data["pileup"].shape == (100, 4)
    assert result_data["logits"].shape == (100, 3)
    assert result_data["probabilities"].shape == (100, 3)


def test_a_batch_of_elements_is_processed(pipeline, samples):
    elements = [Element(data=sample_data, state={}, metadata={}) for sample_data in samples[0]]

    result_batch = pipeline.apply_batch(Batch.from_elements(elements))

    assert len(result_batch) == 2
    assert result_batch.data["probabilities"].shape == (2, 100, 3)


def test_train_mode_enables_dropout_and_eval_mode_disables_it(pipeline, samples):
    data = samples[0][0]
    pipeline.train_mode()
    moving = [pipeline.apply(data, {}, None)[0]["logits"] for _ in range(2)]
    pipeline.eval_mode()
    still = [pipeline.apply(data, {}, None)[0]["logits"] for _ in range(2)]

    assert not jnp.array_equal(*moving)
    assert jnp.array_equal(*still)


def test_a_pipeline_is_made_of_three_operators_that_can_be_looked_at(pipeline, capsys):
    print(pipeline.quality_filter.threshold)
    print(pipeline.pileup.temperature)
    print(pipeline.classifier)

    assert isinstance(pipeline.quality_filter, DifferentiableQualityFilter)
    assert isinstance(pipeline.pileup, DifferentiablePileup)
    assert isinstance(pipeline.classifier, VariantClassifier)
    assert "20." in capsys.readouterr().out


def test_custom_pipelines_chain_operators(samples):
    class OfReads(OperatorModule):
        """Filters the reads of a sample, which the filter itself knows as one sequence each."""

        def __init__(self, config, *, rngs=None):
            super().__init__(config, rngs=rngs)
            self.filter = DifferentiableQualityFilter(config, rngs=rngs)

        def apply(self, data, state, metadata, random_params=None, stats=None):
            kept = self.filter.retention(data["quality"])
            return {**data, "reads": data["reads"] * kept[..., None]}, state, metadata

    class CustomPipeline(OperatorModule):
        def __init__(self, config, rngs):
            super().__init__(config, rngs=rngs)
            self.op1 = OfReads(QualityFilterConfig(), rngs=rngs)
            self.op2 = DifferentiablePileup(PileupConfig(reference_length=100), rngs=rngs)

        def apply(self, data, state, metadata, random_params=None, stats=None):
            data, state, metadata = self.op1.apply(data, state, metadata)
            data, state, metadata = self.op2.apply(data, state, metadata)
            return data, state, metadata

    custom = CustomPipeline(OperatorConfig(), nnx.Rngs(0))
    batch = Batch.from_elements([Element(data=data) for data in samples[0]])

    assert custom.apply(samples[0][0], {}, None)[0]["pileup"].shape == (100, 4)
    assert custom.apply_batch(batch).data["pileup"].shape == (2, 100, 4)
    assert "filter" in nnx.state(custom, nnx.Param)["op1"]


def test_operators_and_pipelines_agree_on_the_reference_length():
    ref_len = 1000
    pileup_config = PileupConfig(reference_length=ref_len)
    pipeline_config = VariantCallingPipelineConfig(reference_length=ref_len)

    pipeline = VariantCallingPipeline(pipeline_config, rngs=nnx.Rngs(0))

    assert pipeline.pileup.config == pileup_config


def test_training_and_evaluation_alternate(pipeline, samples):
    optimizer = nnx.Optimizer(pipeline, optax.adam(1e-3), wrt=nnx.Param)

    @nnx.jit
    def train_step(pipeline, optimizer, batch, targets):
        def loss_fn(pipeline):
            return cross_entropy_loss(pipeline.apply(batch, {}, None)[0]["logits"], targets["labels"])

        loss, grads = nnx.value_and_grad(loss_fn)(pipeline)
        optimizer.update(pipeline, grads)
        return loss

    before = float(pipeline.quality_filter.threshold[...])
    pipeline.train_mode()
    losses = [train_step(pipeline, optimizer, batch, targets) for batch, targets in data_iterator(*samples)]
    pipeline.eval_mode()

    assert all(jnp.isfinite(loss) for loss in losses)
    assert float(pipeline.quality_filter.threshold[...]) != before


def test_jit_takes_the_pipeline_as_an_argument(pipeline, samples):
    @jax.jit
    def predict(pipeline, data):
        result, _, _ = pipeline.apply(data, {}, None)
        return result["probabilities"]

    preds = predict(pipeline, samples[0][0])

    assert preds.shape == (100, 3)
    assert predict._cache_size() == 1
    predict(pipeline, samples[0][1])
    assert predict._cache_size() == 1


def test_parameters_are_saved_and_loaded(pipeline, samples, tmp_path):
    other = create_variant_calling_pipeline(reference_length=100, seed=7)

    state = nnx.state(pipeline, nnx.Param)
    with open(tmp_path / "checkpoint.pkl", "wb") as f:
        pickle.dump(state, f)
    with open(tmp_path / "checkpoint.pkl", "rb") as f:
        nnx.update(other, pickle.load(f))

    expected = pipeline.apply(samples[0][0], {}, None)[0]["logits"]
    assert jnp.array_equal(other.apply(samples[0][0], {}, None)[0]["logits"], expected)


def test_parameters_are_saved_and_loaded_without_pickle(pipeline, samples, tmp_path):
    other = create_variant_calling_pipeline(reference_length=100, seed=7)

    save_checkpoint(pipeline, tmp_path / "checkpoint.safetensors")
    load_checkpoint(other, tmp_path / "checkpoint.safetensors")

    expected = pipeline.apply(samples[0][0], {}, None)[0]["logits"]
    assert jnp.array_equal(other.apply(samples[0][0], {}, None)[0]["logits"], expected)
