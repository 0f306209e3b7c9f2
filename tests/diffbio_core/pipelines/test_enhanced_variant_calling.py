import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from diffbio_core.pipelines import (
    EnhancedVariantCallingPipeline,
    EnhancedVariantCallingPipelineConfig,
    create_enhanced_variant_calling_pipeline,
)
from diffbio_core.typing import Batch, Element
from tests.diffbio_core.read_samples import largest_difference, read_sample


def small(**more):
    return create_enhanced_variant_calling_pipeline(
        reference_length=20, pileup_window_size=5, cnn_hidden_channels=(4, 6), cnn_fc_dims=(4,), **more
    )


@pytest.fixture
def pipeline():
    return small()


def test_the_documented_outputs_stand_beside_the_inputs(pipeline):
    data = read_sample() | {"name": "x"}

    result, _, _ = pipeline.apply(data, {}, None)

    assert all(result[key] is data[key] for key in data)
    assert result["pileup"].shape == (20, 4)
    assert result["probabilities"].shape == (20, 3)
    for key in ("quality_scores", "filter_weights"):
        assert result[key].shape == (20,)
        assert ((result[key] >= 0) & (result[key] <= 1)).all()


def test_a_random_key_may_be_passed(pipeline):
    data = read_sample()

    assert (
        largest_difference(
            pipeline.apply(data, {}, None, jax.random.key(0))[0]["logits"], pipeline.apply(data, {}, None)[0]["logits"]
        )
        == 0
    )


def test_what_is_switched_off_is_none_and_adds_nothing():
    pipeline = small(enable_preprocessing=False, enable_quality_recalibration=False)
    data = read_sample()

    result, _, _ = pipeline.apply(data, {}, None)

    assert pipeline.quality_filter is None
    assert pipeline.quality_recalibration is None
    assert result["filtered_reads"] is data["reads"]
    assert "quality_scores" not in result


def test_the_image_shows_reads_apart_that_a_pileup_adds_up(pipeline):
    both = jnp.eye(4)[jnp.array([[0] * 8, [1] * 8])]
    mixed = jnp.full((2, 8, 4), 0.5).at[..., 2:].set(0)
    base = {"positions": jnp.array([4, 4]), "quality": jnp.full((2, 8), 35.0)}

    apart, _, _ = pipeline.apply(base | {"reads": both}, {}, None)
    together, _, _ = pipeline.apply(base | {"reads": mixed}, {}, None)

    assert largest_difference(apart["pileup"], together["pileup"]) < 1e-6
    assert largest_difference(apart["logits"], together["logits"]) > 1e-4


def test_strands_are_seen(pipeline):
    data = read_sample()

    forward, reverse = (
        pipeline.apply(data | {"strand": jnp.full(12, strand)}, {}, None)[0]["logits"] for strand in (0, 1)
    )

    assert largest_difference(forward, reverse) > 1e-4


def test_ragged_samples_of_a_batch_give_what_each_gives_alone(pipeline):
    samples = [read_sample(12, 8, seed=0), read_sample(7, 6, seed=1)]

    together = pipeline.apply_batch(Batch([Element(data) for data in samples]))

    for index, data in enumerate(samples):
        alone, _, _ = pipeline.apply(data, {}, None)
        for key in ("probabilities", "quality_scores", "coverage"):
            assert largest_difference(together.data[key][index], alone[key]) < 1e-5


def test_calls_come_for_batches(pipeline):
    calls = pipeline.call_variants(Batch([Element(read_sample())]), threshold=0.9)

    assert calls["predictions"].shape == (1, 20)
    assert calls["probabilities"].shape == (1, 20, 3)


def test_gradients_reach_every_part(pipeline):
    data = read_sample() | {"reference": jnp.arange(20) % 4, "strand": jnp.arange(12) % 2}

    def loss(pipeline):
        result, _, _ = pipeline.apply(data, {}, None)
        return (result["logits"] ** 2).sum() + (result["filter_weights"] ** 2).sum()

    gradients = nnx.state(jax.jit(jax.grad(loss))(pipeline), nnx.Param)

    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


def test_defaults_are_the_documented_ones():
    config = EnhancedVariantCallingPipelineConfig()

    assert (config.reference_length, config.num_classes, config.quality_threshold) == (1000, 3, 20)
    assert (config.pileup_window_size, config.cnn_input_height, config.cnn_dropout_rate) == (11, 100, 0.1)
    assert (config.cnn_hidden_channels, config.cnn_fc_dims) == ((64, 128, 256), (256, 128))
    assert (config.quality_recal_n_components, config.quality_recal_n_features) == (3, 4)
    assert config.quality_recal_threshold == 0.5


def test_fewer_features_may_be_recalibrated_and_more_are_refused():
    config = EnhancedVariantCallingPipelineConfig(
        reference_length=20, cnn_hidden_channels=(4,), cnn_fc_dims=(4,), quality_recal_n_features=2
    )

    result, _, _ = EnhancedVariantCallingPipeline(config, rngs=nnx.Rngs(0)).apply(read_sample(), {}, None)

    assert result["quality_scores"].shape == (20,)
    with pytest.raises(ValueError, match="quality_recal_n_features must be at most 4"):
        EnhancedVariantCallingPipelineConfig(quality_recal_n_features=5)
