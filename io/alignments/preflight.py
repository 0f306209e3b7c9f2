"""What can be known to be wrong with alignments before any work: everything at once, with what to do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pysam

from diffbio_core.problems import InputError, Problem
from diffbio_io.alignments.header import AlignmentHeader, read_header
from diffbio_io.alignments.index_file import CheckedIndex, check_index
from diffbio_io.fasta import md5_of_contigs
from diffbio_io.regions import Intervals

_BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
# The empty container that ends a CRAM file: of version 3, and of version 2.1; the half byte at 8 is not fixed.
_CRAM_EOF = (
    bytes.fromhex("0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b"),
    bytes.fromhex("0b000000ffffffff0fe0454f460000000001000001000606010001000100"),
)
_SORT_SAMPLE = 20_000  # reads whose order is looked at

_REFERENCE_REMEDY = "Give the reference that the reads were aligned to, or name the contigs to call with --region."


@dataclass(frozen=True)
class AlignmentReport:
    """What a look at a BAM or CRAM file found.

    Attributes:
        problems: All that is wrong; with any, the other fields may be empty.
        sample: Name of the sample, as asked for or as the header tells.
        contigs_with_reads: Contigs to be called that have reads, in the header's order.
        mapped_reads: Mapped reads on those contigs, as a BAM's index counts them; None for CRAM, whose index does not.
        warnings: What is odd but can be worked with, to be told.
    """

    problems: tuple[Problem, ...]
    sample: str | None = None
    contigs_with_reads: tuple[str, ...] = ()
    mapped_reads: int | None = None
    warnings: tuple[Problem, ...] = ()


def check_alignment(
    path: str | os.PathLike[str],
    reference: str | os.PathLike[str] | None,
    contigs: Mapping[str, int] | None,
    regions: Mapping[str, Intervals] | None = None,
    sample: str | None = None,
) -> AlignmentReport:
    """Look at an alignment file, its index, its header and a few of its reads.

    Args:
        path: BAM or CRAM file.
        reference: FASTA file, needed to decode CRAM.
        contigs: Length (bp) of every contig of the reference; None where it could not be read, then what needs it is
            passed over.
        regions: What is to be called; None for all contigs that have reads.
        sample: Name that the sample is to have; None for the one in the header.
    """
    path = Path(path)
    try:
        header = read_header(path)
    except InputError as error:
        return AlignmentReport(_end_problems(path) or error.problems)
    problems = _end_problems(path)
    if problems:
        return AlignmentReport(problems)
    if not header.contigs:
        what = "names no contigs in its header: its reads are not aligned"
        return AlignmentReport((Problem(str(path), what, "Align them to the reference, then sort and index."),))
    reference = None if reference is None else str(reference)
    with _silence():
        return _Look(path, header, reference).report(contigs, regions, sample)


@dataclass(frozen=True)
class _Look:
    """A file that is BAM or CRAM by its header."""

    path: Path
    header: AlignmentHeader
    reference: str | None

    def report(
        self, contigs: Mapping[str, int] | None, regions: Mapping[str, Intervals] | None, sample: str | None
    ) -> AlignmentReport:
        """See `check_alignment`."""
        path, lengths = self.path, self.header.contigs
        name, sample_problem = _sample(path, self.header, sample)
        problems = [sample_problem] if sample_problem and name is None else []
        warnings = self.header.warnings + ((sample_problem,) if sample_problem and name is not None else ())
        order = self._order_problem()
        if order:
            return AlignmentReport((*problems, order), name, warnings=warnings)
        index = None
        try:
            index = check_index(path, list(lengths), self.header.first_contig, is_cram=self.header.is_cram)
            warnings += index.warnings
        except InputError as error:
            problems += error.problems
        if index is None or contigs is None:
            asked = [contig for contig in regions or {} if contig in lengths]
            problems += _contig_problems(path, asked, lengths, contigs) if contigs is not None else []
            return AlignmentReport(tuple(problems), name, warnings=warnings)
        called = [c for c in lengths if index.reads.get(c) and (regions is None or c in regions)]
        problems += _contig_problems(path, called, lengths, contigs)
        if not problems:
            problems += self._read_problems(index, called, regions) or self._md5_problems(called)
        mapped = sum(index.reads[contig] for contig in called) if index.counts else None
        return AlignmentReport(tuple(problems), name, tuple(called), mapped, warnings)

    def _open(self, index: Path | None = None, format_options: list[str] | None = None) -> pysam.AlignmentFile:
        return pysam.AlignmentFile(
            str(self.path),
            reference_filename=self.reference,
            index_filename=None if index is None else str(index),
            ignore_truncation=True,
            check_sq=False,
            format_options=format_options,
        )

    def _order_problem(self) -> Problem | None:
        """Whether the first reads are out of order; what the header says is not relied on."""
        last = False, -1, -1
        told, path = self.header.sort_order, self.path
        unsorted = Problem(
            str(path),
            f"is not sorted by position (its header says {told!r})",
            f"Sort it: `samtools sort -o sorted.bam {path}`, then `samtools index sorted.bam`.",
        )
        # Position fields alone: CRAM then needs no reference.
        options = ["required_fields=14"] if self.header.is_cram else None
        try:
            with contextlib.closing(self._open(format_options=options)) as reads:
                for _, read in zip(range(_SORT_SAMPLE), reads.fetch(until_eof=True), strict=False):
                    # Unmapped reads stand last in a sorted file.
                    place = (read.reference_id < 0, read.reference_id, read.reference_start)
                    if place < last:
                        return unsorted
                    last = place
        except (OSError, ValueError):
            return Problem(str(path), "is damaged: its first reads cannot be decoded", "Copy or make it again.")
        return unsorted if told == "queryname" else None

    def _md5_problems(self, called: list[str]) -> list[Problem]:
        """Contigs whose bases are not those that the header names the MD5 of: another build, or an altered copy."""
        told = {contig: self.header.md5[contig] for contig in called if contig in self.header.md5}
        if not told or self.reference is None:
            return []
        try:
            found = md5_of_contigs(Path(self.reference), told)
        except (ValueError, OSError) as error:
            return [Problem(self.reference, f"is damaged ({error})", "Copy it again, and index it.")]
        wrong = [contig for contig in told if told[contig] != found[contig]]
        if not wrong:
            return []
        contig = wrong[0]
        what = f"its header gives {contig} the MD5 {told[contig]} (M5 of @SQ), but in {self.reference} it is "
        more = f", and {len(wrong) - 1} more contigs differ" if len(wrong) > 1 else ""
        command = f"samtools reheader -c \"sed 's/\\tM5:[0-9a-fA-F]*//'\" {self.path} > other{self.path.suffix}"
        remedy = (
            "Give the reference that the reads were aligned to. If the difference does not matter, drop the claim: "
        )
        return [Problem(str(self.path), what + found[contig] + more, f"{remedy}`{command}`.")]

    def _read_problems(
        self, index: CheckedIndex, called: list[str], regions: Mapping[str, Intervals] | None
    ) -> list[Problem]:
        """Whether any read lies where calls are wanted, and whether it can be decoded."""
        path, lengths = self.path, self.header.contigs
        # By number, since htslib parses the whole header to find a name.
        number = {contig: number for number, contig in enumerate(lengths)}
        with contextlib.closing(self._open(index.path)) as file:
            for contig in called:
                for start, stop in regions[contig] if regions is not None else ((0, lengths[contig]),):
                    try:
                        read = next(file.fetch(tid=number[contig], start=start, stop=stop), None)
                    except (OSError, ValueError) as error:
                        if self.header.is_cram:
                            what = f"its reads on {contig} cannot be decoded with this reference"
                            return [Problem(str(path), what, "Give the reference that the CRAM file was made with.")]
                        what = f"is damaged: its reads on {contig} cannot be decoded ({error})"
                        return [Problem(str(path), what, "Make it, and its index, again.")]
                    if read is not None:
                        return []
        if regions is None:
            return [
                Problem(str(path), "has no reads that are mapped", "Give reads that were aligned to the reference.")
            ]
        absent = [contig for contig in regions if contig not in lengths]
        told = f"; its header has no contig {absent[0]!r}, but {_named_like(absent[0], lengths)}" if absent else ""
        what = f"has no reads in the regions asked for{told}"
        return [Problem(str(path), what, "Check the regions, or the file.")]


def _end_problems(path: Path) -> tuple[Problem, ...]:
    """A missing end, which shows without parsing."""
    try:
        with path.open("rb") as file:
            head = file.read(14)
            file.seek(max(0, path.stat().st_size - 38))
            tail = file.read()
    except (OSError, ValueError):
        return ()
    bam, cram = head[:2] == b"\x1f\x8b" and head[12:] == b"BC", head[:4] == b"CRAM"
    if (bam and not tail.endswith(_BGZF_EOF)) or (cram and not any(map(partial(_ends, tail), _CRAM_EOF))):
        what = "is truncated: its end-of-file block is missing"
        return (Problem(str(path), what, "Copy it again, or make it again from its source."),)
    return ()


def _ends(tail: bytes, container: bytes) -> bool:
    """Whether the last bytes of a CRAM file are this container."""
    found = tail[-len(container) :]
    return len(found) == len(container) and found[:8] + bytes([found[8] & 0x0F]) + found[9:] == container


def _sample(path: Path, header: AlignmentHeader, wanted: str | None) -> tuple[str | None, Problem | None]:
    """Name of the sample, if it can be told, and what is wrong with it or odd about it."""
    names = header.samples
    if wanted is not None:
        if len(names) > 1 and wanted in names:
            what = f"holds reads of {len(names)} samples, of which one cannot be called alone"
            return None, Problem(str(path), what, "Split it with `samtools split`.")
        return wanted, None
    if len(names) == 1:
        if not names[0].isprintable():
            what = f"names its sample {names[0]!r}, which cannot be the name of a VCF's column"
            return None, Problem(str(path), what, "Name it with --sample.")
        return names[0], None
    if names:
        told = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        remedy = "Split it with `samtools split`, or, if all reads are of one individual, name it with --sample."
        return None, Problem(str(path), f"holds reads of {len(names)} samples: {told}", remedy)
    what = "names no sample (no SM in any @RG line of its header)"
    if not path.stem.isprintable():
        return None, Problem(str(path), what, "Name it with --sample.")
    # As bcftools does.
    return path.stem, Problem(
        str(path), what, f"It is called {path.stem}, as the file is; --sample names it otherwise."
    )


def _contig_problems(
    path: Path, called: list[str], lengths: Mapping[str, int], contigs: Mapping[str, int]
) -> list[Problem]:
    """Contigs with reads that the reference lacks, or has with another length."""
    problems = []
    absent = [contig for contig in called if contig not in contigs]
    if absent:
        told = ", ".join(absent[:8]) + (", ..." if len(absent) > 8 else "")
        renamed = [c for c in absent if (c[3:] if c.startswith("chr") else f"chr{c}") in contigs]
        hint = " (the reference names contigs with and the reads without 'chr', or the other way round)"
        count = "1 contig" if len(absent) == 1 else f"{len(absent)} contigs"
        what = f"has reads on {count} that the reference lacks: {told}{hint if renamed else ''}"
        problems.append(Problem(str(path), what, _REFERENCE_REMEDY))
    for contig in called:
        if contig in contigs and lengths[contig] != contigs[contig]:
            what = f"{contig} is {lengths[contig]:,} bp long in its header, but {contigs[contig]:,} in the reference"
            problems.append(Problem(str(path), what, _REFERENCE_REMEDY))
    return problems


def _named_like(contig: str, lengths: Mapping[str, int]) -> str:
    """The header's contig that differs only by 'chr', or else the first few."""
    other = contig[3:] if contig.startswith("chr") else f"chr{contig}"
    return repr(other) if other in lengths else ", ".join(list(lengths)[:4]) + (", ..." if len(lengths) > 4 else "")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep htslib's own lines off the terminal: what it finds is told as problems."""
    level = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(level)
