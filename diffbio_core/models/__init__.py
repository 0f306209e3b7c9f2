"""Trained models of the caller: a folder with ``parameters.safetensors`` and a JSON card; the shipped one is beside this file."""

from diffbio_core.models.model import (
    FEATURES,
    ModelError,
    default_model_path,
    load_card,
    load_model,
    save_model,
)

__all__ = ["FEATURES", "ModelError", "default_model_path", "load_card", "load_model", "save_model"]
