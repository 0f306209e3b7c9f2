import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.variant import CNNVariantClassifier, CNNVariantClassifierConfig
from tests.diffbio_core.read_samples import largest_difference


def small(width=7, height=5, **more):
    config = CNNVariantClassifierConfig(
        input_height=height, input_width=width, hidden_channels=(4, 8), fc_dims=(6,), **more
    )
    return CNNVariantClassifier(config, rngs=nnx.Rngs(0))


def images(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random(shape), float)


def test_logits_and_their_softmax_come_out_for_one_image_and_for_many():
    classifier = small()

    one, _, _ = classifier.apply({"pileup_image": images(5, 7, 6)}, {}, None)
    many, _, _ = classifier.apply({"pileup_image": images(2, 5, 7, 6)}, {}, None)

    assert one["logits"].shape == (3,)
    assert many["logits"].shape == (2, 3)
    assert largest_difference(many["class_probs"], jax.nn.softmax(many["logits"])) == 0
    assert classifier.num_classes == 3


@pytest.mark.parametrize("width", [1, 2, 4, 7])
@pytest.mark.parametrize("with_reference", [False, True])
def test_one_pass_over_a_long_image_gives_what_its_windows_give_one_by_one(width, with_reference):
    classifier, image = small(width), images(5, 9, 6)
    reference = jnp.eye(4)[jnp.arange(9) % 4] if with_reference else None
    ends = (width // 2, width - 1 - width // 2)
    padded = jnp.pad(image, ((0, 0), ends, (0, 0)))

    together = classifier.classify_columns(image, reference)

    for position in range(9):
        columns = slice(position, position + width)
        window = None if reference is None else jnp.pad(reference, (ends, (0, 0)))[columns]
        assert largest_difference(together[position], classifier.classify(padded[:, columns], window)) < 1e-5


def test_the_reference_changes_what_is_seen():
    classifier, image = small(), images(5, 7, 6)

    first, second = (classifier.classify(image, jnp.tile(jnp.eye(4)[base], (7, 1))) for base in (0, 1))

    assert largest_difference(first, second) > 1e-5


def test_dropout_is_drawn_in_train_mode_only():
    classifier, image = small(), images(5, 7, 6)
    still = [classifier.classify(image) for _ in range(2)]
    classifier.train_mode()
    moving = [classifier.classify(image, random_params=jax.random.key(seed)) for seed in range(4)]

    assert (still[0] == still[1]).all()
    assert len({tuple(map(float, logits)) for logits in moving}) > 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r"missing: \['pileup_image'\]"),
        ({"pileup_image": jnp.ones((5, 8, 6))}, r"pileup_image has shape \(5, 8, 6\), expected \(5, 7, 6\)"),
        ({"pileup_image": jnp.ones((5, 7, 6)), "reference_window": jnp.ones((6, 4))}, "reference_window has shape"),
    ],
)
def test_bad_input_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        small().apply(data, {}, None)


def test_configurations_without_convolutions_or_with_empty_layers_are_refused():
    with pytest.raises(ValueError, match="at least one convolution"):
        CNNVariantClassifierConfig(hidden_channels=())
    with pytest.raises(ValueError, match=r"fc_dims\[1\] must be positive"):
        CNNVariantClassifierConfig(fc_dims=(4, 0))
