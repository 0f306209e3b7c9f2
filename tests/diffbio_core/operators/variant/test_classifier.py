import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.variant import VariantClassifier, VariantClassifierConfig
from diffbio_core.operators.variant import classifier as classifier_module
from diffbio_core.operators.variant.classifier import overlapping_blocks, relative_pileup
from tests.diffbio_core.read_samples import largest_difference


@pytest.fixture
def classifier():
    return VariantClassifier(VariantClassifierConfig(hidden_dim=8, input_window=5), rngs=nnx.Rngs(0))


@pytest.fixture
def pileup():
    return jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(4), 9), float)


def test_logits_and_their_softmax_come_out(classifier, pileup):
    result, _, _ = classifier.apply({"pileup_window": pileup[:5], "name": "x"}, {}, None)

    assert result["logits"].shape == (3,)
    assert largest_difference(result["probabilities"], jax.nn.softmax(result["logits"])) < 1e-6
    assert result["name"] == "x"


@pytest.mark.parametrize("width", [1, 4, 5])
@pytest.mark.parametrize("with_reference", [False, True])
def test_all_columns_at_once_give_what_their_windows_give_one_by_one(pileup, width, with_reference):
    classifier = VariantClassifier(VariantClassifierConfig(hidden_dim=8, input_window=width), rngs=nnx.Rngs(0))
    reference = jnp.eye(4)[jnp.arange(9) % 4] if with_reference else None
    before, after = width // 2, width - 1 - width // 2

    def window(columns, position):
        return None if columns is None else jnp.pad(columns, ((before, after), (0, 0)))[position : position + width]

    together = classifier.classify_columns(pileup, reference)

    for position in range(9):
        alone = classifier.classify(window(pileup, position), window(reference, position))
        assert largest_difference(together[position], alone) < 1e-6


@pytest.mark.parametrize("block", [5, 6, 8])
def test_a_long_pileup_in_blocks_gives_what_it_gives_at_once(monkeypatch, pileup, classifier, block):
    reference = jnp.eye(4)[jnp.arange(9) % 4]
    whole = classifier.classify_columns(pileup, reference)
    monkeypatch.setattr(classifier_module, "_COLUMNS_AT_ONCE", block)

    def total(pileup):
        return (classifier.classify_columns(pileup, reference) ** 2).sum()

    assert largest_difference(classifier.classify_columns(pileup, reference), whole) < 1e-6
    assert classifier.classify_columns(pileup, random_params=jax.random.key(0)).shape == (9, 3)
    assert jnp.abs(jax.grad(total)(pileup)).min() > 0


def test_leading_axes_are_batches(classifier):
    windows = jnp.asarray(np.random.default_rng(1).random((2, 3, 5, 4)))

    logits = classifier.classify(windows)

    assert logits.shape == (2, 3, 3)
    assert largest_difference(logits[1, 2], classifier.classify(windows[1, 2])) < 1e-6


def test_the_relative_pileup_is_the_same_whatever_the_bases_are():
    fractions = jnp.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.1, 0.2], [0.2, 0.3, 0.4, 0.1]])

    relative = relative_pileup(fractions, jnp.eye(4)[jnp.array([0, 2, 3])])

    assert relative == pytest.approx(np.tile([0.1, 0.4, 0.3, 0.2], (3, 1)))


def test_the_reference_tells_a_homozygous_variant_from_none(classifier):
    window = jnp.tile(jnp.eye(4)[0], (5, 1))

    same, other = (classifier.classify(window, jnp.tile(jnp.eye(4)[base], (5, 1))) for base in (0, 1))

    assert largest_difference(same, other) > 1e-3


def test_the_number_of_hidden_layers_is_that_configured():
    classifier = VariantClassifier(VariantClassifierConfig(num_layers=4, input_window=5), rngs=nnx.Rngs(0))

    assert len(classifier.hidden_layers) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r"missing: \['pileup_window'\]"),
        ({"pileup_window": jnp.ones((7, 4))}, r"pileup_window has shape \(7, 4\), expected \(5, 4\)"),
        ({"pileup_window": jnp.ones((5, 4)), "reference_window": jnp.ones((5,))}, "reference_window has shape"),
    ],
)
def test_bad_input_is_named(classifier, data, message):
    with pytest.raises(ValueError, match=message):
        classifier.apply(data, {}, None)


@pytest.mark.parametrize("field", ["num_classes", "hidden_dim", "num_layers", "input_window"])
def test_sizes_must_be_positive(field):
    with pytest.raises(ValueError, match=f"{field} must be positive, got 0"):
        VariantClassifierConfig(**{field: 0})


@pytest.mark.parametrize(("blocks", "block", "overlap"), [(1, 3, 5), (1, 8, 0), (2, 6, 6), (4, 5, 2)])
def test_blocks_overlap_by_the_first_columns_of_the_next(blocks, block, overlap):
    columns = jnp.arange(4.0 * (blocks * block + overlap)).reshape(4, -1)
    expected = jnp.stack([columns[:, block * each : block * (each + 1) + overlap] for each in range(blocks)])

    assert jnp.array_equal(overlapping_blocks(columns, block, overlap), expected)
