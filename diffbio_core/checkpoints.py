"""Checkpoints of operators and pipelines: one safetensors file with a JSON description, no pickle.

Pipelines bring in this module; safetensors comes with the first file.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from diffbio_core.whole_file import write_whole

Module = TypeVar("Module", bound=nnx.Module)

_FORMAT = "diffbio-checkpoint-1"


def save_checkpoint(module: nnx.Module, path: str | os.PathLike[str]) -> None:
    """Write every variable of a module to a file, all of it or nothing.

    Args:
        module: Operator or pipeline.
        path: File to write; an older one is replaced.

    Raises:
        OSError: The file cannot be written.
    """
    from safetensors.numpy import save

    tensors = {name: np.asarray(value) for name, value in _variables(module).items()}
    content = save(tensors, metadata={"format": _FORMAT, "module": json.dumps(_description(module))})
    write_whole(path, content)


def load_checkpoint(module: Module, path: str | os.PathLike[str]) -> Module:
    """Fill a module with the variables of a checkpoint.

    Args:
        module: Operator or pipeline of the same shape as the one saved; changed in place only if everything fits.
        path: File that `save_checkpoint` wrote.

    Returns:
        The module.

    Raises:
        ValueError: The file is no checkpoint, or parameters differ; the message names them and their shapes.
        FileNotFoundError: There is no such file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            described = file.metadata() or {}
            saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable checkpoint: {error}") from error
    if described.get("format") != _FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this library: format {described.get('format')!r}")
    problems = _differences(_variables(module), saved)
    if problems:
        raise ValueError(f"{path} does not fit this {type(module).__name__}: " + "; ".join(problems))
    for name, variable in _variable_objects(module).items():
        variable[...] = jnp.asarray(saved[name])
    return module


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint says of the module that was saved: its class and its configuration.

    Args:
        path: File that `save_checkpoint` wrote.
    """
    from safetensors import safe_open

    with safe_open(Path(path), framework="numpy") as file:
        return json.loads((file.metadata() or {}).get("module", "{}"))


def _differences(wanted: dict[str, jax.Array], saved: dict[str, np.ndarray]) -> list[str]:
    problems = [f"{name} is missing in the checkpoint" for name in sorted(wanted.keys() - saved.keys())]
    problems += [f"{name} is not a parameter of the module" for name in sorted(saved.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & saved.keys()):
        if wanted[name].shape != saved[name].shape:
            problems.append(
                f"{name} has shape {saved[name].shape} in the checkpoint, {wanted[name].shape} in the module"
            )
        elif wanted[name].dtype != saved[name].dtype:
            problems.append(f"{name} is {saved[name].dtype} in the checkpoint, {wanted[name].dtype} in the module")
    return problems


def _variable_objects(module: nnx.Module) -> dict[str, nnx.Variable]:
    return {".".join(map(str, path)): node for path, node in nnx.iter_graph(module) if isinstance(node, nnx.Variable)}


def _variables(module: nnx.Module) -> dict[str, jax.Array]:
    return {name: variable[...] for name, variable in _variable_objects(module).items()}


def _description(module: nnx.Module) -> dict[str, Any]:
    config = getattr(module, "config", None)
    fields = dataclasses.asdict(config) if dataclasses.is_dataclass(config) and not isinstance(config, type) else {}
    return {"class": type(module).__name__, "config": fields}
