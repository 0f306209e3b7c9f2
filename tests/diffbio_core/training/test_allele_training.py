"""Training moves thresholds and networks together, and comes to what the labels say."""

import dataclasses

import numpy as np
import pytest

from diffbio_core.candidates.view_encoding import FLANK
from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
from diffbio_core.pipelines.allele_calling import AlleleCallingConfig
from diffbio_core.training.allele_training import AlleleTrainingConfig, train_alleles
from tests.diffbio_core.candidate_views import random_views

PIPELINE = AlleleCallingConfig(classifier=AlleleClassifierConfig(members=2, channels=8, kernels=(3, 3), hidden=16))
TRAINING = AlleleTrainingConfig(epochs=6, batch_size=64, held_out=0.1, average=0.9, warm_up=5)


@pytest.fixture(scope="module")
def labelled():
    """Views whose label is the share of reads that show the allele, in thirds."""
    views, random = random_views(0, 960, 16), np.random.default_rng(1)
    labels = np.arange(960) % 3
    shows = random.random((960, 16)) < labels[:, None] / 2
    strand = random.integers(0, 2, shows.shape)
    group = np.where(views["group"] > 0, 1 + 2 * ~shows + strand, 0).astype(np.uint8)
    views["symbol"][:, :, FLANK] = np.where(group > 0, np.where(shows, 1, 0), views["symbol"][:, :, FLANK])
    return {**views, "group": group}, labels.astype(np.int8)


@pytest.fixture(scope="module")
def trained(labelled):
    reports = []
    pipeline, last = train_alleles(*labelled, PIPELINE, TRAINING, reports.append, report_every=20)
    return pipeline, last, reports


def test_held_out_candidates_are_told_apart(trained):
    _, last, _ = trained
    assert last.held_out_accuracy > 0.85


def test_the_quality_threshold_moves(trained):
    pipeline, _, _ = trained
    assert abs(float(pipeline.quality_filter.threshold[...]) - 10) > 1e-3


def test_every_member_learns(trained, labelled):
    pipeline, _, _ = trained
    views, labels = labelled
    right = np.zeros(2)
    for candidate in range(60):
        view = {name: values[candidate] for name, values in views.items()}
        members = np.asarray(pipeline.apply(view, {}, None)[0]["member_logits"])
        right += members.argmax(1) == labels[candidate]
    assert np.all(right / 60 > 0.8)


def test_progress_is_told_as_asked_and_at_the_end(trained):
    _, last, reports = trained
    assert [report.step for report in reports] == [20, 40, 60, 80, 81]
    assert reports[-1] == last
    assert reports[-1].loss < reports[0].loss


def test_the_same_seed_trains_the_same_model(labelled):
    short = dataclasses.replace(TRAINING, epochs=1)
    results = [train_alleles(*labelled, PIPELINE, short)[1].held_out_loss for _ in range(2)]
    assert results[0] == results[1]
