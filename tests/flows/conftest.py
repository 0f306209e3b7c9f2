"""A small simulated individual, and the real command to run on it."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from diffbio_flows.command.main import main
from diffbio_io.simulation.dataset import SimulatedDataset, simulate_dataset

COMMAND = [sys.executable, "-m", "diffbio_flows.command"]
PATIENCE = 900

Diffbio = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def individual(tmp_path_factory: pytest.TempPathFactory) -> SimulatedDataset:
    """Four contigs of 30 kb, and so four shards, at 15x."""
    folder = tmp_path_factory.mktemp("individual")
    return simulate_dataset(folder, contigs=4, length=30_000, depth=15.0, seed=3, threads=1)


@pytest.fixture(scope="session")
def diffbio() -> Diffbio:
    """Runs the command to its end; its standard output is text, its standard error is added where a test fails."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, check=False, **options
        )
        print(done.stdout, done.stderr, sep="\n")
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def diffbio_here(capfd: pytest.CaptureFixture[str]) -> Diffbio:
    """Runs the command in this process, for what ends before any worker starts; otherwise as ``diffbio``."""

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        words = [*map(str, arguments)]
        with process_as_it_was(), contextlib.chdir(cwd or Path.cwd()), pytest.raises(SystemExit) as ended:
            main(words)
        done = subprocess.CompletedProcess([*COMMAND, *words], ended.value.code, *capfd.readouterr())
        print(done.stdout, done.stderr, sep="\n")
        assert "Traceback" not in done.stderr
        return done

    return run


@contextlib.contextmanager
def process_as_it_was() -> Iterator[None]:
    """A command leaves its process to end: with other signal handlers, and with its own listener to warnings."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    hook, listeners = sys.unraisablehook, list(logging.getLogger("diffbio_cluster").handlers)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
        logging.getLogger("diffbio_cluster").handlers[:] = listeners


@pytest.fixture
def start_diffbio() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts the command in a process group of its own, which is gone when the test is."""
    started: list[subprocess.Popen[str]] = []

    def start(arguments: list[str], before: Sequence[str] = ()) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([*before, *COMMAND, *arguments], text=True, start_new_session=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def call_arguments(individual: SimulatedDataset) -> Callable[..., list[str]]:
    """Arguments of a call of the individual to an output, with one worker."""

    def arguments(output: Path, *more: object) -> list[str]:
        files = ["--reads", individual.reads, "--reference", individual.reference, "--output", output]
        return ["call", *map(str, files), "--workers", "1", *map(str, more)]

    return arguments


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a file system of its own with a size such as ``4k``; only root can."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small file system cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Writes until the file system is full."""
    size = 1 << 20
    with path.open("wb", buffering=0) as file:
        while size:
            try:
                file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
