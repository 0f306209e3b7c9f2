"""One process of a training's process group: ``python -m diffbio_flows.training.member FOLDER PLACE ADDRESS``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from diffbio_cluster.process_group import end_with_worker

_STATUS = re.compile("(ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION|INTERNAL|UNAVAILABLE|UNKNOWN): ")


def main(folder: Path, place: int, address: str) -> None:
    """Joins the group and trains.

    Args:
        folder: Of the group.
        place: Of this process.
        address: Where the first process listens.
    """
    end_with_worker()
    import jax

    from diffbio_cluster import describe
    from diffbio_core.whole_file import write_whole
    from diffbio_flows.training.collective import fault_path, group_size, run_member

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, num_processes=group_size(folder), process_id=place)
    try:
        run_member(folder, place)
    except Exception as error:
        if not may_be_of_another(error):
            fault = {"task": f"process {place + 1} of the process group", "cause": describe(error)}
            write_whole(fault_path(folder), json.dumps(fault))
        raise
    jax.distributed.shutdown()


def may_be_of_another(error: Exception) -> bool:
    """Whether an error is XLA's, most often since another process died: a new group mends that.

    Of which Python type it is depends on what the processes were doing; its text begins with XLA's status.
    """
    import jax

    return isinstance(error, jax.errors.JaxRuntimeError) or _STATUS.match(str(error)) is not None


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
