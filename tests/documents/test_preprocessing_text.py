"""What the text on preprocessing shows, up to the figures that it prints."""

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

from diffbio_core.pipelines import PreprocessingPipeline, PreprocessingPipelineConfig


@pytest.fixture(scope="module")
def simulated():
    n_reads, read_length = 100, 50
    keys = jax.random.split(jax.random.key(42), 4)
    sequences = jax.nn.one_hot(jax.random.randint(keys[0], (n_reads, read_length), 0, 4), 4)
    quality = 35 - 15 * (jnp.arange(read_length) / read_length)
    quality = quality + jax.random.normal(keys[1], (n_reads, 1)) * 3
    quality = quality + jax.random.normal(keys[2], (n_reads, read_length)) * 5
    return sequences, jnp.clip(quality, 2.0, 41.0)


def pipeline_of(threshold, **enabled):
    switched = {f"enable_{part}": enabled.get(part, False) for part in ("adapter_removal", "duplicate_weighting")}
    config = PreprocessingPipelineConfig(
        read_length=50, quality_threshold=threshold, enable_error_correction=False, **switched
    )
    return PreprocessingPipeline(config, rngs=nnx.Rngs(42))


def retention(pipeline, simulated):
    sequences, quality = simulated
    result, _, _ = pipeline.apply({"reads": sequences, "quality": quality}, {}, None)
    return result["preprocessed_reads"].sum(axis=-1)


def test_the_pipeline_gives_weights_and_attenuated_reads(simulated):
    sequences, quality = simulated
    pipeline = pipeline_of(20.0, adapter_removal=True, duplicate_weighting=True)

    result, _, _ = pipeline.apply({"reads": sequences, "quality": quality}, {}, None)
    difference = sequences.sum(axis=-1) - result["preprocessed_reads"].sum(axis=-1)

    assert result["preprocessed_reads"].shape == (100, 50, 4)
    assert 0 <= result["read_weights"].min() <= result["read_weights"].max() == 1
    assert ((difference >= -1e-6) & (difference <= 1)).all()
    assert difference[quality < 15].mean() > 0.9 > 0.1 > difference[quality > 30].mean()


def test_gradients_of_the_retained_signal(simulated):
    pipeline = pipeline_of(20.0, adapter_removal=True, duplicate_weighting=True)

    loss, grads = nnx.value_and_grad(lambda pipeline: -retention(pipeline, simulated).mean())(pipeline)

    assert -1 < float(loss) < -0.5
    assert float(grads.quality_filter.threshold[...]) > 0
    assert f"{loss:.4f}".startswith("-0.")


def test_a_strict_threshold_learns_to_let_go(simulated):
    quality = simulated[1]
    pipeline = pipeline_of(35.0)
    high, low = (quality > 30).astype(float), (quality < 15).astype(float)

    def loss_of(pipeline):
        kept = retention(pipeline, simulated)
        return ((1 - kept) * high).mean() + (kept * low).mean()

    optimizer = nnx.Optimizer(pipeline, optax.adam(learning_rate=1.0), wrt=nnx.Param)
    losses, thresholds = [], []
    for _ in range(50):
        loss, grads = nnx.value_and_grad(loss_of)(pipeline)
        optimizer.update(pipeline, grads)
        losses.append(float(loss))
        thresholds.append(float(pipeline.quality_filter.threshold[...]))

    assert [f"{loss:.4f}" for loss in losses[::10]] == ["0.1986", "0.0007", "0.0000", "0.0001", "0.0001"]
    assert [f"{value:.2f}" for value in thresholds[::10]] == ["34.00", "25.20", "21.47", "20.03", "19.50"]
    assert f"{thresholds[-1]:.2f}" == "19.36"


@pytest.mark.parametrize(
    ("threshold", "mean", "high_kept", "low_filtered"),
    [(35.0, "0.154", "43.7%", "100.0%"), (19.36, "0.858", "100.0%", "99.7%")],
)
def test_what_the_first_and_the_learned_threshold_keep(simulated, threshold, mean, high_kept, low_filtered):
    quality, kept = simulated[1], retention(pipeline_of(threshold), simulated)
    high, low = quality > 30, quality < 15

    assert f"{float(kept.mean()):.3f}" == mean
    assert f"{float((kept * high).sum() / high.sum()):.1%}" == high_kept
    assert f"{float(1 - (kept * low).sum() / low.sum()):.1%}" == low_filtered


def test_each_step_can_be_switched():
    full = PreprocessingPipelineConfig(read_length=50)
    minimal = PreprocessingPipelineConfig(
        read_length=50,
        enable_adapter_removal=False,
        enable_duplicate_weighting=False,
        enable_error_correction=False,
    )

    for config, switched_on in ((full, True), (minimal, False)):
        pipeline = PreprocessingPipeline(config, rngs=nnx.Rngs(0))
        parts = (pipeline.adapter_removal, pipeline.duplicate_weighting, pipeline.error_correction)
        assert [part is not None for part in parts] == [switched_on] * 3
