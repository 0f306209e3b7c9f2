import numpy as np
import pytest
import scipy.sparse

from diffbio_core.sources.matrix import DenseCounts, SparseCounts
from diffbio_core.sources.perturbation.scale import (
    generate_onehot_map,
    is_discrete_counts,
    is_log_transformed,
    looks_logarithmic,
    split_perturbations_by_cell_fraction,
)

COUNTS = np.random.default_rng(0).poisson(3.0, (50, 20)).astype(float)


def test_counts_are_told_from_logarithms():
    assert is_discrete_counts(COUNTS)
    assert is_discrete_counts(scipy.sparse.csr_matrix(COUNTS))
    assert not is_discrete_counts(np.log1p(COUNTS))
    assert is_log_transformed(np.log1p(COUNTS))
    assert not is_log_transformed(10 * COUNTS)


@pytest.mark.parametrize(
    ("values", "said", "expected"),
    [
        (COUNTS, None, False),
        (np.log1p(COUNTS), None, True),
        (1e4 * COUNTS / COUNTS.sum(axis=1, keepdims=True), None, False),
        (COUNTS, True, True),
        (np.zeros((3, 3)), None, False),
    ],
)
def test_shallow_counts_are_no_logarithms(values, said, expected):
    assert looks_logarithmic(DenseCounts(values), said) is expected
    assert looks_logarithmic(SparseCounts(scipy.sparse.csr_matrix(values)), said) is expected


def test_onehot_vectors_are_in_sorted_order():
    assert {key: value.tolist() for key, value in generate_onehot_map(["b", "a", "b"]).items()} == {
        "a": [1, 0],
        "b": [0, 1],
    }


def test_perturbations_for_validation_hold_about_the_fraction_asked_for():
    groups = {f"p{number}": np.arange(10 + number) for number in range(20)}

    train, valid = split_perturbations_by_cell_fraction(groups, 0.3, np.random.default_rng(0))

    assert sorted(train + valid) == sorted(groups)
    held = sum(len(groups[name]) for name in valid)
    assert abs(held - 0.3 * 390) <= 14
