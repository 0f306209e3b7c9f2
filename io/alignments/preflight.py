"""What can be known to be wrong with alignments before any work: everything at once, with what to do."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pysam

from diffbio_core.problems import Problem
from diffbio_io.regions import Intervals

_BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
# The empty container that ends a CRAM file: of version 3, and of version 2.1; the half byte at 8 is not fixed.
_CRAM_EOF = (
    bytes.fromhex("0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b"),
    bytes.fromhex("0b000000ffffffff0fe0454f460000000001000001000606010001000100"),
)
_CLOCK = 2  # seconds; as coarse as some file systems' clocks
_SORT_SAMPLE = 20_000  # reads whose order is looked at

_WANTED = "Give aligned reads as BAM or CRAM."
_REFERENCE_REMEDY = "Give the reference that the reads were aligned to, or name the contigs to call with --region."


@dataclass(frozen=True)
class AlignmentReport:
    """What a look at a BAM or CRAM file found.

    Attributes:
        problems: All that is wrong; with any, the other fields may be empty.
        sample: Name of the sample, as asked for or as the header tells.
        contigs_with_reads: Contigs to be called that have reads, in the header's order.
        mapped_reads: Mapped reads on those contigs, as a BAM's index counts them; None for CRAM, whose index does not.
    """

    problems: tuple[Problem, ...]
    sample: str | None = None
    contigs_with_reads: tuple[str, ...] = ()
    mapped_reads: int | None = None


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
    problems = _file_problems(path)
    if problems:
        return AlignmentReport(tuple(problems))
    with _silence():
        try:
            file = pysam.AlignmentFile(
                str(path),
                reference_filename=None if reference is None else str(reference),
                ignore_truncation=True,
                check_sq=False,
            )
        except (OSError, ValueError):
            return AlignmentReport((Problem(str(path), "is neither BAM nor CRAM", _WANTED),))
        try:
            return _report(path, file, contigs, regions, sample)
        finally:
            with contextlib.suppress(OSError):  # closing repeats what reading told
                file.close()


def _report(
    path: Path,
    file: pysam.AlignmentFile,
    contigs: Mapping[str, int] | None,
    regions: Mapping[str, Intervals] | None,
    sample: str | None,
) -> AlignmentReport:
    if file.is_sam:
        remedy = f"Convert it: `samtools sort -o {path.with_suffix('.bam')} {path}`, then index that."
        return AlignmentReport((Problem(str(path), "is SAM text, which cannot be read by position", remedy),))
    if not file.nreferences and not (file.is_bam or file.is_cram):
        return AlignmentReport((Problem(str(path), "is neither BAM nor CRAM", _WANTED),))
    if not file.nreferences:
        remedy = "Align them to the reference, then sort and index."
        return AlignmentReport(
            (Problem(str(path), "names no contigs in its header: its reads are not aligned", remedy),)
        )
    name, sample_problem = _sample(path, file, sample)
    order = _order_problem(path, file)
    problems = [problem for problem in (sample_problem, order or _index_problem(path, file)) if problem]
    if order or contigs is None:
        return AlignmentReport(tuple(problems), name)
    lengths = dict(zip(file.references, file.lengths, strict=True))
    if not file.has_index():
        asked = [contig for contig in regions or {} if contig in lengths]
        problems += _contig_problems(path, asked, lengths, contigs)
        return AlignmentReport(tuple(problems), name)
    counts = _counts(path, file)
    called = [contig for contig, count in counts.items() if count and (regions is None or contig in regions)]
    problems += _contig_problems(path, called, lengths, contigs)
    if not problems:
        problems += _read_problems(path, file, called, lengths, regions)
    mapped = None if file.is_cram else sum(counts[contig] for contig in called)
    return AlignmentReport(tuple(problems), name, tuple(called), mapped)


def _file_problems(path: Path) -> list[Problem]:
    """Faults that show without parsing: absence, no right to read, a missing end."""
    if not path.is_file():
        return [Problem(str(path), "no such file", _WANTED)]
    try:
        with path.open("rb") as file:
            head = file.read(14)
            file.seek(max(0, path.stat().st_size - 38))
            tail = file.read()
    except OSError as error:
        return [Problem(str(path), f"cannot be read ({error.strerror})", "Give aligned reads that you may read.")]
    bam, cram = head[:2] == b"\x1f\x8b" and head[12:] == b"BC", head[:4] == b"CRAM"
    if (bam and not tail.endswith(_BGZF_EOF)) or (cram and not any(map(partial(_ends, tail), _CRAM_EOF))):
        what = "is truncated: its end-of-file block is missing"
        return [Problem(str(path), what, "Copy it again, or make it again from its source.")]
    return []


def _ends(tail: bytes, container: bytes) -> bool:
    """Whether the last bytes of a CRAM file are this container."""
    found = tail[-len(container) :]
    return len(found) == len(container) and found[:8] + bytes([found[8] & 0x0F]) + found[9:] == container


def _sample(path: Path, file: pysam.AlignmentFile, wanted: str | None) -> tuple[str | None, Problem | None]:
    groups = file.header.to_dict().get("RG", [])
    names = sorted({group["SM"] for group in groups if group.get("SM")})
    if wanted is not None:
        if len(names) > 1 and wanted in names:
            what = f"holds reads of {len(names)} samples, of which one cannot be called alone"
            return None, Problem(str(path), what, "Split it with `samtools split`.")
        return wanted, None
    if len(names) == 1:
        return names[0], None
    if names:
        told = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        remedy = "Split it with `samtools split`, or, if all reads are of one individual, name it with --sample."
        return None, Problem(str(path), f"holds reads of {len(names)} samples: {told}", remedy)
    what = "names no sample (no SM in any @RG line of its header)"
    return None, Problem(str(path), what, "Name it with --sample.")


def _order_problem(path: Path, file: pysam.AlignmentFile) -> Problem | None:
    """Whether the first reads are out of order; what the header says is not relied on."""
    last = False, -1, -1
    told = file.header.to_dict().get("HD", {}).get("SO", "unknown")
    remedy = f"Sort it: `samtools sort -o sorted.bam {path}`, then `samtools index sorted.bam`."
    # Position fields alone: CRAM then needs no reference.
    options = ["required_fields=14"] if file.is_cram else None
    try:
        with pysam.AlignmentFile(str(path), ignore_truncation=True, format_options=options) as reads:
            for _, read in zip(range(_SORT_SAMPLE), reads.fetch(until_eof=True), strict=False):
                # Unmapped reads stand last in a sorted file.
                place = (read.reference_id < 0, read.reference_id, read.reference_start)
                if place < last:
                    what = f"is not sorted by position (its header says {told!r})"
                    return Problem(str(path), what, remedy)
                last = place
    except OSError:
        return Problem(str(path), "is damaged: its first reads cannot be decoded", "Copy or make it again.")
    if told == "queryname":
        return Problem(str(path), "is not sorted by position (its header says 'queryname')", remedy)
    return None


def _index_problem(path: Path, file: pysam.AlignmentFile) -> Problem | None:
    remedy = f"Make one: `samtools index {path}`."
    if not file.has_index():
        found = _index_path(path)
        if found is not None:
            return Problem(str(found), "cannot be read as an index", remedy)
        return Problem(str(path), "has no index (.bai, .csi or .crai) beside it", remedy)
    index = _index_path(path)
    if index is not None and index.stat().st_mtime + _CLOCK < path.stat().st_mtime:
        return Problem(str(index), f"is older than {path}", f"{remedy} (If it is right all the same, `touch` it.)")
    return None


def _index_path(path: Path) -> Path | None:
    """The index that htslib takes."""
    kinds = (".crai",) if path.suffix == ".cram" else (".csi", ".bai")
    for kind in kinds:
        for candidate in (path.with_name(path.name + kind), path.with_suffix(kind)):
            if candidate.is_file():
                return candidate
    return None


def _counts(path: Path, file: pysam.AlignmentFile) -> dict[str, int]:
    """Mapped reads by contig; for CRAM, whose index does not count, the number of its slices."""
    if not file.is_cram:
        counts = {entry.contig: entry.mapped for entry in file.get_index_statistics()}
        if any(counts.values()):
            return counts
        # Some indexes hold no counts.
        return {contig: int(any(True for _ in file.fetch(contig))) for contig in counts}
    counts = dict.fromkeys(file.references, 0)
    index = _index_path(path)
    lines = gzip.decompress(index.read_bytes()).decode().splitlines() if index else []
    for line in lines:
        number = int(line.split("\t")[0])
        if 0 <= number < len(file.references):
            counts[file.references[number]] += 1
    return counts


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


def _read_problems(
    path: Path,
    file: pysam.AlignmentFile,
    called: list[str],
    lengths: Mapping[str, int],
    regions: Mapping[str, Intervals] | None,
) -> list[Problem]:
    """Whether any read lies where calls are wanted, and whether it can be decoded."""
    for contig in called:
        for start, stop in regions[contig] if regions is not None else ((0, lengths[contig]),):
            try:
                read = next(file.fetch(contig, start, stop), None)
            except OSError as error:
                if file.is_cram:
                    what = f"its reads on {contig} cannot be decoded with this reference"
                    return [Problem(str(path), what, "Give the reference that the CRAM file was made with.")]
                what = f"is damaged: its reads on {contig} cannot be decoded ({error})"
                return [Problem(str(path), what, "Make it, and its index, again.")]
            if read is not None:
                return []
    if not file.is_cram and _first_is_mapped(path):
        index = _index_path(path)
        if not any(_counts(path, file).values()):
            what = f"is not the index of {path}: it knows of no reads"
            return [Problem(str(index), what, f"Make it again: `samtools index {path}`.")]
    if regions is None:
        return [Problem(str(path), "has no reads that are mapped", "Give reads that were aligned to the reference.")]
    absent = [contig for contig in regions if contig not in lengths]
    told = f"; its header has no contig {absent[0]!r}, but {_named_like(absent[0], lengths)}" if absent else ""
    what = f"has no reads in the regions asked for{told}"
    return [Problem(str(path), what, "Check the regions, or the file.")]


def _named_like(contig: str, lengths: Mapping[str, int]) -> str:
    """The header's contig that differs only by 'chr', or else the first few."""
    other = contig[3:] if contig.startswith("chr") else f"chr{contig}"
    return repr(other) if other in lengths else ", ".join(list(lengths)[:4]) + (", ..." if len(lengths) > 4 else "")


def _first_is_mapped(path: Path) -> bool:
    """Whether a BAM file's first read lies on a contig."""
    with pysam.AlignmentFile(str(path), ignore_truncation=True) as file:
        return any(read.reference_id >= 0 for read in itertools.islice(file.fetch(until_eof=True), 1))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep htslib's own lines off the terminal: what it finds is told as problems."""
    level = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(level)
