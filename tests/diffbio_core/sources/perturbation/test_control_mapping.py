from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.sources.perturbation.control_mapping import (
    BatchControlMapping,
    ControlMappingConfig,
    RandomControlMapping,
)


def source(control, types, batches=None, files=None):
    control = np.array(control, dtype=bool)
    zeros = np.zeros(len(control), int)
    return SimpleNamespace(
        get_control_mask=lambda: control,
        get_cell_type_codes=lambda: np.array(types),
        get_batch_codes=lambda: zeros if batches is None else np.array(batches),
        get_file_codes=lambda: zeros if files is None else np.array(files),
    )


CELLS = st.lists(st.tuples(st.booleans(), *[st.integers(0, 1)] * 3, st.integers(-1, 1)), min_size=1, max_size=60)


@given(cells=CELLS, n_basal=st.integers(1, 4), by_batch=st.booleans(), seed=st.integers(0, 3))
def test_no_pair_crosses_split_file_or_cell_type_and_none_is_missed(cells, n_basal, by_batch, seed):
    control, types, batches, files, split = map(np.array, zip(*cells, strict=True))
    control[0], split[0] = True, 0
    config = ControlMappingConfig(n_basal_samples=n_basal, seed=seed, batch_fallback=False, map_controls=True)

    mapper = BatchControlMapping if by_batch else RandomControlMapping
    mapping = mapper(config).build_mapping(source(control, types, batches, files), split)

    agree = [types, files, split, *([batches] if by_batch else [])]
    for cell, drawn in enumerate(mapping):
        pool = [
            other
            for other in np.flatnonzero(control & (split >= 0))
            if other != cell and all(labels[other] == labels[cell] for labels in agree)
        ]
        if not pool:
            assert (drawn == -1).all()
        else:
            assert set(drawn) <= set(pool)
            assert len(set(drawn)) == n_basal or len(pool) < n_basal


def test_rows_are_the_perturbed_cells_in_order():
    mapping = RandomControlMapping(ControlMappingConfig()).build_mapping(source([0, 1, 0, 1], [0, 0, 1, 1]))

    assert mapping.tolist() == [[1], [3]]


def test_a_batch_without_controls_falls_back_to_the_cell_type_unless_told_not_to():
    cells = source([1, 0, 0], [0, 0, 0], batches=[0, 0, 1])

    fallen = BatchControlMapping(ControlMappingConfig(strategy="batch")).build_mapping(cells)
    strict = BatchControlMapping(ControlMappingConfig(strategy="batch", batch_fallback=False)).build_mapping(cells)

    assert fallen.tolist() == [[0], [0]]
    assert strict.tolist() == [[0], [-1]]


def test_controls_are_drawn_evenly():
    cells = source([1] * 10 + [0] * 20_000, [0] * 20_010)

    mapping = RandomControlMapping(ControlMappingConfig(n_basal_samples=5)).build_mapping(cells)

    assert np.abs(np.bincount(mapping.ravel(), minlength=10) - 10_000).max() < 500


def test_pairing_controls_too_changes_no_perturbed_cells_pair():
    cells = source([1, 1, 1, 0, 0, 0, 0], [0] * 7)

    alone = RandomControlMapping(ControlMappingConfig(n_basal_samples=2)).build_mapping(cells)
    all_cells = RandomControlMapping(ControlMappingConfig(n_basal_samples=2, map_controls=True)).build_mapping(cells)

    np.testing.assert_array_equal(all_cells[3:], alone)


def test_a_cached_mapping_is_that_of_the_same_source_and_split():
    cells, others = source([1, 1, 0], [0, 0, 0]), source([0, 1, 1], [0, 0, 0])
    mapper = RandomControlMapping(ControlMappingConfig(cache_pairs=True))

    first = mapper.build_mapping(cells)

    assert mapper.build_mapping(cells) is first
    assert mapper.build_mapping(cells, np.array([0, 1, 1])).tolist() == [[1]]
    assert set(mapper.build_mapping(others)[0]) <= {1, 2}


def test_a_source_without_controls_is_refused():
    with pytest.raises(ValueError, match="has no control"):
        RandomControlMapping(ControlMappingConfig()).build_mapping(source([0, 0], [0, 0]))


@pytest.mark.parametrize(("fields", "field"), [({"strategy": "near"}, "strategy"), ({"n_basal_samples": 0}, "n_basal")])
def test_a_configuration_that_cannot_be_is_refused(fields, field):
    with pytest.raises(ValueError, match=field):
        ControlMappingConfig(**fields)
