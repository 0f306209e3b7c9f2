"""Locks among real processes, some of them killed."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from diffbio_core.problems import InputError
from diffbio_io.files.locks import locked, locked_folder

HOLD = """
import pathlib, sys
from diffbio_io.files.locks import {kind}
with {kind}(pathlib.Path(sys.argv[1])) as held:
    if held: (held / "half").touch()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Starts a process that holds a lock until its input ends."""
    started = []

    def start(path, kind="locked"):
        command = [sys.executable, "-c", HOLD.format(kind=kind), str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_who_comes_second_is_told_who_was_first(tmp_path, hold):
    first = hold(tmp_path / "lock")
    told = rf"^the store: process {first.pid} on \S+, since [-0-9]+ [:+0-9]+, is working in it\. Wait\.$"
    with pytest.raises(InputError, match=told), locked(tmp_path / "lock", "the store", "Wait."):
        pass
    first.communicate()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over_and_goes(tmp_path, hold):
    first = hold(tmp_path / "lock")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert (tmp_path / "lock").exists()
    hold(tmp_path / "lock").communicate()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_in_its_folder_goes_with_the_next(tmp_path, hold):
    first = hold(tmp_path / "aside", "locked_folder")
    with pytest.raises(InputError), locked_folder(tmp_path / "aside"):
        pass
    assert [path.name for path in (tmp_path / "aside").iterdir()] == ["half"]
    first.send_signal(signal.SIGKILL)
    first.wait()
    with locked_folder(tmp_path / "aside") as folder:
        assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_wait_one_is_in_it_at_a_time(tmp_path):
    count = """
import pathlib, sys
from diffbio_io.files.locks import locked
folder = pathlib.Path(sys.argv[1])
for _ in range(200):
    with locked(folder / "lock", wait=True):
        number = int((folder / "number").read_text())
        (folder / "number").write_text(str(number + 1))
"""
    (tmp_path / "number").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", count, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    assert (tmp_path / "number").read_text() == "800"
    assert not (tmp_path / "lock").exists()
