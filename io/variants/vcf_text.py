"""VCF as text: its header and records, each fault told with its line; what htslib tolerates is tolerated."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pysam

from diffbio_core.problems import InputError, Problem
from diffbio_io.files.text import is_bgzf, text_lines

_COLUMNS = [b"#CHROM", b"POS", b"ID", b"REF", b"ALT", b"QUAL", b"FILTER", b"INFO"]
_CONTIG = re.compile(rb"##contig=<(.*)>")
_FIELD = re.compile(rb'(?:^|,)(ID|length)=("[^"]*"|[^,]*)')
_GENOTYPE = re.compile(rb"[|/]?(?:\.|\d{1,9})(?:[|/](?:\.|\d{1,9}))*")
_ALLELE = re.compile(rb"\.|\d+")
_MOST_TOLD = 5


@dataclass(frozen=True)
class VcfRecord:
    """One line and the genotype of one sample.

    Attributes:
        line: Number of the line, from 1; of a BCF, of the record.
        contig: Name of the contig.
        position: Of the first base of ``ref``, 0-based.
        alleles: Reference and alternative alleles, as written.
        genotype: Numbers of alleles, None for a missing one; None where the record has no GT.
        passed: Whether it passed every filter.
    """

    line: int
    contig: str
    position: int
    alleles: tuple[str, ...]
    genotype: tuple[int | None, ...] | None
    passed: bool


class VcfText:
    """A VCF or BCF file, read from its start to its end.

    Attributes:
        path: The file.
        samples: Names of its samples.
        lengths: Length (bp) of the contigs for which the header gives one.
        contigs: Contigs of the records gone through so far, in the order of their first.

    Args:
        path: VCF, plain or compressed with bgzip or gzip, or BCF.

    Raises:
        InputError: The file is missing or is not VCF.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.lengths: dict[str, int] = {}
        self._contigs: dict[bytes, bool] = {}
        self._lines = enumerate(_source(self.path), start=1)
        for _, line in self._lines:
            line = _unquoted(line)
            if line.startswith(b"#CHROM"):
                self._columns = line.rstrip().split(b"\t")
                break
            if not line.startswith(b"##") and line.strip():
                self._refuse_header("its first lines are no header")
            self._read_contig(line)
        else:
            self._refuse_header("it has no line that begins with #CHROM")
        if self._columns[:8] != _COLUMNS or (len(self._columns) > 8 and self._columns[8] != b"FORMAT"):
            self._refuse_header("its #CHROM line does not name VCF's columns, separated by tabs")
        self.samples = [name.decode("utf-8", "replace") for name in self._columns[9:]]
        twice = {name for name in self.samples if self.samples.count(name) > 1} if self.samples else ()
        if twice:
            what = f"names sample {min(twice)!r} twice"
            raise InputError([Problem(str(path), what, "Rename one: `bcftools reheader -s`.")])

    def _refuse_header(self, why: str) -> None:
        raise InputError([Problem(str(self.path), f"cannot be read as VCF ({why})", "Give a VCF file.")])

    def _read_contig(self, line: bytes) -> None:
        match = _CONTIG.fullmatch(line.rstrip())
        fields = dict(_FIELD.findall(match[1])) if match else {}
        length = fields.get(b"length", b"").strip(b'"')
        if length.isdigit() and len(length) < 12:
            self.lengths[fields.get(b"ID", b"").decode("utf-8", "replace")] = int(length)

    @property
    def contigs(self) -> list[str]:
        """See the class."""
        return [name.decode("utf-8", "replace") for name in self._contigs]

    def records(self, sample: str, only: Container[str] | None = None) -> Iterator[VcfRecord]:
        """Every record, with the genotype of a sample; can be gone through once.

        Args:
            sample: Name of the sample.
            only: Contigs whose records are wanted; None for all.

        Raises:
            InputError: With the first faults of lines that cannot be read.
        """
        column = 9 + self.samples.index(sample)
        faults: list[tuple[int, str]] = []
        for number, line in self._lines:
            if not line.strip():
                continue
            contig, tab, _ = line.partition(b"\t")
            if tab:
                if contig not in self._contigs:
                    name = contig.strip(b'"').decode("utf-8", "replace")
                    self._contigs[contig] = only is None or name in only
                if not self._contigs[contig]:
                    continue
            fields = self._fields(line)
            record = _record(number, fields, column) if isinstance(fields, list) else fields
            if isinstance(record, VcfRecord):
                yield record
            else:
                faults.append((number, record))
        if faults:
            raise InputError(list(self._told(faults)))

    def _fields(self, line: bytes) -> list[bytes] | str:
        """The columns of a line, or why it has none."""
        wanted = len(self._columns)
        fields = _unquoted(line).split(b"\t")
        while len(fields) > wanted and not fields[-1].strip():
            fields.pop()  # as spreadsheets fill up lines
        if len(fields) == wanted:
            return fields
        if len(fields) == 1 and len(line.split()) > 1:
            return "is not separated by tabs"
        return f"has {len(fields)} columns, but the #CHROM line names {wanted}"

    def _told(self, faults: Sequence[tuple[int, str]]) -> Iterator[Problem]:
        for number, what in faults[:_MOST_TOLD]:
            yield Problem(f"{self.path}, line {number}", what, "Mend the line, or make the file again.")
        if len(faults) > _MOST_TOLD:
            what = f"{len(faults) - _MOST_TOLD} more lines cannot be read"
            yield Problem(str(self.path), what, "Make the file again.")


