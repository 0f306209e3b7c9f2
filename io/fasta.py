"""A FASTA file and its index side by side: whether they belong together, and the MD5 of a contig."""

from __future__ import annotations

import hashlib
import os
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from diffbio_core.problems import Problem
from diffbio_io.alignments.bgzf import CorruptBlock, read_blocks

_LONGEST_TITLE = 1 << 20
_LINE_LOOKED_AT = 4096
_PIECE = 1 << 22
_UPPER = bytes(range(256)).upper()
_NO_BASE = bytes(code for code in range(256) if not 33 <= code <= 126)

# The preflight, the window store and the VCF's header ask for the same ones.
_known_md5: dict[tuple[tuple[int, ...], str], str] = {}


@dataclass(frozen=True)
class _Entry:
    """A line of a ``.fai``."""

    name: bytes
    length: int
    offset: int
    line_bases: int
    line_bytes: int

    @property
    def stop(self) -> int:
        """One past the byte of the last base."""
        if not self.length:
            return self.offset
        lines, rest = divmod(self.length - 1, self.line_bases)
        return self.offset + lines * self.line_bytes + rest + 1


class FastaFile:
    """The bytes of a FASTA file by way of its index, without htslib.

    Args:
        path: FASTA, plain or bgzipped, with ``.fai`` and, where compressed, ``.gzi`` beside it.

    Raises:
        ValueError: The index is no such file.
        OSError: A file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        entries = map(_entry, Path(f"{path}.fai").read_bytes().splitlines())
        self._entries = {entry.name: entry for entry in entries}
        self._blocks: list[tuple[int, int]] | None = None
        with path.open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                data = Path(f"{path}.gzi").read_bytes()
                numbers = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
                if not numbers or len(numbers) != 2 * numbers[0] + 1:
                    raise ValueError(f"{path}.gzi is cut off")
                self._blocks = [(0, 0), *((numbers[at + 1], numbers[at]) for at in range(1, len(numbers), 2))]

    def index_fault(self) -> str | None:
        """What shows that the index is not this file's, as half a sentence; None where they belong together.

        Every contig must start right after its title, end before a line's end, and be followed by the next one's title.
        """
        stop, within_line = 0, False
        try:
            for entry in self._entries.values():
                fault = self._title_fault(stop, within_line, entry)
                if fault:
                    return fault
                stop, within_line = entry.stop, entry.length > 0
            for piece in self._pieces(stop, None):
                if piece.strip():
                    return "lists fewer sequences than the file holds"
        except (CorruptBlock, OSError) as error:
            return f"does not fit ({error})"
        return None

    def _title_fault(self, before: int, within_line: bool, entry: _Entry) -> str | None:
        name = entry.name.decode("utf-8", "replace")
        if not before <= entry.offset <= before + _LONGEST_TITLE:
            return f"has {name!r} at another place"
        first_line = min(entry.length, entry.line_bases, _LINE_LOOKED_AT)
        data = b"".join(self._pieces(before, entry.offset + first_line + 1 - before))
        between, line = data[: entry.offset - before], data[entry.offset - before :]
        lines = [text for text in between.splitlines() if text.strip()]
        if within_line and between[:1] not in (b"\n", b"\r"):
            return f"lets the sequence before {name!r} end within a line"
        if not lines or lines[-1].split()[:1] != [b">" + entry.name] or not between.endswith((b"\n", b"\r")):
            return f"has {name!r} at another place"
        # Titles alone are of sequences without bases, which an index leaves out.
        if not all(text.startswith(b">") for text in lines):
            return f"leaves out a sequence before {name!r} (a name that two have, perhaps)"
        if len(line) < first_line or b"\n" in line[:first_line] or b">" in line[:first_line]:
            return f"has lines of another length in {name!r}"
        return None

    def md5(self, contig: str) -> str:
        """MD5 of a contig's sequence as ``M5`` of ``@SQ`` has it: upper case, printable characters only.

        Raises:
            KeyError: The index lists no such contig.
            CorruptBlock: The file is damaged.
        """
        entry = self._entries[contig.encode()]
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self._pieces(entry.offset, entry.stop - entry.offset):
            digest.update(piece.translate(_UPPER, _NO_BASE))
        return digest.hexdigest()

    def _pieces(self, start: int, length: int | None) -> Iterator[bytes]:
        """The uncompressed bytes from one on, to the file's end where no length is given."""
        left = length if length is not None else 1 << 62
        with self._path.open("rb") as file:
            if self._blocks is None:
                file.seek(start)
                while left and (piece := file.read(min(left, _PIECE))):
                    yield piece
                    left -= len(piece)
                return
            uncompressed, compressed = self._blocks[bisect_right(self._blocks, (start, 1 << 62)) - 1]
            skip = start - uncompressed
            for block in read_blocks(file, compressed << 16, read_ahead=min(max(left, 1 << 17), _PIECE)):
                piece = block[skip : skip + left]
                skip = max(0, skip - len(block))
                yield piece
                left -= len(piece)
                if not left:
                    return


def _entry(line: bytes) -> _Entry:
    name, *numbers = line.split(b"\t")
    if len(numbers) < 4:
        raise ValueError("a line of the index has fewer than 5 fields")
    entry = _Entry(name, *(int(number) for number in numbers[:4]))
    if min(entry.length, entry.offset) < 0 or (entry.length and not 0 < entry.line_bases <= entry.line_bytes):
        raise ValueError("a line of the index has impossible numbers")
    return entry


def index_problem(path: Path, indexed: Path) -> Problem | None:
    """Whether a FASTA file's index is its own; None where it is.

    Args:
        path: The file, as it is told.
        indexed: The same file by a path that has the index beside it.
    """
    fai = f"{indexed}.fai"
    remedy = "Remove the index and run `samtools faidx` on the file again."
    try:
        fault = FastaFile(indexed).index_fault()
    except (ValueError, OSError) as error:
        return Problem(fai, f"cannot be read as an index ({error})", remedy)
    return Problem(fai, f"is not the index of {path}: it {fault}", remedy) if fault else None


def md5_of_contigs(path: Path, contigs: Iterable[str], threads: int = 4) -> dict[str, str]:
    """See `FastaFile.md5`; side by side, since a whole genome takes a while, and once as long as the file is unchanged.

    Args:
        path: See `FastaFile`.
        contigs: Names.
        threads: How many contigs at once.
    """
    contigs = list(contigs)
    status = os.stat(path)
    state = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    missing = [contig for contig in contigs if (state, contig) not in _known_md5]
    if missing:
        fasta = FastaFile(path)
        with ThreadPoolExecutor(min(threads, len(missing))) as pool:
            found = zip(missing, pool.map(fasta.md5, missing), strict=True)
            _known_md5.update({(state, contig): md5 for contig, md5 in found})
    return {contig: _known_md5[state, contig] for contig in contigs}
