"""How a command ends: its exit status, and the lines by which a user learns why."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from diffbio_flows.command.interrupts import ignore_interrupts, raise_interrupts

DONE, FAILED, BAD_INPUT = 0, 1, 2


def exit_status(command: Callable[[], object]) -> int:
    """Runs a command and gives its exit status; every error becomes lines on standard error, never a traceback.

    ``DIFFBIO_DEBUG=1`` in the environment shows tracebacks.
    """
    raise_interrupts()
    try:
        return _ended(command)
    finally:
        ignore_interrupts()


def _ended(command: Callable[[], object]) -> int:
    try:
        command()
    except (KeyboardInterrupt, click.Abort):
        return _told(["interrupted; finished work is kept, the same command goes on from there"], FAILED)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except BrokenPipeError:
        # The reader of our output has gone; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if os.environ.get("DIFFBIO_DEBUG"):
            traceback.print_exc()
        return _told(*_explained(error))
    return DONE


def _explained(error: Exception) -> tuple[list[str], int]:
    """Lines and exit status for an error, by its type; the types come from modules that a short command never loads."""
    from pydantic import ValidationError

    from diffbio_cluster import ClusterConfigError, ClusterLostError, TaskFailedError
    from diffbio_core.problems import InputError
    from diffbio_flows.prefect_flows.server import ServerError

    notes = getattr(error, "__notes__", ())
    resume = "Finished work is kept: remove the cause and give the same command again to go on."
    if isinstance(error, InputError):
        return [str(problem) for problem in error.problems], BAD_INPUT
    if isinstance(error, ValidationError):
        return [f"{_option(entry['loc'])}: {_wrong_value(entry)}" for entry in error.errors()], BAD_INPUT
    if isinstance(error, ClusterConfigError):
        return [str(error)], BAD_INPUT
    if isinstance(error, TaskFailedError | ClusterLostError):
        return [" ".join((f"{str(error).removesuffix('.')}.", *notes, resume))], FAILED
    if isinstance(error, OSError | ServerError):
        return [" ".join((str(error), *notes))], FAILED
    line = f"internal error: {type(error).__name__}: {error} (DIFFBIO_DEBUG=1 shows where)"
    return [" ".join((line, *notes))], FAILED


def _option(location: Iterable[object]) -> str:
    return "--" + str(next(iter(location), "parameters")).replace("_", "-")


def _wrong_value(entry: Mapping[str, Any]) -> str:
    """What Pydantic says of a value, which it names itself only where our own check has refused it."""
    own = entry["msg"].removeprefix("Value error, ")
    return own if own != entry["msg"] else f"{entry['msg']}, got {entry['input']!r}"


def _told(lines: list[str], status: int) -> int:
    for line in lines:
        click.echo(f"diffbio: {line}", err=True)
    return status
