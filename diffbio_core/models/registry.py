"""Models by name: a folder of models, and the one that is shipped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffbio_core.models.model import ModelError, default_model_path, load_card

VARIABLE = "DIFFBIO_MODELS"
"""Environment variable that names the folder of models."""

SHIPPED = "shipped"
"""Name of the model that comes with this package."""


def models_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of models: ``DIFFBIO_MODELS``, or ``diffbio/models`` in the user's data folder."""
    if environment.get(VARIABLE):
        return Path(environment[VARIABLE])
    data = environment.get("XDG_DATA_HOME")
    return (Path(data) if data else Path(environment.get("HOME", "/nonexistent")) / ".local" / "share") / (
        "diffbio/models"
    )


def find_model(name: str | os.PathLike[str] | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Folder of a model: a path where there is one of that name, else a name in the folder of models.

    What is there is not looked at: `load_card` tells what is wrong with it.

    Args:
        name: Path or name; the shipped model if not given, or given as ``shipped``.
        environment: Where to look for the folder.
    """
    if name is None:
        return default_model_path()
    path = Path(name)
    if path.exists() or len(path.parts) != 1 or str(name) in (".", ".."):
        return path
    if str(name) == SHIPPED:
        return default_model_path()
    named = models_folder(environment) / path
    return named if named.exists() else path


def list_models(environment: Mapping[str, str] = os.environ) -> dict[str, dict[str, Any] | ModelError]:
    """Cards of the shipped model and of those in the folder of models, by name; why one of them cannot be used."""
    folder = models_folder(environment)
    paths = {SHIPPED: default_model_path()}
    if folder.is_dir():
        paths |= {path.name: path for path in sorted(folder.iterdir()) if (path / "card.json").exists()}
    cards: dict[str, dict[str, Any] | ModelError] = {}
    for name, path in paths.items():
        try:
            cards[name] = load_card(path)
        except ModelError as error:
            cards[name] = error
    return cards
