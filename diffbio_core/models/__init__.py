"""Trained models of the caller: folders with ``parameters.safetensors`` and ``card.json``; ``default`` is shipped."""

from diffbio_core.models.model import (
    FEATURES,
    ModelError,
    default_model_path,
    load_card,
    load_model,
    model_identity,
    pipeline_config,
    save_model,
)
from diffbio_core.models.registry import find_model, list_models, models_folder

__all__ = [
    "FEATURES",
    "ModelError",
    "default_model_path",
    "find_model",
    "list_models",
    "load_card",
    "load_model",
    "model_identity",
    "models_folder",
    "pipeline_config",
    "save_model",
]
