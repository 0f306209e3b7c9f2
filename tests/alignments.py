"""Alignment files that tests write, and what samtools' own pileup says of them."""

from __future__ import annotations

import gzip
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from diffbio_core.reads.mates import CLEARLY_BETTER
from diffbio_core.windows.encoding import (
    CODE_MASK,
    CODE_OF_ASCII,
    DELETED,
    MISSING_QUALITY,
    N_BASE,
    NO_READ,
    PLANES,
    REVERSE_STRAND,
    UNKNOWN_MAPPING_QUALITY,
)
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_core.windows.planes import ShardPlanes
from diffbio_io.alignments.reader import AlignmentReader

Cell = tuple[int, int, int, int]
"""Base code with its strand's bit, base quality, mapping quality, indel."""


@dataclass(frozen=True)
class Sam:
    """One line of a SAM file; ``start`` and ``mate`` are 0-based."""

    start: int
    cigar: str = "10M"
    sequence: str = ""
    quality: str = ""
    name: str = "read"
    flag: int = 0
    mapping_quality: int = 60
    mate: int | None = None
    contig: str = "c1"

    def line(self) -> str:
        """The line; bases that are not given are made up, and so are their qualities."""
        length = cigar_length(self.cigar, "MIS=X")
        sequence = self.sequence or ("ACGTTGCA" * (length // 8 + 1))[:length] or "*"
        quality = self.quality or ("*" if sequence == "*" else "I" * len(sequence))
        mate_contig, mate = ("*", -1) if self.mate is None else ("=", self.mate)
        fields = self.name, self.flag, self.contig, self.start + 1, self.mapping_quality, self.cigar
        return "\t".join(map(str, (*fields, mate_contig, mate + 1, 0, sequence, quality)))


def cigar_length(cigar: str, kinds: str) -> int:
    """Bases that some kinds of a CIGAR's operations account for."""
    return sum(int(run) for run, kind in re.findall(r"(\d+)(\D)", cigar) if kind in kinds)


def write_bam(path: Path, records: Iterable[Sam], contigs: dict[str, int], *, index: str = "bai") -> Path:
    """A sorted, indexed BAM file."""
    order = {name: number for number, name in enumerate(contigs)}
    chosen = sorted(records, key=lambda record: (order[record.contig], record.start))
    text = "".join(f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in contigs.items())
    text = "@HD\tVN:1.6\tSO:coordinate\n" + text + "@RG\tID:r\tSM:sample\n"
    sam = path.with_suffix(".sam")
    sam.write_text(text + "".join(record.line() + "\n" for record in chosen))
    verbosity = pysam.set_verbosity(0)
    with (
        pysam.AlignmentFile(str(sam), check_sq=False) as source,
        pysam.AlignmentFile(str(path), "wb", template=source) as sink,
    ):
        for record in source:
            sink.write(record)
    pysam.set_verbosity(verbosity)
    pysam.index(*(["-c"] if index == "csi" else []), str(path))
    return path


def record_bytes(bam: Path) -> np.ndarray:
    """The uncompressed records of a whole BAM file."""
    data = gzip.decompress(bam.read_bytes())
    (text,) = struct.unpack_from("<i", data, 4)
    (contigs,) = struct.unpack_from("<i", data, 8 + text)
    at = 12 + text
    for _ in range(contigs):
        at += 8 + struct.unpack_from("<i", data, at)[0]
    return np.frombuffer(data, np.uint8, offset=at).copy()


def write_cram(path: Path, bam: Path, reference: Path) -> Path:
    """The reads of a BAM file as an indexed CRAM file."""
    pysam.view("-C", "-T", str(reference), "-o", str(path), str(bam), catch_stdout=False)
    pysam.index(str(path))
    return path


def write_fasta(path: Path, sequences: dict[str, str]) -> Path:
    """An indexed FASTA file."""
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))
    pysam.faidx(str(path))
    return path


def pack(
    reader: AlignmentReader,
    reference: str,
    grid: WindowGrid,
    region: tuple[int, int] | None = None,
    contig: str = "c1",
) -> Iterator[ShardPlanes]:
    """Planes of the shards of a contig, each in memory of its own."""
    codes = CODE_OF_ASCII[np.frombuffer(reference.encode(), np.uint8)]
    length = len(reference)
    for shard in grid.shards(contig, length, [region or (0, length)]):
        yield pack_shard(
            reader.read(shard_interval(shard, grid, length, reader.contig_number(contig))),
            shard_codes(codes, shard, grid),
            shard,
            grid,
            length,
        )


def shard_codes(codes: np.ndarray, shard: Shard, grid: WindowGrid) -> np.ndarray:
    """Base codes of a shard's columns, N outside the contig."""
    start = shard.first_window * grid.reference_length - grid.halo
    stop = shard.last_window * grid.reference_length + grid.halo
    padded = np.concatenate([np.full(max(-start, 0), 4, np.uint8), codes[max(start, 0) : stop]])
    return np.concatenate([padded, np.full(stop - start - padded.size, 4, np.uint8)])


