"""Aligned reads: raw records of an interval from BAM, decoded in bulk, or from CRAM, through htslib."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType

import numba
import numpy as np
import pysam

from diffbio_core.reads.records import MalformedRecords, little_endian_32
from diffbio_core.reads.thinning import Interval, IntervalReads, scan_pieces, scan_records
from diffbio_io.alignments.bgzf import CorruptBlock, read_blocks
from diffbio_io.alignments.header import read_header
from diffbio_io.alignments.index import BamIndex
from diffbio_io.alignments.index_file import crai_spans, find_index

MAX_BYTES = 192 << 20
"""Uncompressed records (bytes) that are held at once; a shard of 262 kb at 30x has some 18 MB."""

_PIECE = 16 << 20
_LOOK_AFTER = 1 << 20
_OUT_OF_ORDER = -2


class AlignmentReader:
    """Reads of one BAM or CRAM file, by interval.

    Args:
        path: A BAM or CRAM file with its index beside it.
        reference: FASTA to decode CRAM with; not looked at for BAM.
        max_bytes: Uncompressed records that are held at once (bytes).

    Raises:
        ValueError: The file has no index.
    """

    def __init__(self, path: str | Path, reference: str | Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.path = str(path)
        self._reference = None if reference is None else str(reference)
        header = read_header(Path(path))
        self.contigs: dict[str, int] = header.contigs
        """Length of each contig of the header (bp), in its order."""
        self._max_bytes = max_bytes
        self._names = list(self.contigs)
        self._number = {name: number for number, name in enumerate(self.contigs)}
        index = find_index(self.path)
        if index is None:
            raise ValueError(f"{self.path} has no index beside it: run samtools index {self.path}")
        self._index_path = str(index.path)
        self._index = None if header.is_cram else BamIndex(index.path)
        self._file = open(self.path, "rb")  # noqa: SIM115 - closed with the reader
        # Workers keep a reader for as long as they live.
        self._close = weakref.finalize(self, self._file.close)
        self._buffer = np.empty(32 << 20, np.uint8)

    def __enter__(self) -> AlignmentReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def contig_number(self, contig: str) -> int:
        """The contig's number in the header."""
        return self._number[contig]

    def tiles(self, contig: str, size: int) -> np.ndarray:
        """Numbers of the pieces of ``size`` positions of a contig that may hold reads, in order."""
        length = self.contigs[contig]
        if self._index is not None:
            return self._index.tiles(self._number[contig], size, length)
        spans = [span for number, *span in crai_spans(Path(self._index_path)) if number == self._number[contig]]
        held = {tile for start, stop in spans for tile in range(start // size, -(-min(stop, length) // size))}
        return np.array(sorted(held), np.int64)

    def read(self, interval: Interval, reference: np.ndarray | None = None) -> IntervalReads:
        """The reads to use in an interval; they lie in memory that the next call uses again.

        More records than ``max_bytes`` are gone through twice in pieces, for their depth and for those to keep, so that
        memory is bounded whatever the depth; the reads are the same.

        Args:
            interval: Where reads are wanted.
            reference: Base codes of ``interval.scanned``, to align reads through long indels that they are clipped at;
                without it reads stay as they are aligned.

        Raises:
            CorruptBlock: The file is damaged there.
            MalformedRecords: It holds no BAM records there.
            OSError: htslib cannot decode a CRAM file there.
        """
        try:
            return self._read(interval, reference)
        except (CorruptBlock, MalformedRecords) as error:
            raise type(error)(f"{self.path}: {error}") from error

    def _read(self, interval: Interval, reference: np.ndarray | None) -> IntervalReads:
        contig = self._names[interval.reference_id]
        start, stop = interval.scanned
        place = contig, max(start, 0), min(stop, self.contigs[contig])
        if place[1] >= place[2]:
            return IntervalReads.none(interval)
        pieces = self._pieces(*place, self._max_bytes)
        first = next(pieces, None)
        if first is None:
            return IntervalReads.none(interval)
        raw, is_last = first
        if is_last:
            return scan_records(raw, interval, reference, self._buffer)
        pieces.close()
        return scan_pieces(lambda: (raw for raw, _ in self._pieces(*place, _PIECE)), interval, reference)

    def _pieces(self, contig: str, start: int, stop: int, limit: int) -> Generator[tuple[np.ndarray, bool], None, None]:
        """Whole records in file order, about ``limit`` bytes at a time, and whether they are the last.

        All records that overlap the interval are among them.
        """
        if self._index is None:
            yield from self._cram_pieces(contig, start, stop, limit)
            return
        number = self._number[contig]
        offset = self._index.first_offset(number, start, stop)
        if offset is None:
            return
        size = walked = seen = 0
        last = -1
        for block in read_blocks(self._file, offset):
            size = self._append(block, size)
            if size - seen < _LOOK_AFTER:
                continue
            seen = size
            walked, passed, last = walk_records(self._buffer[:size], walked, number, stop, last)
            _check_order(last, contig)
            if passed:
                yield self._buffer[:walked], True
                return
            if walked > limit:
                yield self._buffer[:walked], False
                size -= walked
                self._buffer[:size] = self._buffer[walked : walked + size].copy()
                walked, seen = 0, size
        walked, passed, last = walk_records(self._buffer[:size], walked, number, stop, last)
        _check_order(last, contig)
        if not passed and walked < size:
            raise CorruptBlock("the last record is cut off")
        yield self._buffer[:walked], True

    def _append(self, block: bytes, size: int) -> int:
        needed = size + len(block)
        if needed > self._buffer.size:
            larger = np.empty(max(needed, 2 * self._buffer.size), np.uint8)
            larger[:size] = self._buffer[:size]
            self._buffer = larger
        self._buffer[size:needed] = np.frombuffer(block, np.uint8)
        return needed

    def _cram_pieces(
        self, contig: str, start: int, stop: int, limit: int
    ) -> Generator[tuple[np.ndarray, bool], None, None]:
        """The same records by way of uncompressed BAM files, so that CRAM takes the same path from here on."""
        with (
            tempfile.TemporaryDirectory() as folder,
            pysam.AlignmentFile(
                self.path, reference_filename=self._reference, index_filename=self._index_path
            ) as source,
        ):
            path = os.path.join(folder, "records.bam")
            records = self._decoded(source, contig, start, stop)
            is_last = False
            while not is_last:
                with pysam.AlignmentFile(path, "wb0", template=source) as sink:
                    header_end = sink.tell()
                    is_last = True
                    for record in records:
                        sink.write(record)
                        # The upper 48 bits of a virtual offset count the file's bytes.
                        if (sink.tell() >> 16) > limit:
                            is_last = False
                            break
                size = 0
                with open(path, "rb") as file:
                    for block in read_blocks(file, header_end):
                        size = self._append(block, size)
                yield self._buffer[:size], is_last

    def _decoded(
        self, source: pysam.AlignmentFile, contig: str, start: int, stop: int
    ) -> Iterator[pysam.AlignedSegment]:
        """Records that htslib decodes; it says of a file that it cannot decode no more than that."""
        records = source.fetch(contig, start, stop)
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except OSError as error:
                raise OSError(f"{self.path}: cannot be decoded near {contig}:{start + 1}: {error}") from error
            yield record


def _check_order(last: np.signedinteger | int, contig: str) -> None:
    """Refuse what a look at the first reads cannot find: reads that stand behind later ones would be lost."""
    if last == _OUT_OF_ORDER:
        raise MalformedRecords(
            f"the reads on {contig} are not sorted by position: run samtools sort and samtools index"
        )


@numba.njit(cache=True, nogil=True)
def walk_records(raw, at, contig, stop, last):
    """Go on over whole records that start at ``last`` or behind it.

    Returns where the next one starts, whether one lies past the interval, and the position of the last one, for the
    next call, or that one is out of order.
    """
    while at + 12 <= raw.size:
        size = little_endian_32(raw, at)
        number = little_endian_32(raw, at + 4)
        if number != contig and (number > contig or number < 0):
            return at, True, last
        position = little_endian_32(raw, at + 8)
        if number != contig or position < last:
            return at, True, _OUT_OF_ORDER
        if position >= stop:
            return at, True, last
        if size < 32 or at + 4 + size > raw.size:
            break
        at += 4 + size
        last = position
    return at, False, last
