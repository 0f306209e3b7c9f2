"""What workers run. Kept apart from the run itself, so that a worker imports no more than it needs."""

from __future__ import annotations

from diffbio_flows.shards.commit import load_shard
from diffbio_flows.shards.message import ShardResult, ShardTask


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


def warm_up(model: str = "", identity: str = "") -> None:
    """Compiles and imports the stages, so that a worker does that while the run is still being planned.

    Args:
        model: Folder of the model that will be called with; none is loaded if not given.
        identity: Of that model.
    """
    from diffbio_flows.shards.kernels import compile_kernels, programs

    compile_kernels()
    import diffbio_flows.shards.process  # noqa: F401
    from diffbio_flows.shards.session import load_call_stage

    if model:
        stage = load_call_stage(model, identity)
        compile_kernels(programs(stage, identity))