def dense_planes(planes: ShardPlanes) -> list[np.ndarray]:
    """Base, base quality, mapping quality and length of the indel behind each cell, each (window, lane, position)."""
    base, quality = planes.plane("base"), planes.plane("base_quality")
    mapping, indel = np.zeros(base.shape, np.uint8), np.zeros(base.shape, np.int32)
    reads, indels = planes.reads, planes.indels
    for at, (window, lane) in enumerate(np.ndindex(base.shape[:2])):
        held = base[window, lane] & CODE_MASK != NO_READ
        for row in range(reads.first[at], reads.first[at + 1]):
            mapping[window, lane, reads.column[row] :][held[reads.column[row] :]] = reads.mapping_quality[row]
        for row in reversed(range(indels.first[at], indels.first[at + 1])):
            indel[window, lane, indels.column[row]] = indels.length[row]
    return [base, quality, mapping, indel]


def assert_same_planes(one: ShardPlanes, other: ShardPlanes) -> None:
    """Planes and tables are equal."""
    for name in PLANES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for table in ("reads", "indels"):
        for name, values in vars(getattr(one, table)).items():
            wanted = getattr(getattr(other, table), name)
            np.testing.assert_array_equal(values, wanted, err_msg=f"{table}.{name}")
            assert values.dtype == wanted.dtype


def core_cells(planes: ShardPlanes) -> dict[int, Counter[Cell]]:
    """Cells of the lanes at each position of the cores, up to the contig's end."""
    cells: dict[int, Counter[Cell]] = {}
    grid = planes.grid
    base, quality, mapping, indel = dense_planes(planes)
    for window, lane, column in zip(*np.nonzero(base & CODE_MASK != NO_READ), strict=True):
        if grid.halo <= column < grid.halo + grid.reference_length:
            at = window, lane, column
            position = int((planes.shard.first_window + window) * grid.reference_length + column - grid.halo)
            if position >= planes.contig_length:
                continue
            cell = int(base[at]) & (CODE_MASK | REVERSE_STRAND), int(quality[at]), int(mapping[at]), int(indel[at])
            cells.setdefault(position, Counter())[cell] += 1
    return cells


def all_core_cells(shards: Iterable[ShardPlanes]) -> dict[int, Counter[Cell]]:
    """Cells of several shards."""
    return {position: cells for planes in shards for position, cells in core_cells(planes).items()}


def beside_homopolymers(cells: dict[int, Counter[Cell]], reference: str, first: int = 0) -> dict[int, Counter[Cell]]:
    """Those cells that no read's insertion can move: all but in homopolymers of more than ten bases and beside them.

    Args:
        cells: By position.
        reference: Bases from position ``first`` on.
        first: Their first position.
    """
    runs = re.finditer(r"(\w)\1{10,}", reference.upper())
    moved = {first + at for run in runs for at in range(run.start() - 1, run.end() + 1)}
    return {position: found for position, found in cells.items() if position not in moved}


def pileup_cells(
    bam: Path, contig: str = "c1", start: int | None = None, stop: int | None = None
) -> dict[int, Counter[Cell]]:
    """The cells that should be there, from samtools' pileup, with what ``records`` says of mates and missing values."""
    with pysam.AlignmentFile(str(bam)) as file:
        used = _used_from(file.fetch(contig, start, stop))
        cells: dict[int, Counter[Cell]] = {}
        columns = file.pileup(
            contig,
            start,
            stop,
            truncate=True,
            stepper="nofilter",
            flag_filter=0x4 | 0x100 | 0x200 | 0x400 | 0x800,
            min_base_quality=0,
            ignore_overlaps=False,
            ignore_orphans=False,
            max_depth=100_000,
        )
        for column in columns:
            identities = _Identities()
            for read in column.pileups:
                cell = _cell(read, column.reference_pos, used.get(identities.of(read.alignment)))
                if cell is not None:
                    cells.setdefault(column.reference_pos, Counter())[cell] += 1
    return cells


@dataclass
class _Use:
    """How a read is used: from where to where, and the mate that it is joined with."""

    start: int
    end: int
    mate: pysam.AlignedSegment | None = None


class _Identities:
    """Tells the records of a column or a file apart, also those that a file holds twice."""

    def __init__(self) -> None:
        self._met: Counter[str] = Counter()

    def of(self, record: pysam.AlignedSegment) -> tuple[str, int]:
        text = record.to_string()
        self._met[text] += 1
        return text, self._met[text]


