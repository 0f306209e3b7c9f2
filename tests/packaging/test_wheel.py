"""What is published: the wheel, in an environment that holds nothing else of this project."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from diffbio_io.simulation.dataset import simulate_dataset

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDERS = {"diffbio_core": "diffbio_core", "io": "diffbio_io", "cluster": "diffbio_cluster", "flows": "diffbio_flows"}
# Seconds: kernels are compiled anew, since Numba keeps them by their file's place.
PATIENCE = 900.0
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def done(command, **options):
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE, check=False, **options
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of a copy, so that what an earlier build has left does not get in."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done([*PIP, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", built, source])
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A virtual environment with the wheel; what it depends on is this environment's, and comes after it."""
    folder = tmp_path_factory.mktemp("environment")
    done([sys.executable, "-m", "venv", "--without-pip", folder])
    python = folder / "bin" / "python"
    done([*PIP, "--python", python, "install", "--no-deps", "--no-index", "--no-cache-dir", wheel])
    (packages,) = folder.glob("lib/python*/site-packages")
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    return folder


@pytest.fixture(scope="module")
def run(environment, tmp_path_factory):
    """Runs a program of the environment in an empty folder; gives its output."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    empty = tmp_path_factory.mktemp("empty")
    return lambda program, *more: done([environment / "bin" / program, *more], cwd=empty, env=variables)


def test_it_holds_every_file_of_the_four_packages(wheel):
    wanted = {
        f"{package}/{path.relative_to(ROOT / folder)}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == wanted
    assert "diffbio_core/models/default/parameters.safetensors" in held


def test_its_packages_are_what_is_imported(run, environment):
    code = "import {}; print(*(m.__file__ for m in ({},)), sep='\\n')".format(*2 * [", ".join(FOLDERS.values())])
    files = run("python", "-c", code).split()
    assert [Path(file).is_relative_to(environment) for file in files] == [True] * 4


def test_its_command_tells_of_the_shipped_model(run):
    assert "parameters_sha256" in run("diffbio", "model", "show")


def test_its_command_calls_with_worker_processes(run, tmp_path):
    data = simulate_dataset(tmp_path / "data", length=20_000, depth=15.0, seed=3, threads=1)
    files = ("--reads", data.reads, "--reference", data.reference, "--output", tmp_path / "calls.vcf.gz")
    summary = json.loads(run("diffbio", "call", *files, "--workers", "1", "--json"))
    assert summary["variants"]["records"] > 10
    assert (tmp_path / "calls.vcf.gz.tbi").exists()
