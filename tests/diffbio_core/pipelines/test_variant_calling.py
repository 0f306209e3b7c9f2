import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.constants import ClassifierType
from diffbio_core.operators.variant import CNNVariantClassifier, VariantClassifier, VariantClassifierConfig
from diffbio_core.pipelines import (
    VariantCallingPipeline,
    VariantCallingPipelineConfig,
    create_cnn_variant_pipeline,
    create_variant_calling_pipeline,
)
from diffbio_core.typing import Batch, Element
from tests.diffbio_core.read_samples import largest_difference, read_sample


@pytest.fixture(params=["mlp", "cnn"])
def pipeline(request):
    return create_variant_calling_pipeline(reference_length=20, hidden_dim=8, classifier_type=request.param)


@pytest.fixture
def mlp():
    return create_variant_calling_pipeline(reference_length=20, hidden_dim=8)


def test_the_outputs_stand_beside_the_inputs(pipeline):
    data = read_sample() | {"sample": "NA12878"}

    result, state, metadata = pipeline.apply(data, {"s": 1}, {"m": 2})

    assert all(result[key] is data[key] for key in data)
    assert result["pileup"].shape == (20, 4)
    assert result["logits"].shape == result["probabilities"].shape == (20, 3)
    assert largest_difference(result["probabilities"], jax.nn.softmax(result["logits"])) < 1e-6
    assert (state, metadata) == ({"s": 1}, {"m": 2})


def test_reads_are_filtered_by_the_sigmoid_of_their_quality(mlp):
    data = read_sample()
    expected = data["reads"] / (1 + jnp.exp(20 - data["quality"]))[..., None]

    result, _, _ = mlp.apply(data, {}, None)

    assert largest_difference(result["filtered_reads"], expected) < 1e-6
    assert result["filtered_quality"] is data["quality"]


def test_the_pileup_is_that_of_the_filtered_reads(mlp):
    data = read_sample()

    result, _, _ = mlp.apply(data, {}, None)
    piled, _, _ = mlp.pileup.apply(data | {"reads": result["filtered_reads"]}, {}, None)

    assert largest_difference(result["pileup"], piled["pileup"]) < 1e-6


def test_ragged_samples_of_a_batch_give_what_each_gives_alone(pipeline):
    samples = [read_sample(12, 8, seed=0), read_sample(7, 6, seed=1), read_sample(12, 5, seed=2)]

    together = pipeline.apply_batch(Batch([Element(data) for data in samples]))

    for index, data in enumerate(samples):
        alone, _, _ = pipeline.apply(data, {}, None)
        for key in ("pileup", "probabilities"):
            assert largest_difference(together.data[key][index], alone[key]) < 1e-5


def test_the_reference_may_be_codes_or_one_hot(pipeline):
    data, codes = read_sample(), jnp.arange(20) % 5

    as_codes, _, _ = pipeline.apply(data | {"reference": codes}, {}, None)
    as_one_hot, _, _ = pipeline.apply(data | {"reference": jax.nn.one_hot(codes, 4)}, {}, None)
    without, _, _ = pipeline.apply(data, {}, None)

    assert largest_difference(as_codes["logits"], as_one_hot["logits"]) < 1e-6
    assert largest_difference(as_codes["logits"], without["logits"]) > 1e-3


class Scripted(VariantCallingPipeline):
    """Gives the probabilities that stand in the data."""

    def apply(self, data, state, metadata, random_params=None, stats=None):
        return {**data, "pileup": jnp.zeros((3, 4))}, state, metadata


