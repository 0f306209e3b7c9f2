import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.pipelines import PreprocessingPipeline, PreprocessingPipelineConfig, create_preprocessing_pipeline
from diffbio_core.typing import Batch, Element
from tests.diffbio_core.read_samples import largest_difference, read_sample


def sample(num_reads=6, read_length=30, seed=0):
    data = read_sample(num_reads, read_length, read_length, seed)
    return {"reads": data["reads"], "quality": data["quality"]}


@pytest.fixture
def pipeline():
    return create_preprocessing_pipeline(read_length=30)


def test_the_documented_outputs_stand_beside_the_inputs(pipeline):
    data = sample() | {"positions": jnp.arange(6)}

    result, _, _ = pipeline.apply(data, {}, None)

    assert all(result[key] is data[key] for key in data)
    assert result["preprocessed_reads"].shape == (6, 30, 4)
    assert result["preprocessed_quality"] is data["quality"]
    assert result["read_weights"].shape == (6,)
    assert result["read_weights"].max() == 1


def test_with_everything_else_switched_off_reads_are_filtered_by_quality_only():
    pipeline = create_preprocessing_pipeline(
        quality_threshold=30.0,
        enable_adapter_removal=False,
        enable_duplicate_weighting=False,
        enable_error_correction=False,
    )
    data = sample()

    result, _, _ = pipeline.apply(data, {}, None)

    expected = data["reads"] * jax.nn.sigmoid(data["quality"] - 30)[..., None]
    assert largest_difference(result["preprocessed_reads"], expected) < 1e-6
    assert (result["read_weights"] == 1).all()
    assert pipeline.adapter_removal is pipeline.duplicate_weighting is pipeline.error_correction is None


def test_copies_weigh_less_and_adapters_are_trimmed():
    bases = np.random.default_rng(0).integers(0, 4, (4, 40))
    bases[3] = bases[2]
    bases[0, 20:32] = ["ACGT".index(base) for base in "AGATCGGAAGAG"]
    pipeline = create_preprocessing_pipeline(enable_error_correction=False)

    result, _, _ = pipeline.apply({"reads": jnp.eye(4)[bases], "quality": jnp.full((4, 40), 38.0)}, {}, None)

    assert result["read_weights"].tolist() == pytest.approx([1, 1, 0.5, 0.5], abs=0.02)
    assert (result["preprocessed_reads"][0, :20].sum(axis=-1) > 0.9).all()
    assert (result["preprocessed_reads"][0, 20:].sum(axis=-1) < 0.1).all()


def test_ragged_samples_of_a_batch_give_what_each_gives_alone(pipeline):
    samples = [sample(6, 30, seed=0), sample(4, 30, seed=1)]

    together = pipeline.apply_batch(Batch([Element(data) for data in samples]))

    for index, data in enumerate(samples):
        alone, _, _ = pipeline.apply(data, {}, None)
        num_reads = len(data["reads"])
        for key in ("preprocessed_reads", "read_weights"):
            assert largest_difference(together.data[key][index][:num_reads], alone[key]) < 1e-5
            assert (together.data[key][index][num_reads:] == 0).all()


def test_gradients_reach_every_learnable_part(pipeline):
    data = sample()
    copied = {key: jnp.concatenate([array, array[:2]]) for key, array in data.items()}
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(8, 30, 4)))

    def loss(pipeline):
        result, _, _ = pipeline.apply(copied, {}, None)
        return (result["preprocessed_reads"] * weights).sum() + (result["read_weights"] * jnp.arange(8)).sum()

    gradients = jax.jit(jax.grad(loss))(pipeline)

    for parameter in (
        gradients.quality_filter.threshold,
        gradients.adapter_removal.match_threshold,
        gradients.duplicate_weighting.similarity_threshold,
        gradients.error_correction.output_layer.kernel,
    ):
        assert jnp.abs(parameter[...]).max() > 0


def test_defaults_are_the_documented_ones():
    config = PreprocessingPipelineConfig()

    assert (config.read_length, config.adapter_sequence, config.quality_threshold) == (150, "AGATCGGAAGAG", 20)
    assert (config.adapter_match_threshold, config.adapter_temperature) == (0.8, 1)
    assert config.duplicate_similarity_threshold == 0.95
    assert (config.error_correction_window, config.error_correction_hidden_dim) == (11, 64)
    assert config.enable_adapter_removal is config.enable_duplicate_weighting is config.enable_error_correction is True


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"reads": jnp.ones((2, 3, 4))}, r"missing: \['quality'\]"),
        ({"reads": jnp.ones((2, 3)), "quality": jnp.ones((2, 3))}, r"reads has shape \(2, 3\)"),
        ({"reads": jnp.ones((2, 3, 4)), "quality": jnp.full((2, 3), jnp.nan)}, "NaN"),
    ],
)
def test_bad_input_is_named(pipeline, data, message):
    with pytest.raises(ValueError, match=message):
        pipeline.apply(data, {}, None)


def test_a_read_length_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="read_length must be positive"):
        PreprocessingPipeline(PreprocessingPipelineConfig(read_length=0), rngs=nnx.Rngs(0))
