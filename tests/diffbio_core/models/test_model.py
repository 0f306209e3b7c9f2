"""Models on disk: written and read without loss, and refused with a reason."""

import json

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from diffbio_core.candidates.views import FLANK
from diffbio_core.models import (
    FEATURES,
    ModelError,
    default_model_path,
    load_card,
    load_model,
    model_identity,
    save_model,
)
from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
from diffbio_core.operators.allele.pileup import PILEUP_CHANNELS, SUMMARY_CHANNELS
from diffbio_core.pipelines import create_variant_calling_pipeline
from diffbio_core.pipelines.allele_calling import AlleleCallingConfig, AlleleCallingPipeline


@pytest.fixture
def pipeline():
    config = AlleleCallingConfig(classifier=AlleleClassifierConfig(channels=4, kernels=(3, 3), hidden=5))
    return AlleleCallingPipeline(config, rngs=nnx.Rngs(1))


def test_a_model_comes_back_as_it_was_saved(pipeline, tmp_path):
    save_model(tmp_path / "model", pipeline, command="diffbio train")
    loaded = load_model(tmp_path / "model")
    assert loaded.config == pipeline.config
    for saved, found in zip(jax.tree.leaves(nnx.state(pipeline)), jax.tree.leaves(nnx.state(loaded)), strict=True):
        np.testing.assert_array_equal(saved, found)
    card = load_card(tmp_path / "model")
    assert card["command"] == "diffbio train"
    assert card["num_parameters"] == sum(leaf.size for leaf in jax.tree.leaves(nnx.state(pipeline)))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"has no card\.json"):
        load_card(tmp_path)


def test_a_model_of_other_features_is_refused_with_what_differs(pipeline, tmp_path):
    save_model(tmp_path, pipeline)
    card = json.loads((tmp_path / "card.json").read_text())
    card["features"]["flank"] = 50
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="flank is 50, expected 16"):
        load_card(tmp_path)


def test_changed_parameters_are_refused(pipeline, tmp_path):
    save_model(tmp_path, pipeline)
    arrays = load_file(tmp_path / "parameters.safetensors")
    arrays["classifier.networks.0.head.bias"] += 1
    save_file(arrays, tmp_path / "parameters.safetensors")
    with pytest.raises(ModelError, match="sha256"):
        load_model(tmp_path)


def test_a_parameter_of_another_shape_is_named(pipeline, tmp_path):
    save_model(tmp_path, pipeline)
    card = json.loads((tmp_path / "card.json").read_text())
    card["config"]["classifier"]["hidden"] = 6
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"parameter classifier[.\w]+ has shape .* expected"):
        load_model(tmp_path)


@pytest.mark.parametrize(("members", "message"), [(3, "networks.2.* is missing"), (1, "networks.1.* is none of")])
def test_a_model_of_more_or_fewer_networks_is_refused(tmp_path, members, message):
    size = AlleleClassifierConfig(members=2, channels=4, kernels=(3,), hidden=5)
    save_model(tmp_path, AlleleCallingPipeline(AlleleCallingConfig(classifier=size), rngs=nnx.Rngs(0)))
    card = json.loads((tmp_path / "card.json").read_text())
    card["config"]["classifier"]["members"] = members
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path)


def test_a_pipeline_that_counts_no_copies_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"takes an AlleleCallingPipeline.*not a VariantCallingPipeline"):
        save_model(tmp_path / "model", create_variant_calling_pipeline())
    assert not (tmp_path / "model").exists()


def test_the_card_of_the_shipped_model_is_that_of_this_version():
    card = load_card(default_model_path())
    assert card["features"] == FEATURES
    assert tuple(FEATURES[name] for name in ("flank", "pileup_channels", "summary_channels")) == (
        FLANK,
        PILEUP_CHANNELS,
        SUMMARY_CHANNELS,
    )


@pytest.mark.parametrize("name", ["features", "config", "parameters_sha256"])
def test_a_model_is_another_when_anything_differs_that_its_output_depends_on(name):
    card = load_card(default_model_path())
    assert model_identity(card | {"metrics": {}, "command": ""}) == model_identity(card)
    assert model_identity(card | {name: "another"}) != model_identity(card)
