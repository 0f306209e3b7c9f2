"""Reads of an interval from BAM and CRAM."""

from collections import Counter

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.reads.records import MalformedRecords
from diffbio_core.reads.thinning import Interval
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_io.alignments.bgzf import CorruptBlock
from diffbio_io.alignments.index import BamIndex
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.reference import Reference
from tests.alignments import (
    Sam,
    all_core_cells,
    assert_same_planes,
    beside_homopolymers,
    cigar_length,
    pack,
    pileup_cells,
    record_bytes,
    write_bam,
    write_cram,
    write_fasta,
)
from tests.io.alignments.headers import write_raw_bam
from tests.random_reads import random_reads, random_reference
from tests.shared_data import SHARED

NA12878 = SHARED / "na12878_chr20"
GRID = WindowGrid(1024, 256, 4)


def starts(reader, contig, start, stop):
    reads = reader.read(Interval(reader.contig_number(contig), start, stop, start, stop))
    return reads.alignment_start.tolist()


def test_reads_that_overlap_an_interval_are_given_in_order(tmp_path):
    reads = [Sam(start, "100M", name=f"r{start}") for start in (0, 899, 901, 950, 999, 1000)]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": 5000})) as reader:
        assert starts(reader, "c1", 1000, 1001) == [901, 950, 999, 1000]
        assert starts(reader, "c1", 2000, 3000) == []


def test_intervals_reach_past_both_ends_of_a_contig(tmp_path):
    reads = [Sam(0, name="a"), Sam(490, name="b")]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": 500})) as reader:
        assert starts(reader, "c1", -5000, 99_999) == [0, 490]
        assert starts(reader, "c1", 5000, 9000) == []
        assert starts(reader, "c1", -9000, -5000) == []


def test_contigs_keep_apart_whatever_their_names(tmp_path):
    names = ["HLA-A*01:01:01:01", "gi|123|ref|x", "chrUn_1", "=odd", "c,1;2"]
    reads = [Sam(100 + number, name=f"r{number}", contig=name) for number, name in enumerate(names) if number != 2]
    reads = [read for read in reads if read.contig != "=odd"]
    names.remove("=odd")
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, dict.fromkeys(names, 1000))) as reader:
        assert {name: starts(reader, name, 0, 1000) for name in names} == {
            "HLA-A*01:01:01:01": [100],
            "gi|123|ref|x": [101],
            "chrUn_1": [],
            "c,1;2": [104],
        }


def test_the_last_contigs_reads_end_before_the_unplaced_ones(tmp_path):
    reads = [Sam(100, contig="c2"), *(Sam(-1, "*", "ACGT", "IIII", f"u{n}", 4, contig="*") for n in range(50))]
    path = tmp_path / "reads.bam"
    header = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:c1\tLN:500\n@SQ\tSN:c2\tLN:500\n"
    (tmp_path / "reads.sam").write_text(header + "".join(read.line() + "\n" for read in reads))
    pysam.view("-b", "-o", str(path), str(tmp_path / "reads.sam"), catch_stdout=False)
    pysam.index(str(path))
    with AlignmentReader(path) as reader:
        assert starts(reader, "c2", 0, 500) == [100]
        assert starts(reader, "c1", 0, 500) == []


def test_a_contig_past_512_mb_is_read_through_csi(tmp_path):
    reads = [Sam(start, "100M", name=f"r{start}") for start in (5, 536_870_900, 999_999_000)]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": 1_000_000_000}, index="csi")) as reader:
        assert starts(reader, "c1", 536_870_912, 536_880_000) == [536_870_900]
        assert starts(reader, "c1", 999_990_000, 1_000_000_000) == [999_999_000]


def test_a_file_without_index_is_refused(tmp_path):
    bam = write_bam(tmp_path / "reads.bam", [Sam(1)], {"c1": 100})
    (tmp_path / "reads.bam.bai").unlink()
    with pytest.raises(ValueError, match="has no index beside it: run samtools index"):
        AlignmentReader(bam)


