"""What workers run. Kept apart from the run itself, so that a worker imports no more than it needs."""

from __future__ import annotations

from collections.abc import Sequence

from diffbio_flows.shards.commit import load_shard
from diffbio_flows.shards.message import ShardResult, ShardTask

USUAL_ROWS = 32, 64
"""Of a view at 30x. Deeper loci are few or none, and who meets one first compiles its program then."""


def run_shard(task: ShardTask) -> ShardResult:
    """Processes a shard, unless it is done already: a task comes twice when its worker dies before it has answered."""
    done = load_shard(task.calls, task.name)
    if done is not None:
        return done
    from diffbio_flows.shards.process import process_shard

    return process_shard(task)


def store_shard(task: ShardTask) -> ShardTask:
    """Puts a shard's windows into the run's store, unless they or its calls are there; gives what is left to do."""
    if load_shard(task.calls, task.name) is not None:
        return task
    from diffbio_flows.shards.process import put_windows

    return put_windows(task)


def warm_up(model: str = "", identity: str = "", rows: Sequence[int] = USUAL_ROWS) -> None:
    """Compiles and imports the stages, so that a worker does that while the run is still being planned.

    Args:
        model: Folder of the model that will be called with; none is loaded if not given.
        identity: Of that model.
        rows: Numbers of rows of a view that it is compiled for.
    """
    from diffbio_flows.shards.kernels import GROUPS, compile_kernels, programs

    compile_kernels(wait=not model)
    import diffbio_flows.shards.process  # noqa: F401
    from diffbio_flows.shards.session import load_call_stage

    if model:
        stage = load_call_stage(model, identity)
        # Whoever would wait for another's kernels compiles a program.
        compile_kernels({**programs(stage, identity, rows), **GROUPS})
