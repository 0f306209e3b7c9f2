"""What a file is, by its kind and its first bytes: for messages that name the cause."""

from __future__ import annotations

import os
from pathlib import Path

from diffbio_core.problems import Problem

_MAGIC = {
    b"BZh": ("bzip2", "bunzip2"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -d"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"\x1f\x9d": ("compress", "uncompress"),
}


def file_problem(path: str | os.PathLike[str], remedy: str) -> Problem | None:
    """Why a path cannot be read as a file, by position and more than once; None where it can.

    Args:
        path: What should be a file.
        remedy: What to do where there is none.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return Problem(str(path), "is a folder", remedy)
        if not path.exists():
            what = "is a link to a file that is not there" if path.is_symlink() else "no such file"
            return Problem(str(path), what, remedy)
        if not path.is_file():
            what = "is a pipe or a device, which cannot be read more than once"
            return Problem(str(path), what, "Write it to a file first.")
        with path.open("rb"):
            return None
    except OSError as error:
        return Problem(str(path), f"cannot be read ({error.strerror})", "Give a file that you may read.")


def foreign_compression(path: str | os.PathLike[str], head: bytes) -> Problem | None:
    """A problem where a file is compressed in a way that nothing here reads.

    Args:
        path: The file.
        head: Its first 6 bytes or more.
    """
    for magic, (name, command) in _MAGIC.items():
        if head.startswith(magic):
            remedy = f"Unpack it with `{command}`; only what bgzip or gzip wrote can be read compressed."
            return Problem(str(path), f"is compressed with {name}", remedy)
    return None
