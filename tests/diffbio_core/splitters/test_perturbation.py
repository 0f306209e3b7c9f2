import numpy as np
import pytest

from diffbio_core.sources.perturbation import PerturbationAnnDataSource, PerturbationSourceConfig
from diffbio_core.splitters import (
    FewShotSplitter,
    FewShotSplitterConfig,
    RandomSplitter,
    RandomSplitterConfig,
    ZeroShotSplitter,
    ZeroShotSplitterConfig,
)
from tests.diffbio_core.made_up_screens import screen, written


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = written(tmp_path_factory.mktemp("screen"), screen())
    return PerturbationAnnDataSource(PerturbationSourceConfig(file_path=path, output_space="all"))


def names(source, indices, key="pert_name"):
    return {source[int(index)][key] for index in indices}


def test_a_random_split_is_disjoint_covers_all_and_has_the_fractions_asked_for():
    split = RandomSplitter(RandomSplitterConfig(train_frac=0.7, valid_frac=0.2, test_frac=0.1, seed=1)).split(range(50))

    assert (split.train_size, split.valid_size, split.test_size) == (35, 10, 5)
    assert sorted(np.concatenate(split)) == list(range(50))
    again = RandomSplitter(RandomSplitterConfig(train_frac=0.7, valid_frac=0.2, test_frac=0.1, seed=1)).process(
        range(50)
    )
    np.testing.assert_array_equal(again.test_indices, split.test_indices)


def test_what_rounding_leaves_is_no_test_set_where_none_was_asked_for():
    split = RandomSplitter(RandomSplitterConfig(train_frac=0.5, valid_frac=0.5, test_frac=0)).split(range(7))

    assert (split.train_size, split.valid_size, split.test_size) == (3, 4, 0)


def test_zero_shot_holds_out_cell_types_with_their_controls(source):
    split = ZeroShotSplitter(ZeroShotSplitterConfig(held_out_cell_types=("TypeB",), seed=2)).split(source)

    assert names(source, split.test_indices, "cell_type_name") == {"TypeB"}
    assert source.get_control_mask()[split.test_indices].sum() == 8
    assert split.test_size == 32
    assert (split.train_size, split.valid_size) == (56, 8)
    assert sorted(np.concatenate(split)) == list(range(96))


def test_few_shot_holds_out_perturbations_and_trains_on_all_controls(source):
    splitter = FewShotSplitter(FewShotSplitterConfig(held_out_perturbations=("GeneX", "GeneZ"), seed=2))

    split = splitter.split(source)

    assert names(source, split.test_indices) == {"GeneX", "GeneZ"}
    assert set(np.flatnonzero(source.get_control_mask())) <= set(split.train_indices)
    assert names(source, split.valid_indices) == {"GeneY"}
    assert sorted(np.concatenate(split)) == list(range(96))


def test_shared_controls_come_in_proportion_from_every_cell_type(source):
    config = FewShotSplitterConfig(held_out_perturbations=("GeneX",), share_controls=True, seed=0)

    split = FewShotSplitter(config).split(source)

    control, types = source.get_control_mask(), source.get_cell_type_codes()
    for part in split:
        in_part = np.isin(np.arange(96), part)
        for kind in range(3):
            of_kind = types == kind
            perturbed = np.count_nonzero(in_part & of_kind & ~control)
            controls = np.count_nonzero(in_part & of_kind & control)
            assert abs(controls - 8 * perturbed / 24) < 1 or (perturbed and controls == 1)
    assert sorted(np.concatenate(split)) == list(range(96))


def test_validation_is_thinned_where_asked(source):
    config = FewShotSplitterConfig(
        held_out_perturbations=("GeneX",), train_frac=0.5, valid_frac=0.5, test_frac=0, val_subsample_fraction=0.25
    )

    assignment = FewShotSplitter(config).assign(source)

    assert assignment.result().valid_size == 6
    assert assignment.reasons[assignment.why[assignment.split == -1][0]] == "beyond val_subsample_fraction=0.25"


def test_names_that_no_cell_has_are_told_with_what_looks_like_them(source):
    with pytest.raises(ValueError, match=r"cell_type never is 'typeb' \(is 'TypeB' meant\?\), 'Neuron'\. It is one of"):
        ZeroShotSplitter(ZeroShotSplitterConfig(held_out_cell_types=("typeb", "Neuron"))).split(source)
    with pytest.raises(ValueError, match="perturbation never is 'BRCA1'"):
        FewShotSplitter(FewShotSplitterConfig(held_out_perturbations=("BRCA1",))).split(source)


def test_a_source_that_yields_no_controls_is_split_by_the_numbers_it_yields(tmp_path):
    config = PerturbationSourceConfig(
        file_path=written(tmp_path, screen()), output_space="all", should_yield_controls=False
    )
    source = PerturbationAnnDataSource(config)

    split = ZeroShotSplitter(ZeroShotSplitterConfig(held_out_cell_types=("TypeB",))).split(source)

    assert names(source, split.test_indices, "cell_type_name") == {"TypeB"}
    assert sorted(np.concatenate(split)) == list(range(72))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (lambda: RandomSplitterConfig(train_frac=0.9), "must sum to 1"),
        (lambda: RandomSplitterConfig(train_frac=1.1, valid_frac=-0.1, test_frac=0), "train_frac"),
        (lambda: FewShotSplitterConfig(held_out_perturbations=("non-targeting",)), "names the controls"),
        (lambda: FewShotSplitterConfig(val_subsample_fraction=2), "val_subsample_fraction"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        config()


@pytest.mark.parametrize("other", ["GeneY+GeneX", "GeneX+non-targeting+GeneY"])
def test_a_perturbation_is_not_held_out_under_one_name_and_trained_on_under_another(tmp_path, other):
    path = written(tmp_path, screen(perturbations=("non-targeting", "GeneX", "GeneX+GeneY", other)))
    pairs = PerturbationAnnDataSource(PerturbationSourceConfig(file_path=path, output_space="all"))

    with pytest.raises(ValueError, match=r"the same as 'GeneX\+GeneY'\) would stay in training"):
        FewShotSplitter(FewShotSplitterConfig(held_out_perturbations=("GeneX+GeneY",))).split(pairs)

    both = FewShotSplitter(FewShotSplitterConfig(held_out_perturbations=("GeneX+GeneY", other))).split(pairs)
    assert names(pairs, both.test_indices) == {"GeneX+GeneY", other}


@pytest.mark.parametrize("splitter", [ZeroShotSplitterConfig, FewShotSplitterConfig])
def test_fractions_that_do_not_say_how_the_rest_is_divided_are_refused(splitter):
    with pytest.raises(ValueError, match="are both 0"):
        splitter(train_frac=0, valid_frac=0, test_frac=1)
