"""The index of an alignment file: which one is taken, and whether it is that file's."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from diffbio_core.problems import InputError, Problem
from diffbio_io.alignments.bgzf import CorruptBlock, read_blocks
from diffbio_io.alignments.cram import CramError, first_container, read_container
from diffbio_io.alignments.index import BamIndex
from diffbio_io.files.index_choice import IndexChoice, choose_index, told_as_older

_BAM_ENDINGS = (".bai", ".csi")
_CRAM_ENDINGS = (".crai",)
_MOST_LOOKED_AT = 64  # contigs whose place in the file is compared with the index


def find_index(path: str | Path) -> IndexChoice | None:
    """The index beside a BAM or CRAM file that everything reads it by: the freshest; None where there is none.

    Raises:
        OSError: The file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        is_cram = file.read(4) == b"CRAM"
    return choose_index(path, _CRAM_ENDINGS if is_cram else _BAM_ENDINGS)


@dataclass(frozen=True)
class CheckedIndex:
    """An index that belongs to its file.

    Attributes:
        path: The index.
        reads: By contig with reads: how many are mapped, or, where the index does not count, 1.
        counts: Whether the numbers of reads are such.
        warnings: Stale indexes beside it.
    """

    path: Path
    reads: dict[str, int]
    counts: bool
    warnings: tuple[Problem, ...]


def check_index(path: Path, contigs: Sequence[str], first_contig: int | None, *, is_cram: bool) -> CheckedIndex:
    """Find an alignment file's index and see whether it is of this file, as it is now.

    Time of change does not tell alone: a copy may be younger than what it was copied with. What the index says of where
    each contig's reads start and end is compared with the records that lie there.

    Args:
        path: BAM or CRAM file.
        contigs: Names of its header.
        first_contig: Number of the contig of a BAM file's first read; None without reads.
        is_cram: Which of the two.

    Raises:
        InputError: There is none, or it is damaged, stale or another file's.
    """
    remedy = f"Make it again: `samtools index {path}`."
    choice = choose_index(path, _CRAM_ENDINGS if is_cram else _BAM_ENDINGS)
    if choice is None:
        what = "has no index (.bai, .csi or .crai) beside it"
        raise InputError([Problem(str(path), what, f"Make one: `samtools index {path}`.")])
    told = str(choice.path)
    if choice.is_stale:
        remedy = f"{remedy} (If it is right all the same, `touch` it.)"
        raise InputError([Problem(told, *told_as_older(path, remedy))])
    try:
        if is_cram:
            reads, counts = _cram_reads(path, choice.path, contigs), False
        else:
            reads, counts = _bam_reads(path, BamIndex(choice.path), contigs, first_contig)
    except _ForeignIndexError as error:
        raise InputError([Problem(told, f"is not the index of {path}: {error}", remedy)]) from None
    except (ValueError, OSError) as error:
        what = f"cannot be read as an index ({' '.join(str(error).split())})"
        raise InputError([Problem(told, what, remedy)]) from None
    return CheckedIndex(choice.path, reads, counts, tuple(choice.warnings()))


class _ForeignIndexError(Exception):
    """What an index says is not so in the file."""


def _bam_reads(
    path: Path, index: BamIndex, contigs: Sequence[str], first_contig: int | None
) -> tuple[dict[str, int], bool]:
    spans = [(number, span) for number in range(index.num_contigs) if (span := index.span(number)) is not None]
    if index.num_contigs > len(contigs):
        raise _ForeignIndexError(f"it is of {index.num_contigs} contigs, of which the header names {len(contigs)}")
    if first_contig is not None and first_contig >= 0 and not spans:
        raise _ForeignIndexError("it knows of no reads")
    numbers = [number for number, _ in spans]
    if (first_contig if first_contig is not None and first_contig >= 0 else None) != (numbers[0] if numbers else None):
        raise _ForeignIndexError("it begins with another contig's reads")
    following = dict(zip(numbers, [*numbers[1:], -1], strict=False))
    # The last tells of a shorter state of the file; any gives away another file.
    looked_at = [*spans[:: -(-len(spans) // _MOST_LOOKED_AT) or 1], *spans[-1:]]
    if spans and max(stop for _, (_, stop) in spans) >> 16 > path.stat().st_size:
        raise _ForeignIndexError("it has reads behind the end of the file, which is cut off if it was not written anew")
    with path.open("rb") as file:
        for number, (start, stop) in looked_at:
            for offset, wanted in ((start, number), (stop, following[number])):
                found = _contig_at(file, offset)
                if found != wanted:
                    where = _place(contigs, wanted)
                    raise _ForeignIndexError(f"where it has {where}, there is {_place(contigs, found)}")
    counted = all(index.mapped[number] is not None for number in numbers)
    return {contigs[number]: index.mapped[number] if counted else 1 for number in numbers}, counted  # type: ignore[misc]


def _contig_at(file: BinaryIO, offset: int) -> int | None:
    """Contig number of the record at a virtual offset; -1 at the end and for unmapped reads, None where none is."""
    head = b""
    try:
        for block in read_blocks(file, offset, read_ahead=1 << 17):
            head += block[: 12 - len(head)]
            if len(head) == 12:
                break
    except CorruptBlock:
        return None
    size, contig = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (0, 4))
    if not head:
        return -1
    return contig if len(head) == 12 and size >= 32 else None


def _place(contigs: Sequence[str], number: int | None) -> str:
    if number is None or not -1 <= number < len(contigs):
        return "no record"
    return f"a read of {contigs[number]}" if number >= 0 else "the end of the mapped reads"


def _cram_reads(path: Path, index: Path, contigs: Sequence[str]) -> dict[str, int]:
    """Number of slices by contig, which is all that a CRAI says."""
    entries = list(_crai_entries(index))
    slices = Counter(number for number, _ in entries if number >= 0)
    if slices and max(slices) >= len(contigs):
        raise _ForeignIndexError(f"it is of {max(slices) + 1} contigs, of which the header names {len(contigs)}")
    offsets = [offset for _, offset in entries]
    try:
        with path.open("rb") as file:
            begin = first_container(file)
            if offsets and min(offsets) != begin:
                raise _ForeignIndexError("it begins at other reads")
            end = read_container(file, max(offsets)).stop if offsets else begin
            if read_container(file, end).reference_id != -1:  # what ends a file, or reads that are not mapped
                raise _ForeignIndexError("it ends before the file's reads do")
    except CramError:
        raise _ForeignIndexError("where it has reads, there are none") from None
    return {contigs[number]: count for number, count in sorted(slices.items())}


def crai_spans(index: Path) -> Iterable[tuple[int, int, int]]:
    """Contig number and 0-based half-open span of every slice of a CRAM file that has mapped reads."""
    for fields in _crai_lines(index):
        number, start, length = fields[:3]
        if number >= 0:
            yield number, max(start - 1, 0), start - 1 + length


def _crai_entries(index: Path) -> Iterable[tuple[int, int]]:
    """Contig number and the byte of the container of every slice."""
    return ((fields[0], fields[3]) for fields in _crai_lines(index))


def _crai_lines(index: Path) -> Iterable[list[int]]:
    data = index.read_bytes()
    try:
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it is cut off or damaged: {error}") from None
    for line in text.splitlines():
        fields = line.split(b"\t")
        if len(fields) != 6:
            raise ValueError("it is no CRAI")
        yield list(map(int, fields))
