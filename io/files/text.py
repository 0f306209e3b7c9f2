"""Lines of a text file as editors, spreadsheets and compressors leave it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from isal import igzip, isal_zlib

from diffbio_core.problems import InputError, Problem
from diffbio_io.files.kinds import file_problem, foreign_compression

BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block that ends every BGZF file; without it the file has lost its end, maybe between two lines."""

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def text_lines(path: str | os.PathLike[str], kind: str) -> Iterator[bytes]:
    """The lines of a text file without their ends, whatever ends them.

    Plain text, gzip and bgzip; UTF-16 becomes UTF-8, a byte order mark is dropped.

    Args:
        path: The file.
        kind: What it should be, such as ``BED``, for messages.

    Raises:
        InputError: The file cannot be read, is cut off, or is compressed in another way.
    """
    remedy = f"Give a {kind} file."
    problem = file_problem(path, remedy)
    if problem:
        raise InputError([problem])
    try:
        with open(path, "rb") as file:
            yield from _lines(_unpacked(Path(path), file), path)
    except (OSError, EOFError, UnicodeError, isal_zlib.error) as error:  # pyright: ignore[reportGeneralTypeIssues]
        why = error.strerror or error if isinstance(error, OSError) else error
        what = f"cannot be read to its end as {kind} ({' '.join(str(why).split())})"
        raise InputError([Problem(str(path), what, "Copy it again, or make it again.")]) from None


def is_bgzf(path: str | os.PathLike[str]) -> bool:
    """Whether a file is compressed as bgzip does it."""
    with open(path, "rb") as file:
        head = file.read(14)
    return head[:2] == b"\x1f\x8b" and head[12:] == b"BC"


def _unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    head = file.read(14)
    foreign = foreign_compression(path, head)
    if foreign:
        raise InputError([foreign])
    if head[:2] != b"\x1f\x8b":
        file.seek(0)
        return file
    if head[12:] == b"BC":
        file.seek(-min(len(BGZF_EOF), path.stat().st_size), os.SEEK_END)
        if file.read() != BGZF_EOF:
            what = "is truncated: its end-of-file block is missing"
            raise InputError([Problem(str(path), what, "Copy it again, or make it again from its source.")])
    file.seek(0)
    return io.BufferedReader(igzip.IGzipFile(fileobj=file, mode="rb"), 1 << 20)  # type: ignore[arg-type]


def _lines(stream: BinaryIO, path: str | os.PathLike[str]) -> Iterator[bytes]:
    for number, line in enumerate(stream):
        if not number:
            if line.startswith(_UTF16_MARKS):
                text = (line + stream.read()).decode("utf-16")
                yield from (each.rstrip("\r\n").encode() for each in io.StringIO(text))
                return
            line = line.removeprefix(_UTF8_MARK)
        yield line.rstrip(b"\r\n")
