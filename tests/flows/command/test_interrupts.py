"""An interrupt ends a command wherever it strikes; each case is a process of its own."""

import signal
import subprocess
import sys
import textwrap

import pytest

INTERRUPTED = "diffbio: interrupted; finished work is kept, the same command goes on from there\n"

# Each would go on for longer than a test waits.
PLAIN_CODE = "interrupt(); time.sleep(60)"
CALLBACK = """
thing = Thing()
ref = weakref.ref(thing, lambda _: interrupt())
del thing
time.sleep(60)
"""
IMPORT_SYSTEM = """
try:
    exec(compile("signal.raise_signal(NUMBER); free = True", "<frozen importlib._bootstrap>", "exec"), globals())
    time.sleep(60)
finally:
    free
"""
STRING = "exec('interrupt(); time.sleep(60)')"

SCRIPT = """
import signal, sys, time, weakref
from diffbio_flows.command.exit_status import exit_status

class Thing:
    pass

NUMBER = signal.{name}

def interrupt():
    signal.raise_signal(NUMBER)

def command():
{command}

status = exit_status(command)
{after}
sys.exit(status)
"""


@pytest.fixture
def ended(tmp_path):
    """Gives the process that has run a command as ``diffbio`` does, and then what comes after."""

    def run(command, name="SIGINT", after=""):
        script = SCRIPT.format(command=textwrap.indent(command, "    "), name=name, after=after)
        (tmp_path / "script.py").write_text(script)
        command = [sys.executable, "-m", "script"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)

    return run


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(PLAIN_CODE, id="plain code"),
        pytest.param(CALLBACK, id="a callback that cannot raise"),
        pytest.param(IMPORT_SYSTEM, id="the import system"),
        pytest.param(STRING, id="code that is run from a string"),
    ],
)
def test_an_interrupt_ends_the_command(ended, command, name):
    done = ended(command, name)
    assert (done.returncode, done.stderr, done.stdout) == (1, INTERRUPTED, "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_what_is_done_stays_done(ended, name):
    done = ended("pass", name, after="interrupt()")
    assert (done.returncode, done.stderr) == (0, "")


def test_other_errors_that_python_cannot_raise_are_told(ended):
    done = ended("thing = Thing()\nref = weakref.ref(thing, lambda _: 1 / 0)\ndel thing")
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


def test_interrupts_are_heard_where_the_shell_ignores_them(ended):
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = ended(PLAIN_CODE)
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert done.returncode == 1
