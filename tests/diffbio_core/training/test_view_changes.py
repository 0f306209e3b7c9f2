"""Changed views stay views, by their seed alone; each change does what it says."""

import numpy as np

from diffbio_core.candidates.view_encoding import DIFFERS, FLANK, SUPPORTS
from diffbio_core.candidates.views import CandidateViews
from diffbio_core.training.view_changes import AugmentationConfig, change_views
from diffbio_core.windows.encoding import NO_READ
from tests.diffbio_core.candidate_views import random_views

NONE = {"thinned": 0.0, "shifted": 0.0, "binned": 0.0, "second_allele": 0.0, "one_sided": 0.0}


def changed(views, **config):
    copies = CandidateViews(**{name: values.copy() for name, values in views.items()})
    seeds = np.arange(len(copies), dtype=np.uint64) * np.uint64(977)
    change_views(copies, AugmentationConfig(**{**NONE, **config}), seeds)
    return copies.arrays()


def test_without_any_change_a_view_stays_as_it_is():
    views = random_views(1, 8, 16)
    for name, values in changed(views).items():
        np.testing.assert_array_equal(values, views[name])


def test_thinning_takes_whole_reads():
    views = random_views(1, 64, 16)
    found = changed(views, thinned=1.0)
    gone = (found["group"] == 0) & (views["group"] > 0)
    assert 0.1 < gone.sum() / (views["group"] > 0).sum() < 0.6
    assert np.all(found["symbol"][gone] == NO_READ)
    kept = found["group"] > 0
    np.testing.assert_array_equal(found["symbol"][kept], views["symbol"][kept])


def test_one_strand_loses_reads():
    views = random_views(1, 64, 16)
    found = changed(views, one_sided=1.0)
    gone = (found["group"] == 0) & (views["group"] > 0)
    strands = np.stack([(gone & ((views["group"] - 1) % 2 == strand)).any(1) for strand in (0, 1)])
    assert not strands.all(0).any()
    assert strands.any(1).all()


def test_shifts_move_all_qualities_of_a_view_alike():
    views = random_views(2, 16, 16)
    views["base_quality"][:] = np.where(views["symbol"] == NO_READ, 0, 20)
    found = changed(views, shifted=1.0)["base_quality"]
    for view, symbols in zip(found, views["symbol"], strict=True):
        assert len(set(view[symbols != NO_READ])) == 1
    assert len(set(found[views["symbol"] != NO_READ])) > 3


def test_binning_leaves_a_few_qualities():
    views = random_views(2, 16, 16)
    found = changed(views, binned=1.0, bins=((2, 12, 23, 37),))
    assert set(np.unique(found["base_quality"][found["symbol"] != NO_READ])) == {2, 12, 23, 37}


def test_a_second_allele_takes_the_place_of_the_reference_only():
    views = random_views(3, 64, 16)
    views["length"][:] = 0
    found = changed(views, second_allele=1.0)
    role = (views["group"].astype(int) - 1) // 2
    middle, reference = views["symbol"][:, :, FLANK], views["reference"][:, None, FLANK]
    plain = (role == DIFFERS) & (middle == reference)
    assert plain.any()
    new = found["symbol"][:, :, FLANK]
    allele = np.broadcast_to(views["allele"][:, None, FLANK], new.shape)
    assert np.all((new != np.broadcast_to(reference, new.shape))[plain])
    assert np.all((new != allele)[plain])
    np.testing.assert_array_equal(new[~plain], middle[~plain])
    np.testing.assert_array_equal(found["symbol"][role == SUPPORTS], views["symbol"][role == SUPPORTS])
