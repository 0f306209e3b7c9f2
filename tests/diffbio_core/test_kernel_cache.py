"""A kernel never outlives the sources that it was compiled from, and a package that nobody may write to runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import diffbio_core
from diffbio_core.cache_folders import cache_folder
from diffbio_core.kernel_cache import prune, source_state, use_kernel_cache

PACKAGE = Path(diffbio_core.__file__).parent
COUNTED = """
import numpy as np
from diffbio_core.windows.projection import _count_mismatches
found = np.zeros((1, 4), np.uint16)
_count_mismatches(np.uint8([1]), np.uint8([20]), np.uint8([0]), found)
print(found[0, 1])
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "copy" / "diffbio_core", ignore=shutil.ignore_patterns("__pyc*")))


def run(package, script, **environment):
    """What a script prints that imports a package, with no folder for kernels but those given."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        env=kept | {"PYTHONPATH": str(package.parent)} | environment,
        cwd=package.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def kernels(folder):
    """Folders of the states that have kernels."""
    return {path.relative_to(folder).parts[0] for path in folder.rglob("*.nbc")}


@pytest.mark.slow
def test_a_constant_that_another_module_takes_into_a_kernel_can_be_changed(package, tmp_path):
    assert run(package, COUNTED, XDG_CACHE_HOME=str(tmp_path)) == "1"
    constants = package / "candidates" / "discovery.py"
    before = constants.read_text()
    assert "MIN_BASE_QUALITY = 13\n" in before
    constants.write_text(before.replace("MIN_BASE_QUALITY = 13\n", "MIN_BASE_QUALITY = 30\n"))
    assert run(package, COUNTED, XDG_CACHE_HOME=str(tmp_path)) == "0"
    assert len(kernels(tmp_path / "diffbio" / "numba")) == 2


@pytest.mark.slow
def test_where_neither_package_nor_home_can_be_written_kernels_lie_in_the_temporary_folder(package, tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").touch()
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").touch()  # not even root can make a folder of this name now
    assert run(package, COUNTED, HOME=str(tmp_path / "home"), TMPDIR=str(tmp_path / "tmp")) == "1"
    assert len(kernels(tmp_path / "tmp" / f"diffbio-{os.geteuid()}" / "numba")) == 1


@pytest.mark.slow
def test_kernels_go_where_the_user_has_them(package, tmp_path):
    state = "import diffbio_core.kernel_cache as cache; print(cache.source_state()[:16])"
    assert run(package, COUNTED, NUMBA_CACHE_DIR=str(tmp_path / "mine"), XDG_CACHE_HOME=str(tmp_path)) == "1"
    assert kernels(tmp_path) == {"mine"}
    assert kernels(tmp_path / "mine") == {f"diffbio-{run(package, state)}"}


def test_the_state_follows_from_what_kernels_are_made_of_and_from_nothing_else(package):
    script = "from diffbio_core.kernel_cache import source_state; print(source_state(['diffbio_core']))"
    state = source_state(["diffbio_core"])
    assert state == run(package, script) != source_state()
    os.utime(package / "windows" / "packing.py", (0, 0))
    for name in ("typing.py", "operators/base.py"):
        (package / name).write_text("")
    assert run(package, script) == state
    for name in ("windows/packing.py", "candidates/discovery.py", "windows/encoding.py", "reads/__init__.py"):
        with (package / name).open("a") as file:
            file.write("# another line\n")
        assert state != (state := run(package, script))
    more = script.replace("(['diffbio_core'])", "(['diffbio_core'], ['diffbio_core.simulation.libraries'])")
    assert state != (with_libraries := run(package, more))
    with (package / "simulation" / "libraries.py").open("a") as file:
        file.write("# another line\n")
    assert (run(package, script), run(package, more) == with_libraries) == (state, False)


def test_a_process_started_by_one_of_another_state_has_a_folder_of_its_own(tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "diffbio-0123456789abcdef")}
    use_kernel_cache(environment)
    assert environment == {"NUMBA_CACHE_DIR": str(tmp_path / f"diffbio-{source_state()[:16]}")}
    use_kernel_cache(environment)
    assert environment == {"NUMBA_CACHE_DIR": str(tmp_path / f"diffbio-{source_state()[:16]}")}


def test_states_that_were_not_used_for_long_go_and_nothing_else(tmp_path):
    day = 24 * 3600
    for number in range(5):
        folder = tmp_path / f"diffbio-{number:016x}"
        folder.mkdir()
        (folder / "kernel.nbc").touch()
        os.utime(folder, (0, time.time() - number * day))
    (tmp_path / "mine").mkdir()
    os.utime(tmp_path / "mine", (0, 0))
    prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(f"diffbio-{n:016x}" for n in (0, 1)), "mine"]
    prune(tmp_path, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diffbio-0000000000000000", "mine"]


def test_another_user_s_temporary_folder_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "file").touch()
    nowhere = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    assert cache_folder("numba", nowhere) == tmp_path / f"diffbio-{os.geteuid()}" / "numba"
    (tmp_path / f"diffbio-{os.geteuid()}").chmod(0o777)
    assert cache_folder("numba", nowhere) is None
