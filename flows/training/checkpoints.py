"""Checkpoints of a training (Orbax): whole or absent, checked when read, the last few kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np

from diffbio_flows.training.optimisation import TrainingState

logger = logging.getLogger("diffbio_flows")

KEPT = 3
"""Checkpoints that are kept besides the best one."""


@dataclass(frozen=True)
class Restored:
    """A checkpoint that was read.

    Attributes:
        state: Where training stood.
        told: What else was saved with it.
        broken: Newer checkpoints that cannot be used, and why.
    """

    state: TrainingState
    told: Mapping[str, Any]
    broken: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one work directory.

    Args:
        folder: Theirs; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        # It takes seconds to import.
        import orbax.checkpoint as ocp
        from absl import logging as absl_logging

        absl_logging.set_verbosity(absl_logging.ERROR)
        self._ocp = ocp
        self._folder = folder.absolute()
        policies = ocp.checkpoint_managers
        options = ocp.CheckpointManagerOptions(
            create=True,
            enable_async_checkpointing=False,
            best_fn=_f1,
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(KEPT),
                    policies.BestN(
                        get_metric_fn=lambda metrics: metrics["f1"], n=1, keep_checkpoints_without_metrics=False
                    ),
                ]
            ),
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def save(self, state: TrainingState, told: Mapping[str, Any], f1: float | None = None) -> None:
        """Saves a state; it appears whole or not at all, whatever ends the process.

        Args:
            state: Where training stands.
            told: What else belongs to it, of JSON's types.
            f1: Of the validation after this step, by which the best is known; None where there was none.

        Raises:
            OSError: It cannot be written.
        """
        args = self._ocp.args
        arrays = _arrays(state)
        about = {"told": dict(told), "step": state.step, "sha256": _checksum(arrays)}
        self._manager.save(
            state.step,
            args=args.Composite(state=args.StandardSave(arrays), about=args.JsonSave(about)),
            metrics=None if f1 is None else {"f1": f1},
            force=True,
        )

    def restore(self, like: TrainingState) -> Restored | None:
        """The newest checkpoint that can be used; None where there is none.

        Args:
            like: A state of the same shapes.
        """
        args = self._ocp.args
        broken: list[str] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._manager.restore(
                    step, args=args.Composite(state=args.StandardRestore(_arrays(like)), about=args.JsonRestore())
                )
                arrays, about = dict(found["state"]), found["about"]
                if about["sha256"] != _checksum(arrays):
                    raise ValueError("its arrays are not those that were saved")
                return Restored(_state(like, arrays, int(about["step"])), about["told"], tuple(broken))
            # Whatever a damaged file makes of Orbax, TensorStore and JSON.
            except Exception as error:
                why = " ".join(str(error).split())[:200] or type(error).__name__
                broken.append(f"checkpoint {self._folder / str(step)} cannot be used ({why})")
                logger.warning("%s: the one before it is taken", broken[-1])
        return None

    def forget_after(self, step: int) -> None:
        """Deletes checkpoints of later steps: broken ones, whose place the run will want."""
        for later in self._manager.all_steps():
            if later > step:
                self._manager.delete(later)

    def close(self) -> None:
        """Lets go of what Orbax holds."""
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _f1(metrics: Any) -> float:
    return metrics["f1"]


def _arrays(state: TrainingState) -> dict[str, np.ndarray]:
    leaves = jax.tree.leaves(state.optimizer)
    arrays = {"parameters": state.parameters, "average": state.average}
    arrays |= {f"optimizer_{place:03d}": leaf for place, leaf in enumerate(leaves)}
    return {name: np.asarray(value) for name, value in arrays.items()}


def _state(like: TrainingState, arrays: Mapping[str, Any], step: int) -> TrainingState:
    structure = jax.tree.structure(like.optimizer)
    names = sorted(name for name in arrays if name.startswith("optimizer_"))
    optimizer = jax.tree.unflatten(structure, [jax.numpy.asarray(arrays[name]) for name in names])
    return TrainingState(step, jax.numpy.asarray(arrays["parameters"]), jax.numpy.asarray(arrays["average"]), optimizer)


def _checksum(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.asarray(arrays[name])
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
