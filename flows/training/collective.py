"""Training as one program over several processes: JAX sees the devices of all, and sums gradients inside the step.

Each process reads its leaves of a batch, as a worker does when the leader adds up; the sum over processes, and the
update that follows from it, are one compiled step. After each run of steps the first process writes where training
stands; the leader measures and saves it. A group of which a process dies is started anew from there.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from diffbio_cluster.executor import Device, Executor, TaskFailedError
from diffbio_cluster.process_group import GroupBrokenError, ProcessGroup
from diffbio_core.training.gradient_tree import split_leaves
from diffbio_core.whole_file import whole_file, write_whole
from diffbio_flows.runs.run_log import LOGGER
from diffbio_flows.training.optimisation import Optimisation, OptimisationConfig, TrainingState
from diffbio_flows.training.plan import load_plan

MOST_STARTS = 4
"""Starts of a group that may fail one after the other without a state in between."""

_POLL_SECONDS = 0.3
_FOLDER = "collective"
_STATE = "parameters", "average", "optimizer"
_ORDER, _STEPS, _FAULT, _LOGS = "order.json", "steps.jsonl", "fault.json", "logs"


@dataclass(frozen=True)
class GroupOrder:
    """What the processes of a group are asked for.

    Attributes:
        work: The run's work directory.
        plan: What tells its plan.
        size: Processes.
        stops: Steps after which to write where training stands, in order.
        steps: Of the whole training.
        learning_rate: See `OptimisationConfig`.
    """

    work: str
    plan: str
    size: int
    stops: tuple[int, ...]
    steps: int
    learning_rate: float


class CollectiveSteps:
    """The leader's side.

    Args:
        executor: On whose workers processes are started.
        order: What of them is asked, but for size and stops.
        stops: Steps after which the leader wants to know where training stands.
        device: See `ProcessGroup`.
        warn: Told of groups that broke.
    """

    def __init__(
        self,
        executor: Executor,
        order: GroupOrder,
        stops: Sequence[int],
        *,
        device: Device | None,
        warn: Callable[[str], None],
    ) -> None:
        self._executor, self._order, self._stops = executor, order, stops
        self._device: Device | None = device
        self._warn = warn
        self._folder = Path(order.work) / _FOLDER
        self._group: ProcessGroup | None = None
        self._read = 0

    def run(self, state: TrainingState, stop: int, each: Callable[[Mapping[str, Any]], None]) -> TrainingState:
        """The state after step ``stop``.

        Args:
            state: Where training stands.
            stop: One of ``stops``.
            each: Told of every step.

        Raises:
            TaskFailedError: A process failed, or groups broke again and again.
            ClusterLostError: No worker is left.
        """
        told = state.step
        for start in range(MOST_STARTS):
            try:
                if self._group is None:
                    self._start(state)
                    assert self._group is not None
                while not _state_path(self._folder, stop).exists():
                    done = self._group.is_done()
                    told = self._tell(told, each)
                    if done and not _state_path(self._folder, stop).exists():
                        raise GroupBrokenError(0, f"the group ended before step {stop}")
                    time.sleep(_POLL_SECONDS)
                self._tell(told, each)
                return _load_state(_state_path(self._folder, stop), state, stop)
            except GroupBrokenError as error:
                self.close()
                self._refuse_fault()
                if start + 1 == MOST_STARTS:
                    words = self._last_words(error.place)
                    what = f"{error}, {MOST_STARTS} times in a row" + (f"; it said last: {words}" if words else "")
                    raise TaskFailedError("the process group", what) from error
                self._warn(f"{error}; the group starts anew from step {state.step}")
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Ends the processes."""
        group, self._group = self._group, None
        if group is not None:
            group.__exit__(None, None, None)

    def _start(self, state: TrainingState) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._read = 0
        workers = self._executor.gpu_workers if self._device == "GPU" else self._executor.workers
        plan = load_plan(self._order.work, self._order.plan)
        size = max(1, min(workers, plan.shape.leaves))
        stops = tuple(step for step in self._stops if step > state.step)
        order = {**asdict(self._order), "size": size, "stops": stops}
        _save_state(_state_path(self._folder, state.step), state)
        write_whole(self._folder / _ORDER, json.dumps({**order, "start": state.step}))

        def command(place: int, address: str) -> list[str]:
            return [sys.executable, "-m", "diffbio_flows.training.member", str(self._folder), str(place), address]

        LOGGER.info("a group of %d processes starts at step %d", size, state.step)
        group = ProcessGroup(
            self._executor, uuid.uuid4().hex[:12], size, command, self._folder / _LOGS, device=self._device
        )
        self._group = group.__enter__()

    def _tell(self, told: int, each: Callable[[Mapping[str, Any]], None]) -> int:
        for entry in self._new_entries():
            if entry["step"] > told:
                each(entry)
                told = entry["step"]
        return told

    def _new_entries(self) -> Iterator[Mapping[str, Any]]:
        path = self._folder / _STEPS
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written
                self._read += len(line)
                yield json.loads(line)

    def _last_words(self, place: int) -> str:
        """The last line that a process of the group has written."""
        try:
            lines = (self._folder / _LOGS / f"{place}.log").read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:200]

    def _refuse_fault(self) -> None:
        """Raises what a process says of itself, which another start would not mend."""
        path = self._folder / _FAULT
        if path.exists():
            fault = json.loads(path.read_bytes())
            raise TaskFailedError(fault["task"], fault["cause"])


