"""Which progress a terminal gets, and which a log."""

from __future__ import annotations

import logging
import sys

import click

from diffbio_flows.reports.progress import BarProgress, PlainProgress


def open_progress(*, plain: bool = False) -> BarProgress | PlainProgress:
    """A bar where standard error is a terminal, else plain lines there; standard output stays for results.

    Args:
        plain: Whether others write lines there meanwhile, which would tear a bar.
    """
    if not plain:
        tell_warnings()
    if sys.stderr.isatty() and not plain:
        return BarProgress()
    return PlainProgress(lambda line: click.echo(f"diffbio: {line}", err=True))


def tell_warnings() -> None:
    """Has what the cluster warns of, such as a worker that does not answer, told like all else, above a bar."""
    logger = logging.getLogger("diffbio_cluster")
    if not any(isinstance(handler, _Teller) for handler in logger.handlers):
        logger.addHandler(_Teller(logging.WARNING))


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # A bar takes what is written to sys.stderr, and draws itself anew below it.
        sys.stderr.write(f"diffbio: {record.getMessage()}\n")
