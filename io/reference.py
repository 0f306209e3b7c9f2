"""The reference sequence: FASTA, plain or bgzipped, read by position."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pysam
from jaxtyping import UInt8

from diffbio_core.problems import InputError, Problem
from diffbio_core.whole_file import put_in_place
from diffbio_core.windows.encoding import BASES, CODE_OF_ASCII, N_BASE
from diffbio_io.fasta import index_problem
from diffbio_io.files.index_choice import told_as_older
from diffbio_io.files.kinds import file_problem, foreign_compression
from diffbio_io.files.locks import locked_folder

_LETTERS = np.frombuffer(BASES.encode("ascii"), np.uint8)
_BLOCK = 1 << 16


class Reference:
    """A FASTA file opened for reading by position.

    Not shared between threads or processes: each opens its own by ``path`` and ``work_dir``.

    Attributes:
        path: The FASTA file.
        indexed: The same file by a path that has the index beside it, where htslib looks when it decodes CRAM: a link,
            where the index is in the work directory.
        contigs: Length of every contig (bp) by name, in the file's order.

    Args:
        path: FASTA file, plain or compressed with ``bgzip``.
        work_dir: Where an absent index is built, and a link to the file made, if its own folder cannot be written.

    Raises:
        InputError: The file is missing or empty, is not FASTA, is compressed with plain gzip, or has another file's
            index, or none and none can be built.
    """

    def __init__(self, path: str | os.PathLike[str], work_dir: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        problem = file_problem(path, "Give the FASTA file that the reads were aligned to.")
        if problem:
            raise InputError([problem])
        self.indexed = _indexed(self.path, None if work_dir is None else Path(work_dir))
        try:
            self._fasta = pysam.FastaFile(str(self.indexed))
        except (OSError, ValueError) as error:
            what = f"cannot be opened with its index {self.indexed}.fai ({error})"
            raise InputError([Problem(str(path), what, _REINDEX)]) from error
        problem = index_problem(self.path, self.indexed)
        if problem:
            raise InputError([problem])
        self.contigs: dict[str, int] = dict(zip(self._fasta.references, self._fasta.lengths, strict=True))
        self._block: tuple[str, int, str] | None = None
        if not self.contigs:
            raise InputError([Problem(str(path), "holds no sequence", "Give a FASTA file with at least one contig.")])

    def codes(self, contig: str, start: int, stop: int) -> UInt8[np.ndarray, " positions"]:
        """Bases of ``[start, stop)`` as A C G T = 0 to 3 in either case, all else (N, IUPAC codes, off the contig) = 4.

        Raises:
            KeyError: The reference has no such contig.
        """
        length = self.contigs[contig]
        codes = np.full(max(0, stop - start), N_BASE, np.uint8)
        low, high = max(start, 0), min(stop, length)
        if low < high:
            letters = self._fasta.fetch(contig, low, high).encode("ascii")
            if len(letters) != high - low:  # htslib leaves out what cannot be printed
                what = f"holds characters that are no bases between {contig}:{low + 1} and {high}"
                raise InputError([Problem(str(self.path), what, "Copy it again.")])
            codes[low - start : high - start] = CODE_OF_ASCII[np.frombuffer(letters, np.uint8)]
        return codes

    def sequence(self, contig: str, start: int, stop: int) -> str:
        """Bases of ``[start, stop)`` as upper-case letters; N where :meth:`codes` gives 4.

        Raises:
            KeyError: The reference has no such contig.
        """
        if stop - start > _BLOCK // 2 or start < 0 or stop > self.contigs[contig]:
            return self._letters(contig, start, stop)
        # Short pieces of one neighbourhood are asked for again and again; each fetch would inflate a block anew.
        block = self._block
        if block is None or block[0] != contig or start < block[1] or stop > block[1] + len(block[2]):
            low = max(0, start - _BLOCK // 4)
            self._block = block = contig, low, self._letters(contig, low, min(low + _BLOCK, self.contigs[contig]))
        return block[2][start - block[1] : stop - block[1]]

    def _letters(self, contig: str, start: int, stop: int) -> str:
        return _LETTERS[self.codes(contig, start, stop)].tobytes().decode("ascii")

    def close(self) -> None:
        """Close the file."""
        self._fasta.close()

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_REINDEX = "Remove the index and run `samtools faidx` on the file again."


def _indexed(path: Path, work_dir: Path | None) -> Path:
    """A path of the file beside which its index stands: its own, or that of a link in the work directory."""
    with path.open("rb") as file:
        head = file.read(8)
    foreign = foreign_compression(path, head)
    if foreign:
        raise InputError([foreign])
    compressed = head[:2] == b"\x1f\x8b"
    places = [path] + ([work_dir / path.name] if work_dir else [])
    for place in places:
        if _is_indexed(place, path, compressed):
            fai = Path(f"{place}.fai")
            if fai.stat().st_mtime + 2 < path.stat().st_mtime:  # as coarse as some file systems' clocks
                raise InputError([Problem(str(fai), *told_as_older(path, _REINDEX))])
            return place
    for place in places:
        try:
            _build(place, path, compressed)
        except OSError:  # a folder that cannot be written, or a file system without room
            continue
        return place
    what = "has no index (.fai, and .gzi where compressed) and its folder cannot be written"
    raise InputError([Problem(str(path), what, "Run `samtools faidx` on it, or give a work directory.")])


def _is_indexed(place: Path, path: Path, compressed: bool) -> bool:
    """Whether a place is this file's, with its index beside it."""
    endings = (".fai", ".gzi") if compressed else (".fai",)
    return place.resolve() == path.resolve() and all(Path(f"{place}{ending}").is_file() for ending in endings)


def _build(place: Path, path: Path, compressed: bool) -> None:
    """Index aside and rename, so that another process never reads half an index; it waits for one that builds it."""
    with locked_folder(place.with_name(f".{place.name}.faidx"), wait=True) as aside:
        if _is_indexed(place, path, compressed):
            return
        new_fai, new_gzi = aside / "fai", aside / "gzi"
        verbosity = pysam.set_verbosity(0)  # htslib's own lines: what it finds is told as a problem
        try:
            pysam.faidx(str(path), "--fai-idx", str(new_fai), "--gzi-idx", str(new_gzi))  # type: ignore[attr-defined]
        except pysam.SamtoolsError as error:
            remedy = "Give a FASTA file, plain or compressed with `bgzip` (plain gzip cannot be read by position)."
            raise InputError([Problem(str(path), "cannot be indexed: not FASTA, or not bgzipped", remedy)]) from error
        finally:
            pysam.set_verbosity(verbosity)
        if place.resolve() != path.resolve():
            place.symlink_to(path.absolute())  # fails where another file has the name
        if new_fai.stat().st_mtime_ns < path.stat().st_mtime_ns:  # written while the clock was ahead of what it is now
            modified = path.stat().st_mtime_ns
            os.utime(new_fai, ns=(modified, modified))
        if compressed:
            put_in_place(new_gzi, f"{place}.gzi")
        put_in_place(new_fai, f"{place}.fai")
