"""A run whose input was checked before there was a flow, so that the flow need not check it again.

Apart from the flow: Prefect pickles the globals that a served flow uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from diffbio_flows.runs.call import CallRun
from diffbio_flows.runs.parameters import CallParameters

_CHECKED: ContextVar[CallRun | None] = ContextVar("_CHECKED", default=None)


@contextmanager
def checked(run: CallRun) -> Iterator[None]:
    """Has a flow of the same parameters that is started in the with block go on with this run."""
    token = _CHECKED.set(run)
    try:
        yield
    finally:
        _CHECKED.reset(token)


def checked_run(parameters: CallParameters) -> CallRun | None:
    """The run of these parameters whose input was checked; None where there is none."""
    run = _CHECKED.get()
    return run if run is not None and run.parameters == parameters else None
