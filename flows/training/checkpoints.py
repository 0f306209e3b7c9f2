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

from diffbio_core.whole_file import write_whole
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
        self._sums(0).parent.mkdir(parents=True, exist_ok=True)
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
        about = {"told": dict(told), "step": state.step}
        self._manager.save(
            state.step,
            args=args.Composite(state=args.StandardSave(arrays), about=args.JsonSave(about)),
            metrics=None if f1 is None else {"f1": f1},
            force=True,
        )
        write_whole(self._sums(state.step), json.dumps(_checksums(self._folder / str(state.step))))

    def restore(self, like: TrainingState) -> Restored | None:
        """The newest checkpoint that can be used; None where there is none.

        Args:
            like: A state of the same shapes.
        """
        args = self._ocp.args
        broken: list[str] = []
        self._forget_sums()
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                # Before Orbax sees it: of a damaged file its threads go on to speak after its error.
                self._check_files(step)
                found = self._manager.restore(
                    step, args=args.Composite(state=args.StandardRestore(_arrays(like)), about=args.JsonRestore())
                )
                arrays, about = dict(found["state"]), found["about"]
                return Restored(_state(like, arrays, int(about["step"])), about["told"], tuple(broken))
            # Whatever a damaged file makes of Orbax, TensorStore and JSON.
            except Exception as error:
                why = " ".join(str(error).split())[:200] or type(error).__name__
                broken.append(f"checkpoint {self._folder / str(step)} cannot be used ({why})")
                logger.warning("%s: the one before it is taken", broken[-1])
        return None

    def _sums(self, step: int) -> Path:
        return self._folder.with_name(f"{self._folder.name}.sha256") / f"{step}.json"

    def _check_files(self, step: int) -> None:
        """Raises ValueError where the files of a checkpoint are not those that were saved."""
        try:
            expected = json.loads(self._sums(step).read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError("it was not finished") from error
        found = _checksums(self._folder / str(step))
        wrong = sorted(name for name in expected if found.get(name) != expected[name])
        if wrong:
            raise ValueError(f"{wrong[0]} is missing or damaged")

    def _forget_sums(self) -> None:
        steps = {str(step) for step in self._manager.all_steps()}
        for path in self._sums(0).parent.glob("*.json"):
            if path.stem not in steps:
                path.unlink()

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


def _checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by its path within."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
