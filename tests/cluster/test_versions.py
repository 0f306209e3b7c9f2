"""Processes of other versions are told apart, without importing what the versions are of."""

from __future__ import annotations

import subprocess
import sys

import pytest

from diffbio_cluster.versions import OtherVersionError, check_versions, differing, own_versions
from diffbio_core import __version__


def test_versions_are_those_of_what_a_result_depends_on():
    versions = own_versions()
    assert list(versions) == ["diffbio", "Python", "jax", "jaxlib", "numpy", "numba"]
    assert versions["diffbio"].startswith(f"{__version__} (sources ")
    assert versions["Python"] == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_what_differs_is_told_with_both_values():
    ours = {"diffbio": "0.1.0 (sources 1)", "Python": "3.11"}
    assert differing(ours, ours) == ""
    assert differing({"diffbio": "0.0.9 (sources 2)"}, ours) == (
        "diffbio 0.0.9 (sources 2), not 0.1.0 (sources 1), Python unknown, not 3.11"
    )


def test_a_worker_refuses_a_leader_of_other_versions():
    check_versions(own_versions())
    with pytest.raises(OtherVersionError, match=r"has other versions than this run: jax .*, not 9\.9\.9"):
        check_versions(own_versions() | {"jax": "9.9.9"})


def test_asking_imports_neither_jax_nor_numba():
    script = """
import sys
from diffbio_cluster.versions import own_versions
own_versions()
print(sorted({"jax", "numba", "numpy"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
