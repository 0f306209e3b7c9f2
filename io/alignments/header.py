"""The header of an alignment file, read as tolerantly as htslib reads it: what no result needs cannot stop a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffbio_core.problems import InputError, Problem
from diffbio_io.alignments.bgzf import CorruptBlock, read_blocks
from diffbio_io.alignments.cram import CramError, read_header_text
from diffbio_io.alignments.header_text import HeaderText
from diffbio_io.files.kinds import file_problem, foreign_compression

WANTED = "Give aligned reads as BAM or CRAM."

_SAM_LINE = re.compile(rb"(@[A-Z]{2}\t|[^\t\n]+\t\d+\t[^\t\n]+\t\d+\t\d+\t[^\t\n]+\t)")
_FASTQ = re.compile(rb"@[^\n]*\n[A-Za-z.]+\r?\n\+")
_REMAKE = "Copy it again, or make it again from its source."
_REHEADER = "Mend its header: `samtools view -H`, an editor, `samtools reheader`."
_MAKE_AGAIN = "samtools cannot read it either: make the file again from its source."
_MOST_TOLD = 3


@dataclass(frozen=True)
class AlignmentHeader:
    """What the header of a BAM or CRAM file says.

    Attributes:
        is_cram: Whether the file is CRAM.
        contigs: Length (bp) by name, in the file's order.
        md5: MD5 of the contigs of which the header names one, in lower case.
        samples: Names of the samples of its read groups, sorted.
        sort_order: As it claims.
        first_contig: Of a BAM file, number of the contig of the first read (-1 if it is not mapped); None for CRAM, and
            where there are no reads.
        warnings: What was passed over or read in another way than its writer may have meant.
    """

    is_cram: bool
    contigs: dict[str, int]
    md5: dict[str, str] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    sort_order: str = "unknown"
    first_contig: int | None = None
    warnings: tuple[Problem, ...] = ()


def read_header(path: Path) -> AlignmentHeader:
    """Read a file's header.

    Raises:
        InputError: The file is neither BAM nor CRAM, or its header cannot be read.
    """
    problem = file_problem(path, WANTED)
    if problem:
        raise InputError([problem])
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            if head[:4] == b"CRAM":
                return _header(path, HeaderText.parse(read_header_text(file)))
            if head[:2] != b"\x1f\x8b" or head[12:14] != b"BC":
                raise InputError([_foreign(path, head)])
            stream = _Stream(read_blocks(file, 0))
            magic = stream.upto(4)
            if magic != b"BAM\1":
                raise InputError([_foreign(path, magic + stream.upto(4096))])
            text = HeaderText.parse(stream.take(stream.number()))
            contigs = []
            for _ in range(stream.number()):
                name = stream.take(stream.number()).rstrip(b"\0")
                contigs.append((name.decode("utf-8", "replace"), stream.number()))
            first = stream.upto(8)
    except (CramError, CorruptBlock, EOFError, OSError) as error:
        raise InputError([Problem(str(path), f"is damaged: its header cannot be read ({error})", _REMAKE)]) from None
    first_contig = int.from_bytes(first[4:], "little", signed=True) if len(first) == 8 else None
    return _header(path, text, contigs, first_contig)


def _foreign(path: Path, head: bytes) -> Problem:
    """What a file is that is neither BAM nor CRAM."""
    packed = foreign_compression(path, head)
    if packed:
        return packed
    if _FASTQ.match(head):
        return Problem(
            str(path), "is FASTQ: its reads are not aligned", "Align them to the reference, then sort and index."
        )
    if _SAM_LINE.match(head):
        remedy = f"Convert it: `samtools sort -o {path.with_suffix('.bam')} {path}`, then index that."
        return Problem(str(path), "is SAM text, which cannot be read by position", remedy)
    return Problem(str(path), "is neither BAM nor CRAM", WANTED)


class _Stream:
    """Bytes of a BAM file in order."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._held = blocks, b""

    def upto(self, length: int) -> bytes:
        """The next bytes, fewer at the file's end."""
        parts, held = [self._held], len(self._held)
        while held < length:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(block)
            held += len(block)
        data = b"".join(parts)
        self._held = data[length:]
        return data[:length]

    def take(self, length: int) -> bytes:
        """The next bytes, all of them."""
        data = self.upto(length) if length >= 0 else b""
        if len(data) != length:
            raise EOFError("it is cut off")
        return data

    def number(self) -> int:
        """The next 32 bits."""
        return int.from_bytes(self.take(4), "little", signed=True)


def _header(
    path: Path, text: HeaderText, contigs: list[tuple[str, int]] | None = None, first_contig: int | None = None
) -> AlignmentHeader:
    """The header of its text and of BAM's own list of contigs; None for CRAM, which has only the text."""
    if text.faults:
        told = text.faults[:_MOST_TOLD]
        raise InputError([Problem(f"{path}, header line {number}", what, _MAKE_AGAIN) for number, what in told])
    faults: list[str] = []
    if contigs is None:
        faults = [f"line {number} of its header {what}" for number, what in text.oddities if "(no SN)" in what]
        faults += [f"its header tells no length of contig {name!r}" for name, length in text.contigs if length is None]
        listed = {name: length or 0 for name, length in text.contigs}
        number = len(text.contigs)
    else:
        faults += _differences(text.contigs, contigs)
        listed, number = dict(contigs), len(contigs)
    if len(listed) < number:
        names = [name for name, _ in (text.contigs if contigs is None else contigs)]
        faults.append(f"names contig {next(n for n in names if names.count(n) > 1)!r} twice in its header")
    if faults:
        raise InputError([Problem(str(path), fault, _REHEADER) for fault in faults[:_MOST_TOLD]])
    return AlignmentHeader(
        is_cram=contigs is None,
        contigs=listed,
        md5=text.md5,
        samples=tuple(sorted(text.samples)),
        sort_order=text.sort_order,
        first_contig=first_contig,
        warnings=tuple(_told(path, text.oddities)),
    )


def _differences(told: Sequence[tuple[str, int | None]], listed: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Where the text names other contigs than the list by which BAM's reads are placed; it may name none."""
    if not told:
        return
    for number, ((name, length), (listed_name, listed_length)) in enumerate(zip(told, listed, strict=False), start=1):
        if name != listed_name:
            yield f"its contig {number} is {name!r} in its header's text, but {listed_name!r} in its list of contigs"
            return
        if length not in (None, listed_length):
            what = f"{length:,} bp long in its header's text, but {listed_length:,} in its list of contigs"
            yield f"{name} is {what}"
    if len(told) != len(listed):
        yield f"names {len(told)} contigs in its header's text, but {len(listed)} in its list of contigs"


def _told(path: Path, oddities: Sequence[tuple[int, str]]) -> Iterator[Problem]:
    """The first few oddities of a header, and how many more there are."""
    for number, what in oddities[:_MOST_TOLD]:
        yield Problem(f"{path}, header line {number}", what, "Mend it with `samtools reheader` if it matters.")
    if len(oddities) > _MOST_TOLD:
        what = f"{len(oddities) - _MOST_TOLD} more lines of its header are odd"
        yield Problem(str(path), what, "See it with `samtools view -H`.")
