"""BAM files whose header holds what samtools would not write."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pysam


def write_raw_bam(path: Path, text: bytes, contigs: Sequence[tuple[bytes, int]], starts: Sequence[int] = (5,)) -> Path:
    """A BAM file of exactly this header, with reads of 10 bp on its first contig, and its index.

    samtools indexes no file whose header it does not like, or that is not sorted: the index is made with a comment of
    the same length instead, and of the sorted reads.
    """
    comment = (b"@CO\t" + b"x" * len(text))[: len(text)]
    for written, order, is_final in ((comment, sorted(starts), False), (text, starts, True)):
        data = b"BAM\1" + struct.pack("<i", len(written)) + written + struct.pack("<i", len(contigs))
        for name, length in contigs:
            data += struct.pack("<i", len(name) + 1) + name + b"\0" + struct.pack("<i", length)
        for start in order:
            record = struct.pack("<iiBBHHHiiii", 0, start, 2, 60, 4680, 1, 0, 10, -1, -1, 0)
            record += b"r\0" + struct.pack("<I", 10 << 4) + bytes([0x11] * 5) + bytes([30] * 10)
            data += struct.pack("<i", len(record)) + record
        # Uncompressed, so that places do not move.
        with pysam.BGZFile(str(path), "wb0") as file:
            file.write(data)
        if not is_final:
            pysam.index(str(path))
    Path(f"{path}.bai").touch()
    return path
