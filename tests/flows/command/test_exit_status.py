"""How commands end, by what became of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from diffbio_flows.command.exit_status import BAD_INPUT, DONE, FAILED

# One process for all: what a command may raise is loaded once.
SCRIPT = """
import contextlib, io, json, os
import click
from pathlib import Path
from diffbio_cluster import ClusterConfigError, ClusterLostError, TaskFailedError
from diffbio_core.problems import InputError, Problem
from diffbio_flows.command.exit_status import exit_status
from diffbio_flows.runs.parameters import CallParameters

def wrong_parameters():
    CallParameters(reads="r", reference="f", output="o", window_length=3000, workers=0)

def fails(error):
    def command():
        raise error
    return command

COMMANDS = {
    "nothing wrong": lambda: 7,
    "input": fails(InputError([Problem("a.bam", "is unsorted", "Sort it."), Problem("b.fa", "is empty", "Fill it.")])),
    "parameters": wrong_parameters,
    "cluster": fails(ClusterConfigError("workers must be at least 1, got 0")),
    "task": fails(TaskFailedError("chr1.000003", "OSError: no space")),
    "lost": fails(ClusterLostError("tcp://h:1 was lost")),
    "file": fails(PermissionError(13, "Permission denied", "out.vcf.gz")),
    "bug": fails(KeyError("missing")),
    "interrupt": fails(KeyboardInterrupt()),
    "abort": fails(click.Abort()),
    "exit": fails(click.exceptions.Exit(5)),
    "usage": fails(click.UsageError("No such option: --x")),
}
ended = {}
for debug in ("", "1"):
    os.environ["DIFFBIO_DEBUG"] = debug
    for name, command in COMMANDS.items():
        with contextlib.redirect_stderr(io.StringIO()) as told:
            status = exit_status(command)
        ended[name + debug] = status, told.getvalue()
print(json.dumps(ended))
"""

INTERRUPTED = "diffbio: interrupted; finished work is kept, the same command goes on from there\n"
RESUME = "Finished work is kept: remove the cause and give the same command again to go on."


@pytest.fixture(scope="module")
def ended():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    return {name: tuple(values) for name, values in json.loads(done.stdout).items()}


@pytest.mark.parametrize(
    ("name", "status", "told"),
    [
        ("nothing wrong", DONE, ""),
        ("input", BAD_INPUT, "diffbio: a.bam: is unsorted. Sort it.\ndiffbio: b.fa: is empty. Fill it.\n"),
        (
            "parameters",
            BAD_INPUT,
            "diffbio: --window-length: must be a power of two, got 3000\n"
            "diffbio: --workers: Input should be greater than or equal to 1, got 0\n",
        ),
        ("cluster", BAD_INPUT, "diffbio: workers must be at least 1, got 0\n"),
        ("task", FAILED, f"diffbio: chr1.000003: OSError: no space. {RESUME}\n"),
        ("lost", FAILED, f"diffbio: tcp://h:1 was lost. {RESUME}\n"),
        ("file", FAILED, "diffbio: [Errno 13] Permission denied: 'out.vcf.gz'\n"),
        ("bug", FAILED, "diffbio: internal error: KeyError: 'missing' (DIFFBIO_DEBUG=1 shows where)\n"),
        ("interrupt", FAILED, INTERRUPTED),
        ("abort", FAILED, INTERRUPTED),
        ("exit", 5, ""),
        ("usage", BAD_INPUT, "Error: No such option: --x\n"),
    ],
)
def test_an_end_has_its_status_and_lines(ended, name, status, told):
    assert ended[name] == (status, told)


@pytest.mark.parametrize("name", ["input", "task", "bug"])
def test_a_traceback_comes_before_the_lines_where_it_is_asked_for(ended, name):
    (status, plain), (same, told) = ended[name], ended[f"{name}1"]
    assert same == status
    assert told.startswith("Traceback (most recent call last)")
    assert told.endswith(plain)


def test_an_interrupt_is_never_a_traceback(ended):
    assert ended["interrupt1"] == ended["interrupt"]


def test_a_reader_that_goes_away_ends_the_command_without_a_word():
    script = "from diffbio_flows.command.exit_status import exit_status\n" + (
        "def command():\n    while True: print('x' * 1000)\nraise SystemExit(exit_status(command))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Unbuffered, nothing would be left to write when the process ends.
    hidden = "DIFFBIO_DEBUG", "PYTHONUNBUFFERED"
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes) as command:
        assert command.stdout.read(1) == b"x"
        command.stdout.close()
        assert command.stderr.read() == b""
        assert command.wait(timeout=60) == FAILED
