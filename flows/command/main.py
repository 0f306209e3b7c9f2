"""The ``diffbio`` command. Each subcommand imports what it needs, so that help and usage errors come at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from diffbio_core import __version__
from diffbio_flows.command.call import call
from diffbio_flows.command.cells import cells
from diffbio_flows.command.cohort import cohort
from diffbio_flows.command.de import de
from diffbio_flows.command.evaluate import evaluate
from diffbio_flows.command.ingest import ingest
from diffbio_flows.command.model import model
from diffbio_flows.command.perturb import perturb
from diffbio_flows.command.report import report
from diffbio_flows.command.simulate import simulate
from diffbio_flows.command.train import train
from diffbio_flows.command.view import view


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and ends the process with 0 (done), 1 (failed while running) or 2 (bad usage or bad input)."""
    from diffbio_flows.command.exit_status import exit_status

    sys.exit(exit_status(lambda: diffbio.main(arguments, prog_name="diffbio", standalone_mode=False)))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="diffbio")
def diffbio() -> None:
    """Germline small variants from aligned reads, by a caller whose every stage is differentiable."""


for command in (call, cohort, ingest, train, evaluate, report, view, simulate, model, de, perturb, cells):
    diffbio.add_command(command)
