"""Aligned reads: raw records of an interval from BAM, decoded in bulk, or from CRAM, through htslib."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType

import numba
import numpy as np
import pysam
from jaxtyping import UInt8

from diffbio_core.windows.records import little_endian_32
from diffbio_io.bam_index import BamIndex
from diffbio_io.bgzf import read_blocks

_PIECE = 1 << 20


class AlignmentReader:
    """Reads of one BAM or CRAM file, by interval.

    Args:
        path: A BAM or CRAM file with its index beside it.
        reference: FASTA to decode CRAM with; not looked at for BAM.

    Raises:
        ValueError: The file has no index.
    """

    def __init__(self, path: str | Path, reference: str | Path | None = None) -> None:
        self.path = str(path)
        self._reference = None if reference is None else str(reference)
        with pysam.AlignmentFile(self.path, reference_filename=self._reference) as file:
            is_cram = file.is_cram
            self.contigs: dict[str, int] = dict(zip(file.references, file.lengths, strict=True))
            """Length of each contig of the header (bp), in its order."""
        self._number = {name: number for number, name in enumerate(self.contigs)}
        self._index: BamIndex | None = None
        if not is_cram:
            index = index_path(self.path)
            if index is None:
                raise ValueError(f"{self.path} has no index beside it: run samtools index {self.path}")
            self._index = BamIndex(index)
        self._file = open(self.path, "rb")
        self._buffer = np.empty(32 << 20, np.uint8)

    def __enter__(self) -> AlignmentReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def contig_number(self, contig: str) -> int:
        """The contig's number in the header."""
        return self._number[contig]

    def raw_records(self, contig: str, start: int, stop: int) -> UInt8[np.ndarray, "bytes"]:
        """Uncompressed BAM records, in file order, among which are all that overlap [start, stop).

        They lie in memory that the next call uses again.

        Args:
            contig: A contig of the header.
            start: First position (0-based); may lie before the contig.
            stop: One past the last position; may lie behind the contig.

        Raises:
            CorruptBlock: The file is damaged there.
            OSError: htslib cannot decode a CRAM file there.
        """
        start, stop = max(start, 0), min(stop, self.contigs[contig])
        if start >= stop:
            return self._buffer[:0]
        if self._index is None:
            return self._cram_records(contig, start, stop)
        number = self._number[contig]
        offset = self._index.first_offset(number, start, stop)
        if offset is None:
            return self._buffer[:0]
        size = walked = 0
        looked_at = 0
        for block in read_blocks(self._file, offset):
            size = self._append(block, size)
            if size - looked_at >= _PIECE:
                looked_at = size
                walked, passed = _walk(self._buffer[:size], walked, number, stop)
                if passed:
                    break
        return self._buffer[:size]

    def _append(self, block: bytes, size: int) -> int:
        needed = size + len(block)
        if needed > self._buffer.size:
            larger = np.empty(max(needed, 2 * self._buffer.size), np.uint8)
            larger[:size] = self._buffer[:size]
            self._buffer = larger
        self._buffer[size:needed] = np.frombuffer(block, np.uint8)
        return needed

    def _cram_records(self, contig: str, start: int, stop: int) -> UInt8[np.ndarray, "bytes"]:
        """The same records by way of an uncompressed BAM file, so that CRAM takes the same path from here on."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "records.bam")
            with pysam.AlignmentFile(self.path, reference_filename=self._reference) as source:
                with pysam.AlignmentFile(path, "wb0", template=source) as sink:
                    header_end = sink.tell()
                    for record in source.fetch(contig, start, stop):
                        sink.write(record)
            size = 0
            with open(path, "rb") as file:
                for block in read_blocks(file, header_end):
                    size = self._append(block, size)
        return self._buffer[:size]


def index_path(path: str | Path) -> Path | None:
    """The index beside an alignment file: BAI, CSI or CRAI; None where there is none."""
    path = Path(path)
    for candidate in (
        path.with_name(path.name + ".bai"),
        path.with_suffix(".bai"),
        path.with_name(path.name + ".csi"),
        path.with_suffix(".csi"),
        path.with_name(path.name + ".crai"),
        path.with_suffix(".crai"),
    ):
        if candidate.exists():
            return candidate
    return None


@numba.njit(cache=True)
def _walk(raw, at, contig, stop):
    """Go on over whole records; returns where the next one starts, and whether one lies past the interval."""
    while at + 12 <= raw.size:
        size = little_endian_32(raw, at)
        number = little_endian_32(raw, at + 4)
        if number != contig and (number > contig or number < 0):
            return at, True
        if number == contig and little_endian_32(raw, at + 8) >= stop:
            return at, True
        if size < 32 or at + 4 + size > raw.size:
            break
        at += 4 + size
    return at, False
