"""Which progress a terminal gets, and which a log."""

from __future__ import annotations

import sys

import click

from diffbio_flows.reports.progress import BarProgress, PlainProgress


def open_progress() -> BarProgress | PlainProgress:
    """A bar where standard error is a terminal, else plain lines there; standard output stays for results."""
    if sys.stderr.isatty():
        return BarProgress()
    return PlainProgress(lambda line: click.echo(f"diffbio: {line}", err=True))