@pytest.mark.parametrize("order", [(5, 900, 40), (5, 40, 39)])
def test_reads_out_of_order_are_told_not_lost(tmp_path, order):
    path = write_raw_bam(tmp_path / "reads.bam", b"", [(b"c1", 1000)], starts=order)
    with AlignmentReader(path) as reader, pytest.raises(MalformedRecords, match=r"reads\.bam: .*c1 are not sorted"):
        starts(reader, "c1", 0, 1000)


def test_a_damaged_block_is_told(tmp_path):
    random = np.random.default_rng(1)
    reads = [
        Sam(int(start), "100M", "".join(random.choice(list("ACGT"), 100)), name=f"r{start}")
        for start in range(0, 20_000, 5)
    ]
    bam = write_bam(tmp_path / "reads.bam", reads, {"c1": 30_000})
    data = bytearray(bam.read_bytes())
    data[len(data) // 2] ^= 0xFF
    bam.write_bytes(data)
    with AlignmentReader(bam) as reader, pytest.raises(CorruptBlock, match=f"{bam}: .* at byte"):
        starts(reader, "c1", 0, 30_000)


def test_a_file_that_ends_within_a_record_is_told(tmp_path):
    bam = write_bam(tmp_path / "reads.bam", [Sam(100, name="a" * 200)], {"c1": 1000})
    header_end = BamIndex(f"{bam}.bai").first_offset(0, 0, 1000) >> 16
    header = bam.read_bytes()[:header_end]
    with pysam.BGZFile(str(tmp_path / "records"), "wb") as file:
        file.write(record_bytes(bam)[:-50].tobytes())
    bam.write_bytes(header + (tmp_path / "records").read_bytes())
    with AlignmentReader(bam) as reader, pytest.raises(CorruptBlock, match="the last record is cut off"):
        starts(reader, "c1", 0, 1000)


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A place of some 1,000x amid a contig of 5 kb, as BAM and as CRAM."""
    folder = tmp_path_factory.mktemp("deep")
    random = np.random.default_rng(2)
    reference = random_reference(random, 5000).upper().replace("R", "N")
    reads = random_reads(random, reference, 200, longest=100)
    for number in range(2000):
        start = int(random.integers(2000, 2250))
        sequence = reference[start : start + 100]
        mate = start + int(random.integers(0, 150))
        flags = {"name": f"d{number}", "mapping_quality": 60}
        reads.append(Sam(start, "100M", sequence, flag=0x41, mate=mate, **flags))
        reads.append(Sam(mate, "100M", reference[mate : mate + 100], flag=0x81, mate=start, **flags))
    bam = write_bam(folder / "reads.bam", reads, {"c1": 5000})
    fasta = write_fasta(folder / "reference.fa", {"c1": reference})
    return reference, bam, write_cram(folder / "reads.cram", bam, fasta), fasta


@pytest.mark.parametrize("kind", ["bam", "cram"])
def test_a_bound_on_memory_does_not_change_the_reads(deep, kind, monkeypatch):
    reference, bam, cram, fasta = deep
    monkeypatch.setattr("diffbio_io.alignments.reader._PIECE", 20_000)
    monkeypatch.setattr("diffbio_io.alignments.reader._LOOK_AFTER", 1)
    path = bam if kind == "bam" else cram
    with AlignmentReader(path, fasta) as whole, AlignmentReader(path, fasta, max_bytes=50_000) as bounded:
        for one, other in zip(pack(whole, reference, GRID), pack(bounded, reference, GRID), strict=True):
            assert_same_planes(one, other)
            assert one.read_counts == other.read_counts
            assert len(one.candidates) == len(other.candidates)


def test_cram_gives_the_planes_of_bam(deep):
    reference, bam, cram, fasta = deep
    with AlignmentReader(bam) as first, AlignmentReader(cram, fasta) as second:
        thinned = 0
        for one, other in zip(pack(first, reference, GRID), pack(second, reference, GRID), strict=True):
            thinned += one.read_counts["thinned"]
            assert_same_planes(one, other)
            assert one.read_counts == other.read_counts
        assert thinned > 1000


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_reads_from_cram_hold_what_samtools_piles_up(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("law")
    reference = random_reference(random, 2000)
    fasta = write_fasta(folder / "reference.fa", {"c1": reference})
    reads = random_reads(random, reference, 80)
    # htslib itself cannot decode a CRAM file whose reads pass the contig's end.
    reads = [read for read in reads if read.start + cigar_length(read.cigar, "MDN=X") <= 2000]
    bam = write_bam(folder / "reads.bam", reads, {"c1": 2000})
    cram = write_cram(folder / "reads.cram", bam, fasta)
    with AlignmentReader(cram, fasta) as reader:
        cells = all_core_cells(pack(reader, reference, GRID))
    wanted = {position: found for position, found in pileup_cells(bam).items() if position < 2000}
    assert beside_homopolymers(cells, reference) == beside_homopolymers(wanted, reference)


needs_real_reads = pytest.mark.skipif(not NA12878.exists(), reason=f"{NA12878} is not there")


@pytest.fixture(scope="module")
def real_planes():
    """Packs a region of NA12878's chromosome 20."""

    def make(name, start, stop):
        reference = NA12878 / "reference.fasta.gz"
        grid = WindowGrid(1024, 256, 8)
        with AlignmentReader(NA12878 / name, reference) as reader, Reference(reference) as bases:
            length = reader.contigs["chr20"]
            for shard in grid.shards("chr20", length, [(start, stop)]):
                interval = shard_interval(shard, grid, length, reader.contig_number("chr20"))
                codes = bases.codes("chr20", interval.start, interval.stop)
                yield pack_shard(reader.read(interval), codes, shard, grid, length)

    return make


@needs_real_reads
def test_real_reads_from_cram_give_the_planes_of_bam(real_planes):
    region = 10_000_000, 10_030_000
    for one, other in zip(real_planes("reads.bam", *region), real_planes("reads.cram", *region), strict=True):
        assert_same_planes(one, other)
        assert one.read_counts == other.read_counts
        assert one.read_counts["used"] > 1000


@needs_real_reads
def test_real_reads_hold_what_samtools_piles_up(real_planes):
    start, stop = 10_004_000, 10_006_000
    wanted = pileup_cells(NA12878 / "reads.bam", "chr20", start, stop)
    cells = all_core_cells(real_planes("reads.bam", start, stop))
    with pysam.FastaFile(str(NA12878 / "reference.fasta.gz")) as file:
        bases = file.fetch("chr20", start, stop)
    wanted = beside_homopolymers(wanted, bases, start)
    found = {position: cells[position] for position in range(start, stop) if position in cells}
    assert beside_homopolymers(found, bases, start) == wanted
    assert sum(found.total() for found in wanted.values()) > 80_000


def test_a_mate_that_the_file_holds_twice_is_joined_with_its_mate_and_not_with_itself(tmp_path):
    first = Sam(100, "20M", quality="#" * 20, name="pair", flag=99, mate=110)
    second = Sam(110, "20M", quality="I" * 20, name="pair", flag=147, mate=100, sequence="GTTGCAACGTTGCAACGTTG")
    bam = write_bam(tmp_path / "reads.bam", [first, first, second], {"c1": 2000})
    with AlignmentReader(bam) as reader:
        cells = all_core_cells(pack(reader, random_reference(np.random.default_rng(1), 2000), GRID))
    assert [sorted(quality for _, quality, _, _ in cells[position].elements()) for position in (105, 115, 125)] == [
        [2, 2],
        [2, 40],
        [40],
    ]


def test_no_read_is_lost_between_shards(tmp_path):
    random = np.random.default_rng(8)
    reference = random_reference(random, 20_000)
    bam = write_bam(tmp_path / "reads.bam", random_reads(random, reference, 1500, mates=False), {"c1": 20_000})
    with AlignmentReader(bam) as reader, pysam.AlignmentFile(str(bam)) as file:
        counts = sum((Counter(planes.read_counts) for planes in pack(reader, reference, GRID)), Counter())
        assert counts.total() == sum(1 for _ in file)