@pytest.mark.parametrize(
    ("threshold", "predictions", "positions"),
    [(0.5, [0, 1, 0], [1]), (0.3, [0, 1, 2], [1, 2]), (0.8, [0, 0, 0], []), (0.0, [1, 1, 2], [0, 1, 2])],
)
def test_a_class_other_than_reference_is_called_where_its_probability_reaches_the_threshold(
    threshold, predictions, positions
):
    pipeline = Scripted(VariantCallingPipelineConfig(reference_length=3))
    data = read_sample(reference_length=20, read_length=2) | {
        "positions": jnp.zeros(12, jnp.int32),
        "probabilities": jnp.array([[0.8, 0.1, 0.1], [0.25, 0.75, 0.0], [0.5, 0.1, 0.4]]),
    }

    calls = pipeline.call_variants(Batch([Element(data)]), threshold)

    assert calls["predictions"].tolist() == [predictions]
    assert [found.tolist() for found in calls["variant_positions"]] == [positions]


def test_calls_come_for_batches_and_for_one_sample_without_dropout(mlp):
    mlp.train_mode()
    data = read_sample()

    of_batch = mlp.call_variants(Batch([Element(data), Element(data)]))
    of_one = mlp.call_variants(data)
    mlp.eval_mode()
    expected, _, _ = mlp.apply(data, {}, None)

    assert of_batch["predictions"].shape == (2, 20)
    assert of_batch["pileup"].shape == (2, 20, 4)
    assert largest_difference(of_batch["probabilities"][0], expected["probabilities"]) < 1e-6
    assert largest_difference(of_one["probabilities"][0], expected["probabilities"]) < 1e-6


def test_a_threshold_outside_0_to_1_is_refused(mlp):
    with pytest.raises(ValueError, match=r"threshold must lie between 0 and 1, got 1\.5"):
        mlp.call_variants(read_sample(), threshold=1.5)


def test_train_mode_draws_dropout_for_each_sample_of_a_batch(mlp):
    batch = Batch([Element(read_sample()), Element(read_sample(seed=1))])
    still = mlp.apply_batch(batch).data["logits"]
    mlp.train_mode()
    first, second = (mlp.apply_batch(batch).data["logits"] for _ in range(2))
    mlp.eval_mode()

    assert largest_difference(first, still) > 0
    assert largest_difference(first, second) > 0
    assert largest_difference(mlp.apply_batch(batch).data["logits"], still) == 0


def test_modes_reach_every_part(mlp):
    for switch, expected in (
        (mlp.train_mode, False),
        (mlp.eval_mode, True),
        (lambda: mlp.set_training(True), False),
        (mlp.eval, True),
        (mlp.train, False),
    ):
        switch()
        assert mlp.classifier.dropout.deterministic is mlp.deterministic is expected


def test_the_classifier_may_be_replaced_by_one_of_another_window_and_other_classes(mlp):
    mlp.classifier = VariantClassifier(
        VariantClassifierConfig(num_classes=4, hidden_dim=16, input_window=7), rngs=nnx.Rngs(1)
    )
    batch = Batch([Element(read_sample())])

    assert mlp.apply(read_sample(), {}, None)[0]["probabilities"].shape == (20, 4)
    assert mlp.apply_batch(batch).data["logits"].shape == (1, 20, 4)
    assert mlp.call_variants(batch)["probabilities"].shape == (1, 20, 4)


def test_thresholds_and_temperatures_take_effect_when_assigned(mlp):
    data = read_sample()
    before = mlp.apply(data, {}, None)[0]
    mlp.quality_filter.threshold[...] = 35.0
    mlp.pileup.temperature[...] = 0.1
    after = mlp.apply(data, {}, None)[0]

    assert after["filtered_reads"].sum() < before["filtered_reads"].sum()
    assert after["pileup"].max() > before["pileup"].max()


def test_gradients_reach_the_threshold_and_every_weight_that_is_used(pipeline):
    data = read_sample() | {"reference": jnp.arange(20) % 4}

    def loss(pipeline):
        return (pipeline.apply(data, {}, None)[0]["logits"] ** 2).sum()

    gradients = nnx.state(jax.jit(jax.grad(loss))(pipeline), nnx.Param)

    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