def _used_from(records: Iterable[pysam.AlignedSegment]) -> dict[tuple[str, int], _Use]:
    """What overlapping mates leave of each read: the second from past the first, which takes the better bases."""
    seen: dict[tuple[str, int, int], tuple[pysam.AlignedSegment, _Use]] = {}
    joined: set[tuple[str, int, int]] = set()
    used: dict[tuple[str, int], _Use] = {}
    identities = _Identities()
    for record in records:
        if record.flag & 0xF04 or not record.query_sequence or not record.cigartuples:
            continue
        start, mate = record.reference_start, record.next_reference_start
        use = used[identities.of(record)] = _Use(start, record.reference_end)
        if not record.flag & 1 or record.flag & 8 or record.next_reference_id != record.reference_id:
            continue
        if record.query_name == "*":
            continue
        key = record.query_name, mate, start
        first, first_use = seen.get(key, (None, None))
        if first is not None and first.reference_end > start:
            use.start = first.reference_end
            if key in joined:
                continue
            joined.add(key)
            stop = min(first.reference_end, record.reference_end)
            own, other = _within(first, start, stop), _within(record, start, stop)
            if own and [kind for kind, _ in own] == [kind for kind, _ in other]:
                first_use.mate = record
            elif _mean_quality(record, start, stop) >= _mean_quality(first, start, stop) + CLEARLY_BETTER:
                first_use.end = use.start = start
        elif first is None and (record.query_name, start, mate) not in seen:
            seen[record.query_name, start, mate] = record, use
    return used


def _within(record: pysam.AlignedSegment, start: int, stop: int) -> list[tuple[str, int | None]]:
    """Kind and base of each step of an alignment from the base at ``start`` to the last before ``stop``."""
    found, position = [], record.reference_start
    query = 0
    for kind, run in record.cigartuples or ():
        for _ in range(run):
            letter = "MIDNSHPMM"[kind]
            if start <= position < stop and letter in "MIDN":
                found.append((letter, query if letter in "MI" else None))
            query += letter in "MIS"
            position += letter in "MDN"
    # Bases inserted before the first position are not between two of the stretch.
    while found and found[0][0] == "I":
        found.pop(0)
    return found if found and found[0][0] == "M" else []


def _quality(record: pysam.AlignedSegment, place: int) -> int:
    return MISSING_QUALITY if record.query_qualities is None else record.query_qualities[place]


def _code(record: pysam.AlignedSegment, place: int) -> int:
    return int(CODE_OF_ASCII[ord(_letter(record, place))])


def _mean_quality(record: pysam.AlignedSegment, start: int, stop: int) -> float:
    places, position, query = [], record.reference_start, 0
    for kind, run in record.cigartuples or ():
        letter = "MIDNSHPMM"[kind]
        places += [query + step for step in range(run) if letter == "M" and start <= position + step < stop]
        query += run * (letter in "MIS")
        position += run * (letter in "MDN")
    return sum(_quality(record, place) for place in places if _letter(record, place) != "N") / max(len(places), 1)


def _letter(record: pysam.AlignedSegment, place: int) -> str:
    return (record.query_sequence or "")[place]


def _better(record: pysam.AlignedSegment, place: int, use: _Use) -> tuple[int, int]:
    """Code and quality of a read's base, which its mate's may take the place of."""
    code, quality = _code(record, place), _quality(record, place)
    if use.mate is None:
        return code, quality
    stop = min(record.reference_end, use.mate.reference_end)
    shared = {
        own: other
        for (_, own), (_, other) in zip(
            _within(record, use.mate.reference_start, stop),
            _within(use.mate, use.mate.reference_start, stop),
            strict=True,
        )
        if own is not None
    }
    if place not in shared:
        return code, quality
    other_code, other_quality = _code(use.mate, shared[place]), _quality(use.mate, shared[place])
    if N_BASE in (code, other_code):
        return (code, quality) if other_code == N_BASE else (other_code, other_quality)
    if code == other_code:
        return code, max(quality, other_quality)
    if quality == other_quality:
        return N_BASE, 0
    return (code, 4 * quality // 5) if quality > other_quality else (other_code, 4 * other_quality // 5)


def _cell(read: pysam.PileupRead, position: int, use: _Use | None) -> Cell | None:
    record = read.alignment
    if use is None or not use.start <= position < use.end or read.is_refskip:
        return None
    strand = REVERSE_STRAND if record.is_reverse else 0
    mapping = UNKNOWN_MAPPING_QUALITY if record.mapping_quality == 255 else record.mapping_quality
    place = read.query_position_or_next - 1 if read.is_del else read.query_position
    if read.is_del and not _has_base_before(record, position):
        return None
    code, quality = _better(record, place, use)
    if read.is_del:
        code = DELETED
    cut = position == use.end - 1 < record.reference_end - 1 and read.indel < 0
    return code | strand, quality, mapping, 0 if cut else read.indel


def _has_base_before(record: pysam.AlignedSegment, position: int) -> bool:
    first: Sequence[int] = record.get_reference_positions()
    return bool(first) and first[0] < position
