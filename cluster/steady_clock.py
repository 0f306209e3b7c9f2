"""A clock for Dask that nobody sets.

Dask and Tornado, on which it builds, reckon by the time of day when the next message goes out, when the next sign of
life is due and when a worker has given none for too long. Where the time of day is set back by a day, messages that are
due in milliseconds wait for a day and workers give no signs of life meanwhile; where it is set forward, a worker that
works seems to hang.
"""

from __future__ import annotations

import sys
import time

import distributed.metrics
from tornado.ioloop import IOLoop


def use_steady_clock() -> None:
    """Has Dask and Tornado in this process go on from the time of day that it is now, however that is set later."""
    if distributed.metrics.time is not time.time:
        return
    begun = time.time() - time.monotonic()

    def steady_time() -> float:
        return begun + time.monotonic()

    IOLoop.time = lambda self: steady_time()
    # Modules that are imported later take their clock from `distributed.metrics`, which is among these.
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == distributed.__name__ and vars(module).get("time") is time.time:
            vars(module)["time"] = steady_time


def dask_setup(_: object) -> None:
    """What Dask calls in a scheduler or worker that was started with ``--preload diffbio_cluster.steady_clock``."""
    use_steady_clock()
