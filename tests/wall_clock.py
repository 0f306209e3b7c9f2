"""The time of day of processes that tests start, set while they run as an administrator or a virtual machine does.

Debian's libfaketime 0.9.10 does not serve: where it leaves the monotonic clock alone, Python's ``time.sleep`` fails,
and calls hang that end without it.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

DAY = 86_400


class WallClock:
    """A clock for some processes, which goes with that of the machine until it jumps.

    Attributes:
        environment: Variables of the processes that have it.

    Args:
        folder: Where its files lie.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("a clock that jumps needs a C compiler (Debian: gcc and libc6-dev)")
        library, self._offset = folder / "wall_clock.so", folder / "wall_clock.offset"
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self._offset.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(self._offset)}

    @property
    def command(self) -> tuple[str, ...]:
        """What stands before a command that has it."""
        return "env", *(f"{name}={value}" for name, value in self.environment.items())

    def jump(self, seconds: int) -> None:
        """Sets it forward, or back where negative, in all processes that have it."""
        # In place: they have the file mapped.
        with self._offset.open("r+b") as file:
            (before,) = struct.unpack("q", file.read())
            file.seek(0)
            file.write(struct.pack("q", before + seconds))
