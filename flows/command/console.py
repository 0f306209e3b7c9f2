"""Which progress a terminal gets, and which a log."""

from __future__ import annotations

import sys

import click

from diffbio_flows.reports.progress import BarProgress, PlainProgress


def open_progress(*, plain: bool = False) -> BarProgress | PlainProgress:
    """A bar where standard error is a terminal, else plain lines there; standard output stays for results.

    Args:
        plain: Whether others write lines there meanwhile, which would tear a bar.
    """
    if sys.stderr.isatty() and not plain:
        return BarProgress()
    return PlainProgress(lambda line: click.echo(f"diffbio: {line}", err=True))
