"""Augmented views stay views: what is no read stays so, and each change does what it says."""

import jax
import numpy as np

from diffbio_core.candidates.views import DIFFERS, FLANK, SUPPORTS
from diffbio_core.training.augmentation import AugmentationConfig, augment_view
from diffbio_core.windows.encoding import NO_READ
from tests.diffbio_core.candidate_views import random_views

NONE = {"thinned": 0.0, "shifted": 0.0, "binned": 0.0, "second_allele": 0.0}


def augmented(views, **config):
    settings = AugmentationConfig(**{**NONE, **config})
    keys = jax.random.split(jax.random.key(0), views["length"].size)
    return jax.tree.map(np.asarray, jax.vmap(lambda view, key: augment_view(view, settings, key))(views, keys))


def test_without_any_change_a_view_stays_as_it_is():
    views = random_views(1, 8, 16)
    for name, values in augmented(views).items():
        np.testing.assert_array_equal(values, views[name])


def test_thinning_takes_whole_reads():
    views = random_views(1, 64, 16)
    found = augmented(views, thinned=1.0)
    gone = (found["group"] == 0) & (views["group"] > 0)
    assert 0.1 < gone.sum() / (views["group"] > 0).sum() < 0.6
    assert np.all(found["symbol"][gone] == NO_READ)
    kept = found["group"] > 0
    np.testing.assert_array_equal(found["symbol"][kept], views["symbol"][kept])


def test_binning_leaves_a_few_qualities():
    views = random_views(2, 16, 16)
    found = augmented(views, binned=1.0, bins=((2, 12, 23, 37),))
    assert set(np.unique(found["base_quality"][found["symbol"] != NO_READ])) == {2, 12, 23, 37}


def test_a_second_allele_takes_the_place_of_the_reference_only():
    views = random_views(3, 64, 16)
    views["length"][:] = 0
    found = augmented(views, second_allele=1.0)
    role = (views["group"].astype(int) - 1) // 2
    middle, reference = views["symbol"][:, :, FLANK], views["reference"][:, None, FLANK]
    plain = (role == DIFFERS) & (middle == reference)
    assert plain.any()
    changed = found["symbol"][:, :, FLANK]
    allele = np.broadcast_to(views["allele"][:, None, FLANK], changed.shape)
    assert np.all((changed != np.broadcast_to(reference, changed.shape))[plain])
    assert np.all((changed != allele)[plain])
    np.testing.assert_array_equal(changed[~plain], middle[~plain])
    np.testing.assert_array_equal(found["symbol"][role == SUPPORTS], views["symbol"][role == SUPPORTS])
