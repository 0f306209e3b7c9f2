import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.preprocessing import ErrorCorrectionConfig, SoftErrorCorrection
from tests.diffbio_core.read_samples import largest_difference

SEQUENCE = jnp.eye(4)[jnp.asarray(np.random.default_rng(0).integers(0, 4, 30))]
QUALITY = jnp.asarray(np.random.default_rng(1).uniform(5, 40, 30), float)


def corrector(**config):
    return SoftErrorCorrection(ErrorCorrectionConfig(hidden_dim=8, **config), rngs=nnx.Rngs(0))


def test_an_untrained_corrector_leaves_certain_bases_nearly_as_they_are():
    result, _, _ = corrector().apply({"sequence": SEQUENCE, "quality_scores": QUALITY, "name": "x"}, {}, None)

    assert largest_difference(result["sequence"], SEQUENCE) < 0.02
    assert float(result["correction_confidence"]) > 0.98
    assert result["name"] == "x"


def test_every_base_is_a_distribution():
    soft = SEQUENCE * jnp.linspace(0, 1, 30)[:, None]

    corrected, confidence = corrector().correct(soft, QUALITY)

    assert largest_difference(corrected.sum(axis=-1), np.ones(30)) < 1e-5
    assert 0.25 <= float(confidence) <= 1


def test_many_reads_give_what_each_gives_alone():
    sequences = jnp.stack([jnp.roll(SEQUENCE, shift, axis=0) for shift in range(5)])
    quality = jnp.stack([QUALITY] * 5)

    corrected, confidence = corrector().correct(sequences, quality)

    for index in range(5):
        alone, alone_confidence = corrector().correct(sequences[index], quality[index])
        assert largest_difference(corrected[index], alone) < 1e-6
        assert largest_difference(confidence[index], alone_confidence) < 1e-6


def test_a_base_is_seen_within_its_window_only():
    changed = SEQUENCE.at[0].set(1 - SEQUENCE[0])
    operator = corrector(window_size=5)

    before, after = (operator.correct(sequence, QUALITY)[0] for sequence in (SEQUENCE, changed))

    assert largest_difference(before[1:3], after[1:3]) > 0
    assert largest_difference(before[3:], after[3:]) == 0


@pytest.mark.parametrize(("use_quality", "moves"), [(True, True), (False, False)])
def test_qualities_are_seen_only_if_configured(use_quality, moves):
    operator = corrector(use_quality=use_quality)

    first, second = (operator.correct(SEQUENCE, quality)[0] for quality in (QUALITY, QUALITY + 5))

    assert (largest_difference(first, second) > 0) is moves


def test_it_can_learn_to_correct_a_repeat():
    truth = jnp.eye(4)[jnp.arange(60) % 4]
    wrong = jax.random.bernoulli(jax.random.key(0), 0.1, (60,))
    observed = jnp.where(wrong[:, None], jnp.roll(truth, 1, axis=1), truth)
    quality = jnp.where(wrong, 8.0, 35.0)

    def loss_of(operator):
        return -(jnp.log(operator.correct(observed, quality)[0]) * truth).sum(axis=-1).mean()

    operator = corrector()
    step = jax.jit(jax.grad(loss_of))
    for _ in range(150):
        operator = jax.tree.map(lambda value, gradient: value - 0.5 * gradient, operator, step(operator))

    corrected = operator.correct(observed, quality)[0]
    assert int(wrong.sum()) >= 4
    assert (corrected.argmax(axis=-1) == truth.argmax(axis=-1)).all()


@pytest.mark.parametrize("field", ["window_size", "hidden_dim", "num_layers"])
def test_sizes_must_be_positive(field):
    with pytest.raises(ValueError, match=f"{field} must be positive"):
        ErrorCorrectionConfig(**{field: 0})
