"""Every operator under jit, vmap and grad, and its gradients against finite differences in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators import DifferentiableQualityFilter, QualityFilterConfig
from diffbio_core.operators.mapping import NeuralReadMapper, NeuralReadMapperConfig
from diffbio_core.operators.preprocessing import (
    AdapterRemovalConfig,
    DifferentiableDuplicateWeighting,
    DuplicateWeightingConfig,
    ErrorCorrectionConfig,
    SoftAdapterRemoval,
    SoftErrorCorrection,
)
from diffbio_core.operators.variant import (
    CNNVariantClassifier,
    CNNVariantClassifierConfig,
    DifferentiablePileup,
    PileupConfig,
    SoftVariantQualityFilter,
    VariantClassifier,
    VariantClassifierConfig,
    VariantQualityFilterConfig,
)
from diffbio_core.pipelines import (
    EnhancedVariantCallingPipeline,
    EnhancedVariantCallingPipelineConfig,
    PreprocessingPipeline,
    PreprocessingPipelineConfig,
    VariantCallingPipeline,
    VariantCallingPipelineConfig,
)
from tests.diffbio_core.read_samples import largest_difference, read_sample

LENGTH = 20
READ = {"sequence": (16, 4), "quality_scores": (16,)}
READS = {"reads": (12, 8, 4), "quality": (12, 8)}


def reads_sample(seed):
    return read_sample(12, 8, LENGTH, seed)


def random_sample(shapes):
    def sample(seed):
        generator = np.random.default_rng(seed)
        scale = {"quality": 40, "quality_scores": 40}
        return {key: jnp.asarray(generator.random(shape) * scale.get(key, 1), float) for key, shape in shapes.items()}

    return sample


# operator, its inputs, the output to look at
CASES = {
    "quality filter": (DifferentiableQualityFilter, QualityFilterConfig(), random_sample(READ), "sequence"),
    "adapter removal": (SoftAdapterRemoval, AdapterRemovalConfig(), random_sample(READ), "sequence"),
    "duplicate embedding": (
        DifferentiableDuplicateWeighting,
        DuplicateWeightingConfig(embedding_dim=6),
        random_sample(READ),
        "embedding",
    ),
    "error correction": (SoftErrorCorrection, ErrorCorrectionConfig(hidden_dim=6), random_sample(READ), "sequence"),
    "pileup": (
        DifferentiablePileup,
        PileupConfig(reference_length=LENGTH, temperature=0.5, learnable_temperature=True),
        reads_sample,
        "pileup",
    ),
    "raw pileup": (
        DifferentiablePileup,
        PileupConfig(reference_length=LENGTH, apply_softmax=False, return_quality=True),
        reads_sample,
        "pileup",
    ),
    "mean quality": (
        DifferentiablePileup,
        PileupConfig(reference_length=LENGTH, return_quality=True),
        reads_sample,
        "mean_quality",
    ),
    "classifier": (
        VariantClassifier,
        VariantClassifierConfig(hidden_dim=6, input_window=5),
        random_sample({"pileup_window": (5, 4), "reference_window": (5, 4)}),
        "logits",
    ),
    "CNN classifier": (
        CNNVariantClassifier,
        CNNVariantClassifierConfig(input_height=3, input_width=5, hidden_channels=(4, 4), fc_dims=(4,)),
        random_sample({"pileup_image": (3, 5, 6), "reference_window": (5, 4)}),
        "logits",
    ),
    "recalibration": (
        SoftVariantQualityFilter,
        VariantQualityFilterConfig(),
        random_sample({"variant_features": (5, 4)}),
        "filter_weights",
    ),
    "mapper": (
        NeuralReadMapper,
        NeuralReadMapperConfig(embedding_dim=8, num_heads=2, num_layers=2),
        random_sample({"read": (3, 7, 4), "reference": (3, 12, 4)}),
        "alignment_scores",
    ),
    "variant calling": (
        VariantCallingPipeline,
        VariantCallingPipelineConfig(reference_length=LENGTH, classifier_hidden_dim=6, pileup_window_size=5),
        reads_sample,
        "logits",
    ),
    "variant calling with a CNN": (
        VariantCallingPipeline,
        VariantCallingPipelineConfig(
            reference_length=LENGTH,
            classifier_type="cnn",
            pileup_window_size=5,
            cnn_hidden_channels=(3, 4),
            cnn_fc_dims=(4,),
            cnn_input_height=4,
        ),
        reads_sample,
        "logits",
    ),
    "enhanced variant calling": (
        EnhancedVariantCallingPipeline,
        EnhancedVariantCallingPipelineConfig(
            reference_length=LENGTH,
            pileup_window_size=5,
            cnn_hidden_channels=(3, 4),
            cnn_fc_dims=(4,),
            cnn_input_height=4,
        ),
        reads_sample,
        "filter_weights",
    ),
    "preprocessing": (
        PreprocessingPipeline,
        PreprocessingPipelineConfig(error_correction_hidden_dim=6),
        random_sample(READS),
        "preprocessed_reads",
    ),
}


@pytest.fixture(params=CASES, ids=[name.replace(" ", "_") for name in CASES])
def case(request):
    kind, config, sample, output = CASES[request.param]
    return kind(config, rngs=nnx.Rngs(0)), sample, output


def outputs(operator, data, output):
    return operator.apply(data, {}, None)[0][output]


applied = jax.jit(outputs, static_argnames="output")


def test_jit_gives_what_the_operator_gives(case):
    operator, sample, output = case
    data = sample(0)
    assert largest_difference(applied(operator, data, output), outputs(operator, data, output)) < 1e-4


def test_vmap_gives_what_each_sample_gives(case):
    operator, sample, output = case
    samples = [sample(seed) for seed in range(2)]
    stacked = {key: np.stack([data[key] for data in samples]) for key in samples[0]}

    together = jax.jit(jax.vmap(lambda data: outputs(operator, data, output)))(stacked)

    for index, data in enumerate(samples):
        assert largest_difference(together[index], applied(operator, data, output)) < 1e-4


def test_gradients_agree_with_finite_differences(case):
    operator, sample, output = case
    step = 1e-6
    with jax.enable_x64(True):
        generator = np.random.default_rng(5)
        leaves, structure = jax.tree.flatten(jax.device_get((operator, sample(0))))
        leaves = [leaf.astype(float) if np.issubdtype(leaf.dtype, np.floating) else leaf for leaf in leaves]
        parameters = len(jax.tree.leaves(operator))
        # Off the initial zeros: a rectifier has no derivative where an empty cell meets a bias of zero.
        leaves[:parameters] = [leaf + 0.05 * generator.random(leaf.shape) for leaf in leaves[:parameters]]
        places = [place for place, leaf in enumerate(leaves) if np.issubdtype(leaf.dtype, np.floating)]
        point = [leaves[place] for place in places]
        direction = [generator.normal(size=leaf.shape) for leaf in point]
        shape = jax.eval_shape(lambda tree: outputs(*tree, output), jax.tree.unflatten(structure, leaves)).shape
        weights = generator.normal(size=shape)

        def value(floats):
            every = list(leaves)
            for place, leaf in zip(places, floats, strict=True):
                every[place] = leaf
            return (outputs(*jax.tree.unflatten(structure, every), output) * weights).sum()

        def moved(floats, distance):
            return [leaf + distance * change for leaf, change in zip(floats, direction, strict=True)]

        @jax.jit
        def slopes(floats):
            steps = jax.lax.map(lambda distance: value(moved(floats, distance)), jnp.array([step, -step]))
            return (steps[0] - steps[1]) / (2 * step), jax.jvp(value, (floats,), (direction,))[1]

        difference, forward = slopes(point)
        gradient = jax.device_get(jax.jit(jax.grad(value))(point))
        reverse = sum((slope * change).sum() for slope, change in zip(gradient, direction, strict=True))
    assert float(forward) == pytest.approx(float(difference), rel=1e-5, abs=1e-5)
    assert float(reverse) == pytest.approx(float(forward), rel=1e-9)


def test_grad_under_vmap_is_the_gradient_of_each_sample(case):
    operator, sample, output = case
    samples = [jax.device_get(sample(seed)) for seed in range(2)]

    def value(operator, data):
        return (outputs(operator, data, output) ** 2).sum()

    gradient = jax.jit(lambda operator, data: nnx.state(jax.grad(value)(operator, data), nnx.Param))
    together = jax.jit(lambda operator, data: nnx.state(
        jax.grad(lambda operator: jax.vmap(value, (None, 0))(operator, data).sum())(operator), nnx.Param
    ))(operator, {key: np.stack([data[key] for data in samples]) for key in samples[0]})  # fmt: skip

    alone = [gradient(operator, data) for data in samples]
    for summed, first, second in zip(
        *(jax.tree.leaves(jax.device_get(tree)) for tree in (together, *alone)), strict=True
    ):
        assert np.abs(summed - (first + second)).max() < 1e-3 * max(1, np.abs(summed).max())
