import numpy as np
import pytest

from diffbio_core.simulation.genome import diverge, draw_diverged_copies, draw_slices, random_reference
from diffbio_core.simulation.repeats import find_tracts


def test_random_reference_has_the_length_and_no_unknown_base():
    sequence = random_reference(20_000, np.random.default_rng(1))
    assert len(sequence) == 20_000
    assert sequence.max() == 3


def test_random_reference_depends_on_the_seed_alone():
    first, same, other = (random_reference(5_000, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_random_reference_holds_long_homopolymers_and_repeats_of_every_unit():
    tracts = find_tracts(random_reference(300_000, np.random.default_rng(2)))
    assert set(tracts[:, 2]) == {1, 2, 3, 4, 5}
    homopolymers = tracts[tracts[:, 2] == 1]
    assert (homopolymers[:, 1] - homopolymers[:, 0]).max() > 15


def test_random_reference_avoids_cpg():
    sequence = random_reference(100_000, np.random.default_rng(3))
    cpg = np.mean((sequence[:-1] == 1) & (sequence[1:] == 2))
    assert cpg < 0.5 * np.mean(sequence == 1) * np.mean(sequence == 2)


def test_tiny_reference_is_refused():
    with pytest.raises(ValueError, match="at least 1,000 bp long, got 10"):
        random_reference(10, np.random.default_rng(1))


def test_diverged_copy_differs_at_the_rate_asked_for():
    original = np.random.default_rng(4).integers(0, 4, 20_000).astype(np.uint8)
    copy = diverge(original, 0.02, np.random.default_rng(5))
    size = 12
    known = {original[at : at + size].tobytes() for at in range(len(original) - size + 1)}
    kept = np.mean([copy[at : at + size].tobytes() in known for at in range(len(copy) - size + 1)])
    # A k-mer survives if none of its bases is substituted or next to an indel.
    assert kept == pytest.approx((1 - 0.022) ** size, abs=0.03)


def test_no_divergence_is_an_exact_copy():
    original = np.random.default_rng(4).integers(0, 4, 1_000).astype(np.uint8)
    assert np.array_equal(diverge(original, 0.0, np.random.default_rng(5)), original)


def test_diverged_copies_come_at_the_rate_asked_for():
    reference = np.random.default_rng(6).integers(0, 4, 2_000_000).astype(np.uint8)
    copies = draw_diverged_copies(reference, 20.0, True, np.random.default_rng(7))
    assert len(copies) == pytest.approx(40, abs=18)
    assert all(copy.known and copy.copies in (1, 2) for copy in copies)
    assert all(2_000 < len(copy.sequence) < 6_400 for copy in copies)


def test_slices_are_known_sequence_in_order_and_sum_to_what_was_asked():
    codes = np.zeros(100_000, np.uint8)
    codes[30_000:40_000] = 4
    slices = draw_slices({"a": codes, "b": codes}, 50_000, np.random.default_rng(8), longest=10_000)
    assert sum(stop - start for _, start, stop in slices) == 50_000
    assert slices == sorted(slices)
    assert not any(start < 40_000 and stop > 30_000 for _, start, stop in slices)