def _record(number: int, fields: list[bytes], column: int) -> VcfRecord | str:
    """The record of a line, or what is wrong with it."""
    contig, position, _, ref, alts, _, filters, _, keys = fields[:9]
    if not (position.isdigit() and len(position) < 12):
        return f"its POS, {_shown(position)}, is not a whole number of 0 or more"
    if not contig or not ref or not alts:
        return "has an empty CHROM, REF or ALT"
    alleles = (ref, *(alts.split(b",") if alts != b"." else ()))
    genotype = _genotype(keys, fields[column], len(alleles))
    if isinstance(genotype, str):
        return genotype
    return VcfRecord(
        number,
        contig.decode("utf-8", "replace"),
        int(position) - 1,
        tuple(allele.decode("utf-8", "replace") for allele in alleles),
        genotype,
        not set(filters.split(b";")) - {b"PASS", b".", b""},
    )


def _genotype(keys: bytes, values: bytes, alleles: int) -> tuple[int | None, ...] | str | None:
    """Numbers of alleles; None where the record has no GT; what is wrong with it where it has an impossible one."""
    names = keys.split(b":")
    if b"GT" not in names:
        return None
    place = names.index(b"GT")
    entries = values.split(b":")
    text = (entries[place] if place < len(entries) else b"") or b"."
    if not _GENOTYPE.fullmatch(text):
        return f"its GT, {_shown(text)}, is no genotype"
    genotype = tuple(None if allele == b"." else int(allele) for allele in _ALLELE.findall(text))
    if max((allele or 0 for allele in genotype), default=0) >= alleles:
        return f"its GT, {_shown(text)}, names an allele that ALT lacks"
    return genotype


def _shown(text: bytes) -> str:
    return repr(text[:30].decode("utf-8", "replace"))


def _unquoted(line: bytes) -> bytes:
    """A line as it was before a spreadsheet put quotes around what has commas or quotes."""
    if b'"' not in line or (line.startswith(b"##") and b"\t" not in line.rstrip()):
        return line
    return b"\t".join(
        field[1:-1].replace(b'""', b'"') if len(field) > 1 and field[:1] == field[-1:] == b'"' else field
        for field in line.split(b"\t")
    )


def _source(path: Path) -> Iterator[bytes]:
    """Lines of a VCF, or of what a BCF would be as VCF."""
    lines = text_lines(path, "VCF")
    first = next(lines, b"")
    return _bcf_lines(path) if first.startswith(b"BCF") and is_bgzf(path) else chain((first,), lines)


def _bcf_lines(path: Path) -> Iterator[bytes]:
    verbosity = pysam.set_verbosity(0)
    try:
        with pysam.VariantFile(str(path)) as file:
            yield from str(file.header).encode().splitlines()
            for record in file:
                yield str(record).rstrip("\n").encode()
    except (OSError, ValueError) as error:
        what = f"cannot be read to its end as BCF ({' '.join(str(error).split())})"
        raise InputError([Problem(str(path), what, "Make it again.")]) from None
    finally:
        pysam.set_verbosity(verbosity)
