"""Simulated samples hold what their labels say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_core.utils.synthetic_data import (
    INDEL,
    REFERENCE,
    SNV,
    create_realistic_training_data,
    create_synthetic_training_data,
)


def test_labels_of_simulated_data_stand_in_the_reads():
    inputs, targets = create_realistic_training_data(
        10, 40, 20, 60, variant_rate=0.1, heterozygous_rate=0.0, error_rate=0.0
    )
    for data, target in zip(inputs, targets, strict=True):
        columns = np.asarray(data["positions"])[:, None] + np.arange(20)
        labels = np.asarray(target["labels"])[columns]
        bases, alleles = np.asarray(data["reads"]), np.asarray(target["variant_alleles"])[columns]
        reference = np.asarray(data["reference"]).argmax(axis=-1)[columns]

        assert (bases[labels == 2] == 0.25).all()
        assert (bases[labels != 2].argmax(axis=-1) == alleles[labels != 2]).all()
        assert (alleles[labels == 1] != reference[labels == 1]).all()
        assert (alleles[labels == 0] == reference[labels == 0]).all()


def test_half_of_the_reads_show_a_heterozygous_variant_and_errors_come_at_their_rate():
    inputs, targets = create_realistic_training_data(
        20, 100, 50, 60, variant_rate=0.2, heterozygous_rate=1.0, error_rate=0.02
    )
    shown, wrong = [], []
    for data, target in zip(inputs, targets, strict=True):
        columns = np.asarray(data["positions"])[:, None] + np.arange(50)
        labels = np.asarray(target["labels"])[columns]
        bases = np.asarray(data["reads"]).argmax(axis=-1)
        shown.append((bases == np.asarray(target["variant_alleles"])[columns])[labels == 1])
        wrong.append((bases != np.asarray(data["reference"]).argmax(axis=-1)[columns])[labels == 0])

    assert np.concatenate(shown).mean() == pytest.approx(0.5, abs=0.03)
    assert np.concatenate(wrong).mean() == pytest.approx(0.02, abs=0.003)


def test_simulated_data_has_the_documented_shapes_and_ranges():
    inputs, targets = create_synthetic_training_data(2, 3, 10, 20)

    assert len(inputs) == len(targets) == 2
    assert {key: array.shape for key, array in inputs[0].items()} == {
        "reads": (3, 10, 4),
        "positions": (3,),
        "quality": (3, 10),
        "strand": (3,),
        "reference": (20, 4),
    }
    assert {key: array.shape for key, array in targets[0].items()} == dict.fromkeys(
        ("labels", "variant_alleles", "is_heterozygous"), (20,)
    )
    assert jnp.issubdtype(targets[0]["labels"].dtype, jnp.integer)
    assert ((inputs[0]["quality"] >= 5) & (inputs[0]["quality"] <= 40)).all()
    with pytest.raises(ValueError, match="read_length must be at most reference_length"):
        create_synthetic_training_data(read_length=30, reference_length=20)


def test_the_seed_decides_the_samples():
    first, same, other = (create_synthetic_training_data(2, 6, 8, 20, seed=seed) for seed in (1, 1, 2))

    assert all((a == b).all() for a, b in zip(*map(jax.tree.leaves, (first, same)), strict=True))
    assert (first[0][0]["reads"] != other[0][0]["reads"]).any()
    assert (first[0][0]["reads"] != first[0][1]["reads"]).any()


def test_variants_come_at_their_rate_and_a_third_are_deletions():
    _, targets = create_realistic_training_data(20, 1, 5, 1000, variant_rate=0.3, heterozygous_rate=0.25)
    labels = np.stack([target["labels"] for target in targets])
    heterozygous = np.stack([target["is_heterozygous"] for target in targets])

    assert (labels != REFERENCE).mean() == pytest.approx(0.3, abs=0.015)
    assert (labels == INDEL).sum() / (labels != REFERENCE).sum() == pytest.approx(1 / 3, abs=0.03)
    assert heterozygous[labels != REFERENCE].mean() == pytest.approx(0.25, abs=0.03)
    assert not heterozygous[labels == REFERENCE].any()


def test_the_reads_of_a_sample_show_two_haplotypes():
    inputs, targets = create_realistic_training_data(
        5, 30, 40, 40, variant_rate=0.3, heterozygous_rate=1.0, error_rate=0.0
    )
    for data, target in zip(inputs, targets, strict=True):
        snvs = np.asarray(target["labels"]) == SNV
        shown = np.asarray(data["reads"]).argmax(-1)[:, snvs] == np.asarray(target["variant_alleles"])[snvs]
        first, second = np.unique(shown, axis=0)
        assert (first != second).all()


def test_qualities_are_highest_in_the_middle_and_errors_come_where_they_are_low():
    inputs, _ = create_realistic_training_data(20, 50, 51, 60, variant_rate=0.0, error_rate=0.05)
    quality = np.stack([data["quality"] for data in inputs])
    wrong = []
    for data in inputs:
        at = np.asarray(data["positions"])[:, None] + np.arange(51)
        wrong.append(np.asarray(data["reads"]).argmax(-1) != np.asarray(data["reference"]).argmax(-1)[at])
    wrong = np.stack(wrong)

    assert quality[..., 25].mean() == pytest.approx(35, abs=0.5)
    assert quality[..., [0, -1]].mean() == pytest.approx(23, abs=0.5)
    assert wrong[quality < 25].mean() > 3 * wrong[quality > 30].mean() > 0


def test_reads_are_sorted_lie_on_the_reference_and_have_both_strands():
    inputs, _ = create_synthetic_training_data(3, 200, 10, 20)
    for data in inputs:
        positions = np.asarray(data["positions"])
        assert (np.diff(positions) >= 0).all()
        assert set(positions) == set(range(11))
        assert set(np.asarray(data["strand"])) == {0, 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": 0}, "num_samples must be positive, got 0"),
        ({"num_reads": -1}, "num_reads must be positive, got -1"),
        ({"read_length": 0}, "read_length must be positive"),
        ({"variant_rate": 1.5}, "variant_rate must lie between 0 and 1, got 1.5"),
        ({"heterozygous_rate": -0.1}, "heterozygous_rate must lie between 0 and 1"),
        ({"error_rate": float("nan")}, "error_rate must lie between 0 and 1, got nan"),
        ({"read_length": 101}, "read_length must be at most reference_length, got 101 and 100"),
    ],
)
def test_impossible_settings_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        create_realistic_training_data(**change)
