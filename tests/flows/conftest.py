"""The real command, small files for it, and what a run leaves."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from diffbio_io.simulation import simulate_dataset


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    """The words that ``diffbio`` starts with here."""
    return sys.executable, "-m", "diffbio_flows.cli"


@pytest.fixture(scope="session")
def diffbio(command: tuple[str, ...]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``diffbio`` with arguments in a process of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
        )

    return run


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a simulated dataset: eight contigs of 20 kb, which make eight shards."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate_dataset(folder, length=20_000, contigs=8, depth=30, seed=5)
    return folder


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a file system of its own with a size such as ``4k``; only root can."""
    mounted = []

    def mount(size: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a small file system cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
