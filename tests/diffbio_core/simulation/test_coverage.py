import numpy as np
import pytest

from diffbio_core.simulation.coverage import BIN, bin_weights, depth_field, draw_fragments
from diffbio_core.simulation.sequencing import SequencingModel

EVEN = SequencingModel(unevenness=0.0, gc_bias=0.0, duplicates=0.0, chimeras=0.0)


def balanced(length: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, length).astype(np.uint8)


def fragments_of(sequence: np.ndarray, model: SequencingModel, depth: float = 30.0, bins=None):
    weights = bin_weights(sequence, np.ones(1), model)
    bins = bins or (0, len(weights))
    return draw_fragments(len(sequence), weights, bins, depth, model, np.random.default_rng(2))


def test_number_of_fragments_gives_the_depth():
    sequence = balanced(200_000)
    fragments = fragments_of(sequence, EVEN)
    assert 2 * EVEN.read_length * len(fragments.start) / len(sequence) == pytest.approx(30.0, rel=0.03)


def test_fragments_lie_inside_the_sequence():
    fragments = fragments_of(balanced(3_000), SequencingModel(chimeras=0.5))
    assert fragments.start.min() >= 0
    assert (fragments.start + fragments.length).max() <= 3_000
    joined = fragments.partner >= 0
    assert joined.any()
    assert (fragments.partner + fragments.length)[joined].max() <= 3_000


def test_fragment_lengths_have_the_mean_and_deviation():
    fragments = fragments_of(balanced(400_000), EVEN)
    assert fragments.length.mean() == pytest.approx(EVEN.fragment_mean, rel=0.02)
    assert fragments.length.std() == pytest.approx(EVEN.fragment_deviation, rel=0.05)


def test_fragments_start_in_their_bins():
    fragments = fragments_of(balanced(20_000), EVEN, bins=(50, 70))
    assert fragments.start.min() >= 50 * BIN
    assert fragments.start.max() < 70 * BIN


def test_unknown_sequence_gives_no_fragments():
    assert len(fragments_of(np.full(5_000, 4, np.uint8), EVEN).start) == 0


def test_depth_falls_at_extreme_gc_content():
    model = SequencingModel(gc_bias=1.0)
    sequence = np.concatenate([balanced(10_000), np.full(10_000, 1, np.uint8)])
    weights = bin_weights(sequence, np.ones(1), model)
    assert weights[150] < 0.2 * weights[50]


def test_duplicates_come_at_their_rate():
    fragments = fragments_of(balanced(200_000), SequencingModel(duplicates=0.1))
    assert fragments.times.mean() == pytest.approx(1.1, abs=0.02)


def test_depth_field_is_flat_without_unevenness_and_spread_with_it():
    assert np.all(depth_field(10_000, EVEN, np.random.default_rng(3)) == 1.0)
    field = depth_field(2_000_000, SequencingModel(unevenness=0.2), np.random.default_rng(3))
    assert np.log(field).std() == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize("length", [1, 100, 250, 400])
def test_a_sequence_of_few_bins_has_a_weight_for_each(length):
    weights = bin_weights(balanced(length), np.ones(1), EVEN)
    np.testing.assert_allclose(weights, np.ones(-(-length // BIN)))