def test_factories_set_what_they_are_told():
    pipeline = create_variant_calling_pipeline(50, 4, 25.0, 16, ClassifierType.MLP, 7, False, 1)
    cnn = create_cnn_variant_pipeline(50, cnn_hidden_channels=[8], cnn_fc_dims=[6])

    assert pipeline.config.pileup_window_size == pipeline.classifier.config.input_window == 7
    assert pipeline.config.apply_pileup_softmax is pipeline.pileup.config.apply_softmax is False
    assert float(pipeline.quality_filter.threshold[...]) == 25
    assert pipeline.classifier.config.num_classes == 4
    assert isinstance(cnn.classifier, CNNVariantClassifier)
    assert cnn.config.cnn_hidden_channels == (8,)
    assert pipeline.deterministic
    assert cnn.deterministic


def test_the_cnn_factory_keeps_fractions_and_tells_coverage_and_quality():
    pipeline = create_cnn_variant_pipeline(20, pileup_window_size=5, cnn_hidden_channels=[4], cnn_fc_dims=[4])
    data = {
        "reads": jnp.eye(4)[jnp.array([[0, 1, 2], [0, 1, 3]])],
        "positions": jnp.array([2, 2]),
        "quality": jnp.array([[30.0, 40, 40], [40, 40, 40]]),
    }

    batch = pipeline.apply_batch(Batch([Element(data)])).data.get_value()

    assert batch["coverage"].shape == batch["mean_quality"].shape == (1, 20, 1)
    assert batch["coverage"][0, :6, 0].tolist() == [0, 0, 2, 2, 2, 0]
    assert batch["mean_quality"][0, 2, 0] == pytest.approx(35)
    assert batch["pileup"][0, 2] == pytest.approx(np.array([1, 0, 0, 0]), abs=1e-4)
    assert batch["pileup"][0, 0].tolist() == [0, 0, 0, 0]
    assert "coverage" not in create_variant_calling_pipeline(20).apply(data, {}, None)[0]


def test_rngs_of_a_stream_called_seed_are_enough():
    pipeline = VariantCallingPipeline(VariantCallingPipelineConfig(), rngs=nnx.Rngs(seed=42))

    assert pipeline.classifier.input_layer.kernel.shape == (44, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reads": jnp.ones((12, 8, 5))}, r"reads has shape \(12, 8, 5\), expected \(num_reads, read_length, 4\)"),
        ({"strand": jnp.ones(3)}, r"strand has shape \(3,\), expected \(num_reads=12,\)"),
        ({"reference": jnp.ones((19, 4))}, r"reference has shape \(19, 4\), expected \(20, 4\)"),
        ({"reference": jnp.ones(21, int)}, r"reference has shape \(21,\), expected \(20,\)"),
        ({"quality": jnp.full((12, 8), jnp.nan)}, "quality of shape"),
        ({"positions": jnp.full(12, 25)}, "hold 25"),
    ],
)
def test_bad_input_is_named_for_a_sample_and_for_a_batch(mlp, change, message):
    data = read_sample() | change

    with pytest.raises(ValueError, match=message):
        mlp.apply(data, {}, None)
    with pytest.raises(ValueError, match=message.replace(r"\(12,", r"\((?:1, )?12,")):
        mlp.apply_batch(Batch([Element(data)]))


def test_bad_configurations_are_named():
    with pytest.raises(ValueError, match="pileup_window_size must be positive"):
        VariantCallingPipelineConfig(pileup_window_size=0)
    with pytest.raises(ValueError, match="'tree' is not a valid ClassifierType"):
        create_variant_calling_pipeline(classifier_type="tree")


def test_scanning_a_batch_gives_what_vmap_gives():
    batch = Batch([Element(read_sample(seed=seed)) for seed in range(3)])
    results = [
        VariantCallingPipeline(
            VariantCallingPipelineConfig(reference_length=20, classifier_hidden_dim=8, batch_strategy=strategy),
            rngs=nnx.Rngs(0),
        ).apply_batch(batch)
        for strategy in ("vmap", "scan")
    ]

    assert largest_difference(results[0].data["logits"], results[1].data["logits"]) < 1e-5
    assert np.isfinite(results[0].data["logits"]).all()
