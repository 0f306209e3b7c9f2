"""Interrupts are held back from what is started meanwhile, and from nothing else."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from diffbio_cluster.interrupts import interrupts_held

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


def start_and_interrupt():
    """Interrupts a new process as soon as it runs; gives it a moment to die of that."""
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()


def test_a_process_that_is_started_meanwhile_is_not_interrupted():
    with interrupts_held():
        assert start_and_interrupt() is None
    assert start_and_interrupt() not in (None, 0)


def test_this_process_is_interrupted_once_it_goes_on():
    reached = []
    with pytest.raises(KeyboardInterrupt):
        interrupt_while_held(reached)
    assert reached == [True]


def test_this_process_is_interrupted_once_it_goes_on_where_another_thread_lets_the_signal_in():
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        reached = []
        with pytest.raises(KeyboardInterrupt):
            interrupt_while_held(reached)
        assert reached == [True]
    finally:
        ended.set()
        other.join()


def interrupt_while_held(reached):
    with interrupts_held():
        os.kill(os.getpid(), signal.SIGINT)
        reached.append(True)
