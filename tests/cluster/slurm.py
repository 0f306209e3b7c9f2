"""A real SLURM of one node, where this machine can have one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("slurm_node.sh")


@contextmanager
def slurm_node() -> Iterator[dict[str, str]]:
    """Starts the node and gives the variables that a command needs to use it; skips the test where it cannot run."""
    missing = [tool for tool in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {', '.join(missing) or 'SLURM'}: `{SCRIPT.name} install`")
    # Its daemons refuse to keep state below a folder that only pytest's user may enter.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder:
        subprocess.run(["bash", SCRIPT, "start", folder], check=True, timeout=120, stdout=subprocess.DEVNULL)
        try:
            yield {"SLURM_CONF": f"{folder}/slurm.conf"}
        finally:
            subprocess.run(["bash", SCRIPT, "stop", folder], check=True, timeout=60)
