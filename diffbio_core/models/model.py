"""A model on disk: parameters without pickle, and a card that says what they expect and where they come from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from diffbio_core.calling.calibration import Calibration
from diffbio_core.whole_file import write_whole

FEATURES: dict[str, int] = {"version": 7, "flank": 16, "pileup_channels": 58, "summary_channels": 33}
"""What this version's views and networks hold; a model made for others is refused before any work."""

_CARD = "card.json"
_PARAMETERS = "parameters.safetensors"


class ModelError(ValueError):
    """A model folder that is incomplete, damaged or made for other features."""


def default_model_path() -> Path:
    """Folder of the shipped model."""
    return Path(__file__).parent / "default"


def load_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A model's card, with ``parameters_sha256`` as it is on disk; cheap, and does not import JAX.

    Raises:
        ModelError: No model is there, its card cannot be read, it expects other features, or its parameters are not
            those that the card was written for.
    """
    folder = Path(path)
    for name in (_CARD, _PARAMETERS):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} is not a model: it has no {name}")
    try:
        card = json.loads((folder / _CARD).read_text())
        features, expected = card["features"], card["parameters_sha256"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / _CARD} is not a model card: {error}") from error
    differing = sorted(name for name in FEATURES.keys() | features.keys() if FEATURES.get(name) != features.get(name))
    if differing:
        told = ", ".join(f"{name} is {features.get(name)}, expected {FEATURES.get(name)}" for name in differing)
        raise ModelError(f"{folder} was trained on other features: {told}")
    try:
        Calibration.from_card(card)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{folder / _CARD}: {error}") from error
    found = _sha256(folder / _PARAMETERS)
    if found != expected:
        raise ModelError(f"{folder / _PARAMETERS} has sha256 {found}, its card says {expected}")
    return card


def model_identity(card: dict[str, Any]) -> str:
    """What tells a model from every other one that computes anything else: of its features, configuration, parameters.

    Args:
        card: As `load_card` gives it.
    """
    entries = {name: card.get(name) for name in ("features", "config", "parameters_sha256")}
    if card.get("calibration") is not None:
        entries["calibration"] = card["calibration"]
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def load_model(path: str | os.PathLike[str]) -> Any:
    """The pipeline of a model folder.

    Raises:
        ModelError: What ``load_card`` refuses, or parameters of other names or shapes than its configuration makes.
    """
    import jax.numpy as jnp
    from flax import nnx
    from safetensors.numpy import load_file

    from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline

    card = load_card(path)
    config = pipeline_config(card["config"])
    graph, state = nnx.split(nnx.eval_shape(lambda: AlleleCallingPipeline(config, rngs=nnx.Rngs(0))))
    arrays = load_file(Path(path) / _PARAMETERS)
    expected = {".".join(map(str, name)): variable for name, variable in nnx.to_flat_state(state)}
    for name in sorted(expected.keys() | arrays.keys()):
        if name not in arrays:
            raise ModelError(f"{path}: parameter {name} is missing")
        if name not in expected:
            raise ModelError(f"{path}: parameter {name} is none of what its card's configuration has")
        if expected[name].shape != arrays[name].shape:
            raise ModelError(
                f"{path}: parameter {name} has shape {arrays[name].shape}, expected {expected[name].shape}"
            )
    for name, variable in expected.items():
        variable.set_value(jnp.asarray(arrays[name]))
    return nnx.merge(graph, state)


def save_model(path: str | os.PathLike[str], pipeline: Any, **card: Any) -> None:
    """Write a model folder.

    Args:
        path: The folder; made if absent.
        pipeline: An ``AlleleCallingPipeline``, from whatever trained it.
        card: What else its card should tell: training data, command, metrics.

    Raises:
        ModelError: Another pipeline: one that classifies positions says nothing of an allele's copies, which a
            genotype is made of.
    """
    from flax import nnx
    from safetensors.numpy import save

    from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline

    if not isinstance(pipeline, AlleleCallingPipeline):
        raise ModelError(
            f"diffbio call takes an AlleleCallingPipeline, which counts an allele's copies, not a "
            f"{type(pipeline).__name__}; save_checkpoint keeps other pipelines"
        )
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        ".".join(map(str, name)): np.array(variable.get_value(), order="C")
        for name, variable in nnx.to_flat_state(nnx.state(pipeline, nnx.Param))
    }
    content = save(arrays)
    # The card last: one that is not of these parameters is refused.
    write_whole(folder / _PARAMETERS, content)
    written = {
        "features": FEATURES,
        "config": dataclasses.asdict(pipeline.config),
        "num_parameters": int(sum(array.size for array in arrays.values())),
        "parameters_sha256": hashlib.sha256(content).hexdigest(),
        **card,
    }
    write_whole(folder / _CARD, json.dumps(written, indent=2) + "\n")


def pipeline_config(values: dict[str, Any]) -> Any:
    """The ``AlleleCallingConfig`` that a card's ``config`` tells."""
    from diffbio_core.candidates.limits import ViewLimits
    from diffbio_core.operators.allele.classifier import AlleleClassifierConfig
    from diffbio_core.operators.allele.quality_filter import WindowQualityFilterConfig
    from diffbio_core.pipelines.allele_calling import AlleleCallingConfig

    classifier = dict(values["classifier"])
    classifier["kernels"] = tuple(classifier["kernels"])
    nested = "classifier", "quality_filter", "limits"
    rest = {name: value for name, value in values.items() if name not in nested}
    return AlleleCallingConfig(
        quality_filter=WindowQualityFilterConfig(**values["quality_filter"]),
        classifier=AlleleClassifierConfig(**classifier),
        limits=ViewLimits(**values["limits"]),
        **rest,
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
