"""Labelled views of a dataset."""

import functools

import numpy as np
import pytest

from diffbio_core.training.labels import UNKNOWN
from diffbio_core.windows.grid import WindowGrid
from diffbio_flows.training.labelled_views import TRAINING_ROWS, Dataset, LabelledViews, labelled_views
from diffbio_io.reference import Reference
from diffbio_io.variants.truth import GenotypedVcf


@pytest.fixture(scope="module")
def numbered():
    """Ten views whose length tells which they are, and labels."""
    return LabelledViews({"length": np.arange(10, dtype=np.int32)}, np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], np.int8))


def test_batches_hold_every_candidate_once_with_its_label(numbered):
    found = []
    for views, targets in numbered.batches(4, seed=1):
        assert views["length"].shape == targets["labels"].shape == (4,)
        found += [pair for pair in zip(views["length"], targets["labels"], strict=True) if pair[1] != UNKNOWN]
    assert sorted(found) == list(enumerate(numbered.labels))
    assert [number for number, _ in found] != sorted(number for number, _ in found)


def test_the_seed_decides_on_the_order(numbered):
    orders = [[tuple(views["length"]) for views, _ in numbered.batches(5, seed)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_a_batch_size_that_is_not_positive_is_refused(numbered):
    with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
        next(numbered.batches(0))


def test_the_last_batch_is_filled_with_unknown_labels(numbered):
    *_, (views, targets) = numbered.batches(4)
    assert (targets["labels"] == UNKNOWN).tolist() == [False, False, True, True]
    assert views["length"].shape == (4,)


def test_joined_sets_stand_one_behind_the_other(numbered):
    joined = LabelledViews.joined([numbered, numbered])
    assert joined.views["length"].tolist() == 2 * list(range(10))
    assert joined.labels.tolist() == 2 * numbered.labels.tolist()
    assert joined.labels.dtype == np.int8


@pytest.fixture(scope="module")
def dataset(individual):
    return Dataset.in_folder(individual.reads.parent)


@pytest.fixture(scope="module")
def simulated(dataset):
    return labelled_views(dataset)


def test_the_views_of_a_dataset_hold_nearly_all_of_its_truth(dataset, simulated):
    truth, number = GenotypedVcf(dataset.truth), 0
    with Reference(dataset.reference) as reference:
        for contig in truth.contigs:
            for variant in truth.variants(contig, functools.partial(reference.sequence, contig)):
                number += len(set(variant.alleles) - {variant.ref})
    copies = np.bincount(simulated.labels, minlength=3)
    assert set(simulated.labels) == {0, 1, 2}
    assert 0.85 * number < copies[1] + copies[2] < 1.1 * number
    assert all(len(values) == simulated.labels.size for values in simulated.views.values())
    assert simulated.views["group"].shape[1] == TRAINING_ROWS


def test_views_and_labels_do_not_depend_on_the_windows(dataset, simulated):
    other = labelled_views(dataset, WindowGrid(8192, 512, 4))
    np.testing.assert_array_equal(other.labels, simulated.labels)
    for name in ("reference", "allele", "length", "tract", "crowd", "rival"):
        np.testing.assert_array_equal(other.views[name], simulated.views[name])


def test_nothing_outside_the_confident_intervals_is_taken(dataset, simulated, tmp_path):
    bed = tmp_path / "part.bed"
    contigs = sorted(GenotypedVcf(dataset.truth).contigs)
    bed.write_text(f"{contigs[0]}\t1000\t9000\n")
    part = labelled_views(Dataset(dataset.reads, dataset.reference, dataset.truth, bed))
    assert 0 < part.labels.size < simulated.labels.size / 8
    bed.write_text(f"{contigs[0]}\t1000\t1001\n")
    assert labelled_views(Dataset(dataset.reads, dataset.reference, dataset.truth, bed)).labels.size <= 3
