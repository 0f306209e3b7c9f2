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

__all__ = [
    "FEATURES",
    "ModelError",
    "default_model_path",
    "load_card",
    "load_model",
    "model_identity",
    "pipeline_config",
    "save_model",
]
