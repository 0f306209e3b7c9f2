"""What one thread of a worker holds between shards: open files, memory for planes, window stores.

None of it may be used by two threads at once, so every thread has its own. Models are the exception: what is compiled
and loaded is only read, and all threads of a process share it.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from diffbio_core.windows.planes import PlaneBuffers
from diffbio_flows.shards.message import ShardTask
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.files.state import FileChangedError
from diffbio_io.reference import Reference
from diffbio_io.store.store import WindowStore

if TYPE_CHECKING:
    from diffbio_core.calling.call_stage import CallStage

# Two runs may share a worker's threads, whose shards then come in turn.
_RUNS = 2


class Session:
    """What a thread holds. Nothing is opened before a task needs it, so a worker that only decodes loads no model.

    Attributes:
        buffers: Memory for the planes of one shard at a time.
    """

    def __init__(self) -> None:
        self.buffers = PlaneBuffers()
        self._files = lru_cache(maxsize=_RUNS)(_open_files)
        self._store = lru_cache(maxsize=_RUNS)(WindowStore)

    def files(self, task: ShardTask, seen: object) -> tuple[Reference, AlignmentReader]:
        """Reference and reads of a task, opened anew where their state is another.

        Args:
            task: The task.
            seen: What tells this state of the files on this machine, see `unchanged`.
        """
        return self._files(task.reads, task.reference, task.work, (task.inputs, seen))

    def store(self, task: ShardTask) -> WindowStore:
        """The window store that a task fills.

        Raises:
            ValueError: It fills none.
        """
        if task.store is None:
            raise ValueError(f"the task of shard {task.name} names no store")
        return self._store(task.store, task.grid)

    def windows(self, task: ShardTask) -> WindowStore:
        """The window store that a task takes its windows from.

        Raises:
            ValueError: It takes them from none.
        """
        if task.windows is None:
            raise ValueError(f"the task of shard {task.name} names no window store to read")
        return self._store(task.windows, task.grid)

    def call_stage(self, task: ShardTask) -> CallStage:
        """The call stage of a task's model.

        Raises:
            FileChangedError: The model's folder holds another model than the one that the run began with.
        """
        return load_call_stage(task.model, task.model_identity)


def load_call_stage(model: str, identity: str) -> CallStage:
    """The call stage of a model, which all threads of this process share.

    Raises:
        FileChangedError: The model's folder holds another model than the one that is asked for.
    """
    with _loading:
        return _call_stage(model, identity)


def session() -> Session:
    """The session of the thread that asks."""
    try:
        return _thread.session
    except AttributeError:
        _thread.session = Session()
        return _thread.session


_thread = threading.local()
_loading = threading.Lock()


def _open_files(reads: str, reference: str, work: str, state: object) -> tuple[Reference, AlignmentReader]:
    fasta = Reference(reference, work)
    return fasta, AlignmentReader(reads, str(fasta.indexed))


@lru_cache(maxsize=_RUNS)
def _call_stage(model: str, identity: str) -> CallStage:
    from diffbio_core.calling.calibration import Calibration
    from diffbio_core.calling.call_stage import CallStage
    from diffbio_core.models import load_card, load_model, model_identity

    def check() -> Calibration:
        card = load_card(model)
        if model_identity(card) != identity:
            raise FileChangedError(f"{model} holds another model than when the run began")
        return Calibration.from_card(card)

    check()
    pipeline = load_model(model)
    calibration = check()  # so that what was loaded in between is that model
    return CallStage(pipeline, calibration=calibration)
