"""BAI and CSI indexes against what htslib finds through them."""

import gzip

import numpy as np
import pysam
import pytest

from diffbio_io.alignments.bgzf import read_blocks
from diffbio_io.alignments.index import BamIndex
from tests.alignments import Sam, write_bam


def scattered(number=3000, length=3_000_000):
    random = np.random.default_rng(3)
    starts = np.concatenate([random.integers(0, length - 5000, number), random.integers(1_000_000, 1_001_000, number)])
    return [
        Sam(int(start), f"50M{random.integers(1, 4000)}N50M" if index % 50 == 0 else "100M", name=f"r{index}")
        for index, start in enumerate(starts)
    ]


@pytest.fixture(scope="module", params=["bai", "csi"])
def indexed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    contigs = {"c1": 3_000_000, "empty": 500, "c3": 5_000_000}
    reads = [*scattered(), *(Sam(start, "100M", contig="c3", name=f"t{start}") for start in range(0, 4_900_000, 5000))]
    bam = write_bam(folder / "reads.bam", reads, contigs, index=request.param)
    return bam, BamIndex(f"{bam}.{request.param}")


def names_from(bam, offset, limit=100_000):
    """Names in the uncompressed bytes from a virtual offset on."""
    with open(bam, "rb") as file:
        data = b"".join(read_blocks(file, offset))
    names, at = set(), 0
    while at < len(data) and len(names) < limit:
        size = int.from_bytes(data[at : at + 4], "little")
        names.add(data[at + 36 : at + 35 + data[at + 12]].decode())
        at += 4 + size
    return names


def test_all_reads_of_an_interval_follow_its_offset(indexed):
    bam, index = indexed
    random = np.random.default_rng(4)
    with pysam.AlignmentFile(str(bam)) as file:
        for start in [0, 999_999, 1_000_500, 1_001_200, 2_999_000, *random.integers(0, 2_990_000, 20)]:
            stop = int(start) + int(random.integers(1, 50_000))
            wanted = {read.query_name for read in file.fetch("c1", int(start), min(stop, 3_000_000))}
            offset = index.first_offset(0, int(start), stop)
            assert wanted <= (names_from(bam, offset) if offset is not None else set())


def test_the_offset_skips_most_of_what_comes_before(indexed):
    bam, index = indexed
    assert len(names_from(bam, index.first_offset(2, 4_000_000, 4_100_000))) < 1000


def test_a_contig_without_reads_has_no_offset(indexed):
    _, index = indexed
    assert index.first_offset(1, 0, 500) is None


def test_a_contig_that_the_index_does_not_know_has_no_offset(indexed):
    _, index = indexed
    assert index.first_offset(99, 0, 500) is None


def test_mapped_reads_are_told_per_contig(indexed):
    _, index = indexed
    assert index.mapped == [6000, 0, 980]


def test_a_contig_past_512_mb_is_found_through_csi(tmp_path):
    reads = [Sam(start, "100M", name=f"r{start}") for start in (5, 536_870_900, 999_999_000)]
    bam = write_bam(tmp_path / "reads.bam", reads, {"c1": 1_000_000_000}, index="csi")
    index = BamIndex(f"{bam}.csi")
    assert names_from(bam, index.first_offset(0, 536_870_950, 536_870_951)) >= {"r536870900"}
    assert names_from(bam, index.first_offset(0, 999_999_050, 999_999_051)) >= {"r999999000"}


def test_a_file_that_is_no_index_is_refused(tmp_path):
    path = tmp_path / "x.bai"
    path.write_bytes(b"hello there")
    with pytest.raises(ValueError, match="neither a BAI nor a CSI index"):
        BamIndex(path)


@pytest.mark.parametrize("kept", [5, 8, 100, 1000])
def test_an_index_that_is_cut_off_is_refused(indexed, tmp_path, kept):
    bam, _ = indexed
    (path,) = bam.parent.glob("*.bam.*")
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".csi" else data
    cut = tmp_path / path.name
    cut.write_bytes(data[:kept])
    with pytest.raises(ValueError, match="cut off"):
        BamIndex(cut)
