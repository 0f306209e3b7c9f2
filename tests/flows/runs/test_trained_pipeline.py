"""A pipeline trained by the library's trainer, put into ``diffbio call``."""

import itertools
import json

import pytest
from flax import nnx

from diffbio_core.models import save_model
from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
from diffbio_core.pipelines import AlleleCallingConfig, AlleleCallingPipeline
from diffbio_core.simulation.variants import VariantModel
from diffbio_core.utils.training import Trainer, TrainingConfig, cross_entropy_loss
from diffbio_flows import evaluate_calls
from diffbio_flows.training.labelled_views import Dataset, labelled_views
from diffbio_io.simulation.dataset import simulate_dataset

TINY = AlleleCallingConfig(classifier=AlleleClassifierConfig(channels=16, kernels=(3, 5), hidden=32))


def copies_loss(predictions, targets):
    return cross_entropy_loss(predictions["logits"], targets["labels"])


@pytest.mark.slow
def test_a_pipeline_that_the_trainer_trained_calls_variants(diffbio, tmp_path):
    training = simulate_dataset(
        tmp_path / "training", length=200_000, depth=25, seed=11, variants=VariantModel().scaled(6), threads=1
    )
    unseen = simulate_dataset(
        tmp_path / "unseen", length=60_000, depth=25, seed=12, variants=VariantModel().scaled(3), threads=1
    )
    views = labelled_views(Dataset.in_folder(training.reads.parent))
    pipeline = AlleleCallingPipeline(TINY, rngs=nnx.Rngs(0))
    threshold = float(pipeline.quality_filter.threshold[...])
    trainer = Trainer(pipeline, TrainingConfig(learning_rate=3e-3, num_epochs=8))
    seeds = itertools.count()
    state = trainer.train(lambda: views.batches(64, next(seeds)), copies_loss)
    assert 200 < state.step < 400
    assert state.loss_history[-1] < state.loss_history[0] / 4
    assert abs(float(pipeline.quality_filter.threshold[...]) - threshold) > 0.05

    save_model(tmp_path / "model", pipeline, trained_on="simulated reads")
    calls = tmp_path / "calls.vcf.gz"
    files = ["--reads", unseen.reads, "--reference", unseen.reference, "--output", calls]
    done = diffbio("call", *files, "--model", tmp_path / "model", "--workers", "1")
    assert done.returncode == 0
    card = json.loads(diffbio("model", "show", tmp_path / "model", "--json").stdout)
    assert card["trained_on"] == "simulated reads"
    overall = evaluate_calls(unseen.truth, calls, unseen.reference, unseen.confident).overall
    assert overall.truth_total > 150
    assert overall.f1 > 0.93