def fault_path(folder: Path) -> Path:
    """Where a process says why it failed."""
    return folder / _FAULT


def group_size(folder: Path) -> int:
    """Processes of the group."""
    return json.loads((folder / _ORDER).read_bytes())["size"]


def run_member(folder: Path, place: int) -> None:
    """What one process of a group does, once it is part of it.

    Args:
        folder: Of the group.
        place: Of the process.
    """
    told = json.loads((folder / _ORDER).read_bytes())
    start = told.pop("start")
    order = GroupOrder(**{**told, "stops": tuple(told["stops"])})
    member = _Member(order, place)
    state = _load_state(_state_path(folder, start), member.like, start)
    # As arrays of no device, they are taken for the same in all processes.
    state = replace(state, **{name: jax.tree.map(np.asarray, getattr(state, name)) for name in _STATE})
    for stop in order.stops:
        while state.step < stop:
            state, entry = member.step(state)
            if place == 0:
                with (folder / _STEPS).open("a") as file:
                    file.write(json.dumps(entry) + "\n")
        if place == 0:
            _save_state(_state_path(folder, stop), state)


class _Member:
    """A process's part of every step.

    Args:
        order: What is asked for.
        place: Of the process.
    """

    def __init__(self, order: GroupOrder, place: int) -> None:
        from flax import nnx
        from jax.experimental import multihost_utils
        from jax.flatten_util import ravel_pytree
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline
        from diffbio_core.training.allele_objective import AlleleObjective
        from diffbio_flows.training.leaves import CHUNK
        from diffbio_flows.training.reading import WindowReader

        plan = load_plan(order.work, order.plan)
        self._schedule, self._chunk = plan.schedule, CHUNK
        self._leaves = split_leaves(plan.shape.leaves, order.size)[place]
        self._reader = WindowReader(plan, held=2 * plan.shape.leaves * (plan.shape.open_pieces + 1))
        self._gather = multihost_utils.process_allgather
        self._optimisation = Optimisation.of(OptimisationConfig(learning_rate=order.learning_rate), order.steps)
        objective = AlleleObjective(AlleleCallingPipeline(plan.pipeline, rngs=nnx.Rngs(0)))
        vector, unravel = ravel_pytree(objective.parameters)
        self.like = self._optimisation.start(np.asarray(vector))
        mesh = Mesh(np.array(jax.devices()), ("data",))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._split = NamedSharding(mesh, PartitionSpec("data"))

        def loss(parameters: jax.Array, views: Any, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
            return objective(unravel(parameters), views, labels)

        def of_device(parameters: jax.Array, number: jax.Array, views: Any, labels: jax.Array) -> jax.Array:
            """Sums over a device's chunks, and from there over all devices."""
            # As values of each device's own, so that gradients are summed once, and not in every turn of the loop.
            parameters = jax.lax.pcast(parameters, ("data",), to="varying")

            def add(at: jax.Array, total: jax.Array) -> jax.Array:
                chunk = {name: values[0, at] for name, values in views.items()}
                (lost, weight), gradient = jax.value_and_grad(loss, has_aux=True)(parameters, chunk, labels[0, at])
                return total + jax.numpy.concatenate([gradient, jax.numpy.stack([lost, weight])])

            zeros = jax.lax.pcast(jax.numpy.zeros(vector.size + 2, vector.dtype), ("data",), to="varying")
            return jax.lax.psum(jax.lax.fori_loop(0, number[0], add, zeros), "data")

        summed = jax.shard_map(
            of_device,
            mesh=mesh,
            in_specs=(PartitionSpec(), *[PartitionSpec("data")] * 3),
            out_specs=PartitionSpec(),
        )

        def step(
            at: Any, parameters: Any, average: Any, optimizer: Any, number: Any, views: Any, labels: Any
        ) -> tuple[Any, Any]:
            total = summed(parameters, number, views, labels)
            return self._optimisation.traced(at, parameters, average, optimizer, total), total[-1]

        self._step = jax.jit(step, out_shardings=self._everywhere)

    def step(self, state: TrainingState) -> tuple[TrainingState, dict[str, Any]]:
        """The next state, the same in every process, and what the step log says of it.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        from diffbio_flows.training.reading import Examples

        begun = time.perf_counter()
        wanted = [self._schedule.leaf(state.step, place) for place in self._leaves]
        examples = Examples.joined([self._reader.leaf(leaf) for leaf in wanted])
        read = time.perf_counter()
        devices = jax.local_device_count()
        chunks = -(-len(examples) // self._chunk)
        shares = [len(range(device, chunks, devices)) for device in range(devices)]
        # All processes must offer arrays of one shape; few shapes, since each is compiled for.
        most, windows = self._agreed(max(shares), sum(len(leaf.windows) for leaf in wanted))
        gathered = time.perf_counter()
        rows = 1 << (most - 1).bit_length()
        filled = examples.filled(devices * rows * self._chunk)
        arrays = (np.array(shares, np.int32), filled.views, filled.labels.astype(np.int32))
        number, views, labels = jax.tree.map(lambda values: self._dealt(values, devices, rows), arrays)
        held = state.step, state.parameters, state.average, state.optimizer
        (made, average), weight = self._step(*held, number, views, labels)
        state, loss, norm = self._optimisation.checked(state.step, made, average)
        ended = time.perf_counter()
        return state, {
            "step": state.step,
            "loss": loss,
            "gradient_norm": norm,
            "candidates": int(weight),
            "windows_per_second": windows / (ended - begun),
            "read": read - begun,
            "computed": ended - gathered,
            "waited": gathered - read,
            "reduced": 0.0,
            "workers": jax.process_count(),
        }

    def _agreed(self, most: int, windows: int) -> tuple[int, int]:
        """Largest number of chunks of a device, and all windows, over all processes."""
        found = np.asarray(self._gather(np.array([most, windows]))).reshape(-1, 2)
        return max(1, int(found[:, 0].max())), int(found[:, 1].sum())

    def _dealt(self, values: np.ndarray, devices: int, rows: int) -> jax.Array:
        """This process's part of an array with an entry per device; chunks are dealt to devices in turn."""
        if values.shape != (devices,):
            values = values.reshape(rows, devices, self._chunk, *values.shape[1:]).swapaxes(0, 1)
        shape = (jax.device_count(), *values.shape[1:])
        return jax.make_array_from_process_local_data(self._split, np.ascontiguousarray(values), shape)


def _state_path(folder: Path, step: int) -> Path:
    return folder / f"state-{step}.npz"


def _save_state(path: Path, state: TrainingState) -> None:
    leaves = jax.tree.leaves([getattr(state, name) for name in _STATE])
    with whole_file(path) as aside, aside.open("wb") as file:
        np.savez(file, *map(np.asarray, leaves))


def _load_state(path: Path, like: TrainingState, step: int) -> TrainingState:
    with np.load(path, allow_pickle=False) as found:
        leaves = [jax.numpy.asarray(found[name]) for name in found.files]
    structure = jax.tree.structure([getattr(like, name) for name in _STATE])
    return TrainingState(step, *jax.tree.unflatten(structure, leaves))
